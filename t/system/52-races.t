#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Several clients at one container, and daemons killed in the middle of it: nothing is left, nobody waits for ever.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc timeout
find_docker
scratch
mkdir "$WORK/bin"
printf '#!/bin/sh\nfor a; do [ "$a" = run ] && { : > %s/began; sleep 2; }; done\nexec %s "$@"\n' "$WORK" "$(command -v runc)" > "$WORK/bin/slow"
chmod 755 "$WORK/bin/slow"
daemon() { start_daemon --add-runtime "slow=$WORK/bin/slow"; }
left() { # what is there of containers, beside their records
	printf 'shims %s mounts %s ' "$(shims | wc -l)" "$(grep -c "$WORK/" /proc/self/mountinfo)"
	for _d in exec/containers exec/runtime exec/netns exec/sandboxes root/containers root/image/*/layerdb/mounts; do
		printf '%s ' "$(ls "$WORK"/$_d 2>/dev/null | wc -l)"
	done
}
none="shims 0 mounts 0 0 0 0 0 0 0 "
settled() { # waits until nothing is left
	for _i in $(seq $((30 * DKD_SLOW))); do [ "$(left)" = "$none" ] && break; sleep 0.1; done
	is "$(left)" "$none" "$1"
}
# The slow runtime works now.
began() {
	for _i in $(seq $((100 * DKD_SLOW))); do [ -e "$WORK/began" ] && break; sleep 0.05; done
	rm -f "$WORK/began"
}
state() { docker inspect -f '{{.State.Status}}' "$1" 2>/dev/null; }
daemon; ok "starts" || done_testing
load_busybox >/dev/null

# who attaches while the runtime works gets all the output
id=$(docker create --network none --runtime slow busybox echo early)
docker start "$id" >/dev/null &
starting=$!
began
is "$(timeout 20 curl -sN -X POST --unix-socket "$SOCK" "http://d/containers/$id/attach?stream=1&stdout=1" -o - | tr -d '\000-\011')" early \
	"attached while it starts"
wait $starting
docker wait "$id" >/dev/null; docker rm "$id" >/dev/null

# what is asked for during a start comes behind it
docker create --name aa --network none --runtime slow busybox sleep 100 >/dev/null
docker start aa >/dev/null & starting=$!
began; docker rm -f aa >/dev/null; ok "rm -f during a start"
wait $starting
settled "leaves nothing"
docker create --name aa --network none --runtime slow --restart always busybox sleep 100 >/dev/null
docker start aa >/dev/null & starting=$!
began; docker stop -t 0 aa >/dev/null; ok "stop during a start"
wait $starting
is "$(state aa)" exited "and it has stopped"
docker rm aa >/dev/null
# many at once
many() {
	docker create --name mm --network none busybox sleep 100
	pids=
	for j in 1 2; do
		docker start mm & pids="$pids $!"
		docker rm mm & pids="$pids $!"
		docker kill mm & pids="$pids $!"
	done
	wait $pids
	docker rm -f mm
}
for i in 1 2 3 4 5; do many >/dev/null 2>&1; done
settled "starts, kills and removals at once leave nothing"

# the events of an end, in Docker's order
docker events --filter event=die --filter event=disconnect --filter event=destroy --format '{{.Action}}' > "$WORK/events" & watching=$!
comes 1 listeners
docker run --rm --network none busybox true
tells "$WORK/events" destroy; kill $watching; wait $watching 2>/dev/null
is "$(tr '\n' ' ' < "$WORK/events")" "die disconnect destroy " "die, disconnect, destroy"

# killed within a start: the shim may go on, the container is adopted or as before, and it starts
docker create --name aa --network none --runtime slow busybox sleep 100 >/dev/null
docker start aa >/dev/null 2>&1 & starting=$!
began; stop_daemon KILL >/dev/null 2>&1; wait $starting
sleep 1.5
daemon; ok "comes back after a start that was cut off"
for i in $(seq $((50 * DKD_SLOW))); do [ "$(state aa)" = running ] && break; sleep 0.1; done
is "$(state aa) $(shims | wc -l)" "running 1" "its container runs, watched by one shim"
docker rm -f aa >/dev/null; settled "and can be removed"
# killed within a restart of the policy
docker run -d --name aa --network none --restart always --runtime slow busybox sh -c 'sleep 0.3; exit 1' >/dev/null
for i in $(seq $((60 * DKD_SLOW))); do [ "$(state aa)" = restarting ] && break; sleep 0.1; done
sleep 0.5; stop_daemon KILL >/dev/null 2>&1
sleep 0.3
daemon; ok "comes back after a restart that was cut off"
docker rm -f aa >/dev/null; ok "its container can be removed"
settled "and leaves nothing"
# between two tries: the next one comes behind the sweeps of the start, which take what is nobody's
for k in 1 2 3 4 5 6 7 8; do docker run -d --name "p$k" --network none --restart always busybox false >/dev/null; done
for i in $(seq $((100 * DKD_SLOW))); do [ "$(docker ps -q --filter status=restarting | wc -l)" = 8 ] && break; sleep 0.1; done
stop_daemon KILL >/dev/null 2>&1
: > "$WORK/log"
daemon
sleep 1
unlike "$(cat "$WORK/log")" 'did not start' "restarts that the last daemon owed come, and lose nothing to sweeps"
is "$(docker ps -aq --filter status=exited | wc -l)" 0 "none is given up"
docker rm -f p1 p2 p3 p4 p5 p6 p7 p8 >/dev/null
settled "and nothing is left of them"
# --rm
docker create --rm --name aa --network none busybox true >/dev/null
docker run -d --rm --name bb --network none busybox sleep 1 >/dev/null
stop_daemon KILL >/dev/null 2>&1
sleep 1.5
daemon
settled "--rm: neither the created nor the ended outlive a killed daemon"
# a container whose folder has gone (as after a restored backup) does not run on unseen
id=$(docker run -d --network none busybox sleep 100)
stop_daemon KILL >/dev/null 2>&1
rm -r "$WORK/root/containers/$id"
daemon
is "$(shims | wc -l) $(ls "$WORK/exec/containers" | wc -l) $(ls "$WORK/exec/runtime" | wc -l)" "0 0 0" "what runs without a record is ended"
is "$(grep -c "$WORK/root/.*/merged" /proc/self/mountinfo) $(ls "$WORK"/root/image/*/layerdb/mounts | wc -l)" "0 0" "its layer goes, too"

# a copy of the data-root beside the daemon that it is of: what runs is the other's
stop_daemon >/dev/null 2>&1
daemon
live=$(docker run -d --name live --network none busybox sleep 1000) hosts=$(docker run -d --name hosts --network none --pid host busybox sleep 1000)
for c in "$live" "$hosts"; do docker inspect -f '{{.State.Pid}}' "$c"; done > "$WORK/pids"
cp -ax "$WORK/root" "$WORK/copy"
"$DOCKERD" -b none $GROUPARGS --config-file "$WORK/daemon.json" --data-root "$WORK/copy" --exec-root "$WORK/exec2" --pidfile "$WORK/second.pid" -H "unix://$WORK/second.sock" \
	--plugin-dir "$PLUGDIR" > "$WORK/log2" 2>&1 < /dev/null &
SECOND=$!
second() { command "$DOCKER" -H "unix://$WORK/second.sock" "$@"; }
comes 2 sh -c "'$DOCKER' -H 'unix://$WORK/second.sock' ps -aq --filter status=exited | wc -l"
is "$(second inspect -f '{{.State.Status}}' live hosts 2>&1 | tr '\n' ' ')" "exited exited " "in the copy they do not run"
is "$(grep -c "is in its control group, but sees no file of this data-root" "$WORK/log2")" 2 "as the log says"
second start live >/dev/null; ok "one starts there, too"
second rm -f live hosts >/dev/null
kill "$SECOND"; wait "$SECOND" 2>/dev/null
is "$(docker inspect -f '{{.State.Status}} {{.State.Pid}}' live hosts | tr '\n' ' ')" "$(sed 's/^/running /' "$WORK/pids" | tr '\n' ' ')" "where they run, they go on"
docker rm -f live hosts >/dev/null
settled "and end"
rm -rf "$WORK/copy" "$WORK/exec2"

# anything at any time
busy() {
	docker run -d --network none --name "$1" busybox sleep 100; docker exec "$1" true; docker stop -t 0 "$1"; docker start "$1"; docker rm -f "$1"
}
for i in 1 2 3 4; do
	pids=
	for k in c1 c2 c3; do (busy $k) >/dev/null 2>&1 & pids="$pids $!"; done
	timeout $((10 * DKD_SLOW)) "$DOCKER" -H "unix://$SOCK" run --rm --network none busybox true >/dev/null 2>&1 & pids="$pids $!"
	sleep 0.$((i * 19))
	kill -KILL "$DPID"
	wait $pids "$DPID" 2>/dev/null
	DPID=
	daemon || { ok "starts again"; break; }
	docker ps -aq | xargs -r "$DOCKER" -H "unix://$SOCK" start >/dev/null 2>"$WORK/refused"
	# --rm may be on its way out
	unlike "$(cat "$WORK/refused" | grep -v 'marked for removal\|No such container\|failed to start containers')" '.' "every container starts ($i)"
	docker ps -aq | xargs -r "$DOCKER" -H "unix://$SOCK" rm -f >/dev/null 2>&1
done
for i in $(seq $((30 * DKD_SLOW))); do [ "$(left | cut -d' ' -f1-9)" = "shims 0 mounts 0 0 0 0 0 0" ] && break; sleep 0.1; done
is "$(left | cut -d' ' -f1-9)" "shims 0 mounts 0 0 0 0 0 0" "killed daemons leave nothing"
stop_daemon; is "$DSTATUS" 0 "a clean end"
done_testing
