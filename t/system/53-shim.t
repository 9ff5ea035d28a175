#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# dockerd-shim: what it holds, what follows when it is killed, and daemons that start beside shims that do not answer.
# RUNS: killed shims one after the other; MANY: containers at once.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc
find_docker
scratch
RUNS=${RUNS:-4} MANY=${MANY:-16}
now() { date +%s%N | cut -c1-13; }
state() { docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' "$1" 2>/dev/null; }
shim_of() { sed 's/.*"shim":\([0-9]*\).*/\1/' "$WORK/exec/containers/$1/shim.json"; }
alive() { ps -o stat= -p "$1" | grep -vc Z; }
lines_of() { docker logs "$1" | wc -l; }
cgroups() { find /sys/fs/cgroup -type d -name "*$1*" 2>/dev/null | wc -l; }
becomes() { # state, container, seconds: waits; prints what it came to
	for _i in $(seq $(($3 * 20 * DKD_SLOW))); do [ "$(state "$2")" = "$1" ] && break; sleep 0.05; done
	state "$2"
}
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null

# what it is
id=$(docker run -d --name aa --network none --memory 64m busybox sleep 1000)
shim=$(shim_of "$id") pid=$(docker inspect -f '{{.State.Pid}}' aa)
adj=$(cat "/proc/$shim/oom_score_adj")
if [ "$adj" = "$(cat /proc/self/oom_score_adj)" ]; then skip "goes last when memory is short" "not permitted here"
else is "$adj" -999 "goes last when memory is short"; fi
is "$(cat "/proc/$pid/oom_score_adj")" 0 "its container does not"
is "$(grep -c "$id" "/proc/$shim/cgroup")" 0 "is in no cgroup of its container"
is "$(ls -l "/proc/$shim/fd" | grep -c "docker.sock\|/root/overlay\|/root/image\|/log$")" 0 "holds nothing of the daemon's"
is "$(docker exec aa ls /proc/self/fd | tr '\n' ' ')" "0 1 2 3 " "an exec has its standard streams (and what ls opens)"
is "$(stat -c %a "$WORK/exec/containers" "$WORK/exec/containers/$id" "$WORK/exec/containers/$id/shim.sock" | tr '\n' ' ')" "700 700 600 " \
	"its socket is root's"
is "$(grep -c " @.*\(dockerd\|shim\|$id\)" /proc/net/unix)" 0 "no socket has an abstract name"
sums() { sha256sum "$(command -v runc)" "$(readlink -f "/proc/$shim/exe")"; }
sums > "$WORK/sums"
for p in '/proc/self/exe' "/proc/1/exe"; do
	docker run --rm --network none busybox sh -c "printf '#!$p\n' > /x; chmod 755 /x; /x; for f in /proc/self/exe $p /proc/*/exe; do
		(exec 9>>\$f; printf x >&9) ; done" >/dev/null 2>&1
done
is "$(sums)" "$(cat "$WORK/sums")" "nothing in a container writes the runtime or the shim"
docker rm -f aa >/dev/null

# the end: what runc made is undone without runc, as long as there is nothing but its groups and its state
mkdir "$WORK/under" "$WORK/over"
printf '#!/bin/sh\nfor a; do case $a in run|delete) echo "$a" >> "%s/calls";; esac; done\nexec runc "$@"\n' "$WORK" > "$WORK/under/runc"
chmod 755 "$WORK/under/runc"; cp "$WORK/under/runc" "$WORK/over/other"
printf '#!/bin/sh\nfor a; do [ "$a" != delete ] || { for i; do :; done; rm -rf "%s/exec/runtime/$i"; exit; }; done\nexec runc "$@"\n' "$WORK" > "$WORK/hasty"
chmod 755 "$WORK/hasty"
stop_daemon
start_daemon --add-runtime "under=$WORK/under/runc" --add-runtime "over=$WORK/over/other" --add-runtime "hasty=$WORK/hasty"
ok "starts, with three runtimes more" || done_testing
left() { echo "$(cgroups "$id") $(find "$WORK/exec/runtime" -mindepth 1 | wc -l) $(tr '\n' ' ' < "$WORK/calls")"; : > "$WORK/calls"; }
ended() { id=$(docker run -d --name ee --network none "$@") && docker wait ee >/dev/null && docker rm ee >/dev/null; left; }
is "$(ended --runtime under busybox sh -c 'sleep 1000 & sleep 0.1')" "0 0 run " "an end: nothing is left, and runc ran once"
is "$(ended --runtime over busybox true)" "0 0 run delete " "a runtime of another name is asked itself"
is "$(ended --runtime under --pid host busybox sh -c 'sleep 1000 & sleep 0.1')" "0 0 run delete " "so is runc where processes are left"
nest='for d in /cg /cg/*/; do for g in $d/docker/$(cat /id)*/; do [ -d $g ] && mkdir -p $g/a/b $g/c; done; done; find /cg -name b | grep -c docker'
docker create --name nn --runtime under --privileged --network none -v /sys/fs/cgroup:/cg busybox sh -c "$nest" >/dev/null
docker inspect -f '{{.Id}}' nn | tr -d '\n' > "$WORK/id"; docker cp -q "$WORK/id" nn:/id; id=$(cat "$WORK/id")
docker start -a nn > "$WORK/nested"; docker rm nn >/dev/null
[ "$(cat "$WORK/nested")" -ge 1 ]; ok "a container makes groups in its own"
is "$(left)" "0 0 run " "they go, too"

# killed
slow=0 wrong=
docker events --filter event=die --format '{{.Action}} {{.Actor.Attributes.exitCode}}' > "$WORK/events" & watching=$!
comes 1 listeners
for i in $(seq "$RUNS"); do
	id=$(docker run -d --name kk --network none busybox sh -c 'sleep 1000 & sleep 1000')
	pid=$(docker inspect -f '{{.State.Pid}}' kk)
	began=$(now)
	kill -KILL "$(shim_of "$id")"
	[ "$(becomes "exited 137" kk 5)" = "exited 137" ] || wrong="$wrong $i: $(state kk);"
	took=$(($(now) - began)); [ "$took" -gt "$slow" ] && slow=$took
	kill -0 "$pid" 2>/dev/null && wrong="$wrong $i: it lives;"
	[ "$(cgroups "$id")" = 0 ] && [ ! -e "$WORK/exec/runtime/$id" ] || wrong="$wrong $i: left;"
	docker rm kk >/dev/null || wrong="$wrong $i: rm;"
done
is "$wrong" "" "$RUNS killed shims: exited, 137, nothing left, rm works"
[ "$slow" -le $((700 * DKD_SLOW)) ]; ok "each within 2 s"
echo "# the slowest took $slow ms"
dies() { wc -l < "$WORK/events"; }
comes "$RUNS" dies
sleep 0.3; kill $watching; wait $watching 2>/dev/null
is "$(sort "$WORK/events" | uniq -c | tr -s ' ')" " $RUNS die 137" "one event each"
id=$(docker run -d --name kk --network none --pid host busybox sh -c 'sleep 1000 & exec sleep 1000')
kill -KILL "$(shim_of "$id")"
is "$(becomes "exited 137" kk 5)" "exited 137" "with the host's processes in sight, too"
is "$(cgroups "$id")" 0 "nothing is left in its cgroup"
docker rm kk >/dev/null
id=$(docker run -d --name kk --network none busybox sleep 1000); docker pause kk >/dev/null
kill -KILL "$(shim_of "$id")"
is "$(becomes "exited 137" kk 5) $(cgroups "$id")" "exited 137 0" "a paused one, too"
docker rm kk >/dev/null
# runc waits for a group to become empty for 150 ms; then its record goes and the group stays
for how in "killed shim" "end"; do
	id=$(docker run -d --name kk --runtime hasty --network none --pid host busybox sh -c 'sleep 1000 & echo $!; exec sleep 1000')
	comes 1 lines_of kk
	other=$(docker logs kk)
	if [ "$how" = end ]; then docker kill kk; else kill -KILL "$(shim_of "$id")"; fi >/dev/null
	is "$(becomes "exited 137" kk 5) $(cgroups "$id") $(alive "$other")" "exited 137 0 0" "$how, and a runtime that leaves groups with processes: they are ended"
	docker rm kk >/dev/null
done
docker run -d --name kk --network none --restart always busybox sleep 1000 >/dev/null
id=$(docker inspect -f '{{.Id}}' kk)
kill -KILL "$(shim_of "$id")"
for i in $(seq $((30 * DKD_SLOW))); do [ "$(docker inspect -f '{{.RestartCount}}' kk)" = 1 ] && break; sleep 0.05; done
is "$(becomes "running 0" kk 5)" "running 0" "the restart policy holds"
docker rm -f kk >/dev/null

# many at once, while the daemon is away, and while it looks on
seq "$MANY" | xargs -P 4 -I{} "$DOCKER" -H "unix://$SOCK" run -d --name m{} --stop-timeout 2 --network none busybox sleep 1000 >/dev/null
began=$(now)
shims | xargs kill -KILL
for i in $(seq $((200 * DKD_SLOW))); do [ "$(docker ps -q | wc -l)" = 0 ] && break; sleep 0.05; done
took=$(($(now) - began))
is "$(docker ps -aq --filter exited=137 | wc -l)" "$MANY" "$MANY killed at once"
echo "# in $took ms"
docker ps -aq | xargs "$DOCKER" -H "unix://$SOCK" start >/dev/null
stop_daemon KILL >/dev/null 2>&1
shims | xargs kill -KILL
began=$(now); start_daemon; took=$(($(now) - began))
[ "$took" -lt $((1000 * DKD_SLOW)) ]; ok "a daemon whose shims were killed while it was away starts within a second"
echo "# in $took ms"
for i in $(seq $((100 * DKD_SLOW))); do [ "$(docker ps -q | wc -l)" = 0 ] && break; sleep 0.05; done
is "$(docker ps -aq --filter exited=137 | wc -l)" "$MANY" "and takes note of them all"

# stuck
docker ps -aq | xargs "$DOCKER" -H "unix://$SOCK" start >/dev/null
stuck=$(shims)
kill -STOP $stuck
stop_daemon KILL >/dev/null 2>&1
began=$(now); start_daemon; took=$(($(now) - began))
[ "$took" -lt $((1000 * DKD_SLOW)) ]; ok "starts within a second beside $MANY shims that do not answer"
echo "# in $took ms"
is "$(docker ps -q | wc -l)" "$MANY" "their containers go on"
timeout 20 "$DOCKER" -H "unix://$SOCK" rm -f m1 >/dev/null; ok "rm -f of one"
timeout 20 "$DOCKER" -H "unix://$SOCK" stop -t 0 m2 >/dev/null; ok "stop of one"
is "$(state m2)" "exited 137" "is one, of 137"
kill -CONT $stuck 2>/dev/null
is "$(docker exec m3 echo in)" in "they go on, too, and answer"
docker run -d --name zz --network none busybox sh -c 'sleep 0.5; exit 3' >/dev/null
stuck=$(shims); kill -STOP $stuck; stop_daemon KILL >/dev/null 2>&1
sleep 0.6
began=$(now); start_daemon; took=$(($(now) - began))
[ "$took" -lt $((500 * DKD_SLOW)) ]; ok "a zombie under a stuck shim does not delay a start either"
echo "# in $took ms"
is "$(becomes "exited 3" zz 9)" "exited 3" "its code is found out" || echo "# kernels before 6.15 do not tell it: 137"
kill -CONT $stuck 2>/dev/null
began=$(now); stop_daemon; is "$DSTATUS" 0 "SIGTERM"
took=$(($(now) - began))
[ "$took" -le $((3500 * DKD_SLOW)) ]; ok "stops them in parallel, within their time-out and a second"
echo "# in $took ms"
is "$(shims | wc -l) $(grep -c "$WORK/root/.*/merged" /proc/self/mountinfo)" "0 0" "and nothing is left"
start_daemon
is "$(docker ps -q | wc -l)" 0 "as the next daemon sees it, too"
docker ps -aq | xargs "$DOCKER" -H "unix://$SOCK" rm >/dev/null; ok "rm"
stop_daemon
done_testing
