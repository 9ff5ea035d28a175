#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The daemon goes and comes back: kill -9 under running containers, SIGTERM, --live-restore, restart policies.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc python3
find_docker
scratch
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
docker run -d --name aa --network none busybox sh -c 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.2; done' >/dev/null
docker run -d --name bb --network none busybox sh -c 'sleep 2; exit 6' >/dev/null
docker create --name cc --network none busybox true >/dev/null
pid=$(docker inspect -f '{{.State.Pid}}' aa)
# an exec that reads, one that works; a terminal; a paused one; one that writes faster than anybody reads
mkfifo "$WORK/feed"; sleep 1000 > "$WORK/feed" & holding=$!
docker exec -i aa sh -c ': > /cats; cat; echo end > /by-cat' < "$WORK/feed" >/dev/null 2>&1 & reading=$!
docker exec aa sh -c ': > /works; sleep 1.5; echo end > /by-exec' >/dev/null 2>&1 & working=$!
docker run -dit --name tt --network none busybox sh -c 'read x; stty size; read x; exit 3' >/dev/null
docker run -d --name pp --network none busybox sh -c 'i=0; while :; do i=$((i+1)); echo $i > /n; sleep 0.1; done' >/dev/null
docker pause pp >/dev/null
docker run -d --name ff --network none --log-opt max-size=-1 busybox sh -c 'seq 1 400000; sleep 1000' >/dev/null
fz=$(docker run -d --name fz --network none busybox sleep 1000)
for _i in $(seq $((50 * DKD_SLOW))); do docker exec aa test -e /cats -a -e /works && break; sleep 0.1; done
runc --root "$WORK/exec/runtime" pause "$fz"; : > "$WORK/exec/containers/$fz/freezing"	# within a commit, or a pause that nobody was told of
stop_daemon KILL >/dev/null 2>&1
wait $reading $working 2>/dev/null; kill $holding
kill -0 "$pid"; ok "the container outlives a killed daemon"
sleep "${AWAY:-2.5}"
start_daemon; ok "comes back"
is "$(docker exec aa cat /by-exec)" end "an exec came to its end without a daemon"
for i in $(seq $((20 * DKD_SLOW))); do docker exec aa test -e /by-cat && break; sleep 0.1; done
is "$(docker exec aa cat /by-cat)" end "one that read from a client comes to its end when that cannot come back"
is "$(docker inspect -f '{{.State.Status}}' pp)" paused "the paused is paused"
is "$(docker inspect -f '{{.State.Status}}' fz) $(timeout 20 "$DOCKER" -H "unix://$SOCK" exec fz echo in)" "running in" "what a dead daemon was freezing goes on"
docker unpause pp >/dev/null; n1=$(docker exec pp cat /n)
# empty between the shell's truncation and its line
for i in $(seq $((50 * DKD_SLOW))); do n2=$(docker exec pp cat /n); [ "${n2:-0}" -gt "${n1:-0}" ] && break; sleep 0.1; done
[ "${n2:-0}" -gt "${n1:-0}" ]; ok "and goes on"
is "$(api_status POST '/containers/tt/resize?h=37&w=91')" 200 "a terminal is resized"
python3 - "$SOCK" <<'P'
import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
s.sendall(b"POST /containers/tt/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n")
time.sleep(0.3); s.sendall(b"\n"); time.sleep(0.3); s.sendall(b"\n"); time.sleep(0.3)
P
is "$(timeout $((5 * DKD_SLOW)) "$DOCKER" -H "unix://$SOCK" wait tt) $(docker logs tt | grep -c '37 91')" "3 1" "typed into, and its exit code comes to who waits"
docker logs ff > "$WORK/l"; is "$(sha256sum < "$WORK/l")" "$(seq 1 400000 | sha256sum)" "of a burst no log line is missing either"
docker rm -f tt pp ff fz >/dev/null
is "$(docker inspect -f '{{.State.Pid}} {{.State.Running}}' aa)" "$pid true" "adopted, same process"
is "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' bb)" "exited 6" "an exit in the meantime is known"
is "$(docker inspect -f '{{.State.Status}}' cc)" created "the created is still there"
n1=$(docker logs aa | wc -l); docker logs aa > "$WORK/l"; is "$(seq 0 $((n1 - 1)) | head -n "$n1" | sha256sum)" "$(head -n "$n1" "$WORK/l" | sha256sum)" "no log line is missing"
is "$(docker exec aa echo in)" in "exec works"
docker start cc >/dev/null; ok "the created starts"
docker stop -t 1 aa >/dev/null; ok "stop works"
docker rm aa bb cc >/dev/null; ok "rm works"
is "$(grep -c "$WORK/root/.*/merged" /proc/self/mountinfo)" 0 "no mount stays"
is "$(shims | wc -l)" 0 "no shim stays"
# what removes itself is mounted without syncs: used, left by a killed daemon, left by a power cut
docker run -d --rm --name brief --network none busybox sh -c 'echo 1 > /one; sleep 1000' >/dev/null
docker create --rm --name made --network none busybox cat /in /in2 >/dev/null
id=$(docker inspect -f '{{.Id}}' made)
echo copied > "$WORK/in"; docker cp "$WORK/in" made:/in >/dev/null 2>&1 && docker cp "$WORK/in" made:/in2 >/dev/null 2>&1; ok "copied into twice before its start"
is "$(docker start -a made)" "copied
copied" "there when it runs"
docker create --rm --name made --network none busybox true >/dev/null
docker cp "$WORK/in" made:/in >/dev/null 2>&1
for i in $(seq $((50 * DKD_SLOW))); do docker exec brief test -e /one 2>/dev/null && break; sleep 0.1; done
is "$(docker diff brief)" "A /one" "diff"
docker commit brief briefly >/dev/null; is "$(docker run --rm --network none briefly cat /one)" 1 "commit"
is "$(docker export brief | tar xO one)" 1 "export"
stop_daemon KILL >/dev/null 2>&1
start_daemon; ok "comes back"
is "$(docker exec brief cat /one)" 1 "adopted"
is "$(docker diff brief)" "A /one" "diff"
for i in $(seq $((50 * DKD_SLOW))); do docker inspect made >/dev/null 2>&1 || break; sleep 0.1; done
is "$(docker ps -aq --filter name=made | wc -l)" 0 "one that did not run is removed"
docker kill brief >/dev/null; for i in $(seq $((50 * DKD_SLOW))); do docker inspect brief >/dev/null 2>&1 || break; sleep 0.1; done
is "$(docker ps -aq | wc -l) $(ls "$WORK/root/overlay2" | grep -c init)" "0 0" "nothing stays of either"
docker run -d --rm --name brief --network none busybox sleep 1000 >/dev/null
pid=$(docker inspect -f '{{.State.Pid}}' brief) id=$(docker inspect -f '{{.Id}}' brief)
stop_daemon KILL >/dev/null 2>&1
kill -9 $(shims) "$pid" 2>/dev/null
for i in $(seq $((50 * DKD_SLOW))); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
like "$(grep "$id/merged " /proc/self/mountinfo)" 'volatile' "its mount syncs nothing"
umount "$WORK/root/overlay2/$id/merged" "$WORK"/exec/netns/*
rm -rf "$WORK/exec"
start_daemon; ok "comes back"
for i in $(seq $((50 * DKD_SLOW))); do docker inspect brief >/dev/null 2>&1 || break; sleep 0.1; done
is "$(docker ps -aq | wc -l) $(ls "$WORK/root/overlay2" | grep -c "$id")" "0 0" "nothing stays of one that a power cut ended"
docker rmi briefly >/dev/null; ok "nor holds an image"
# SIGTERM stops the containers, each by its own signal
docker run -d --name t1 --network none busybox sh -c 'trap "exit 5" TERM; echo up; while :; do sleep 0.1; done' >/dev/null
docker run -d --name t2 --network none --restart always busybox sh -c 'trap "exit 5" TERM; echo up; while :; do sleep 0.1; done' >/dev/null
says t1 up; says t2 up
stop_daemon; is "$DSTATUS" 0 "SIGTERM with running containers"
start_daemon; ok "starts"
is "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' t1)" "exited 5" "the container was stopped by its signal"
comes running docker inspect -f '{{.State.Status}}' t2
is "$(docker inspect -f '{{.State.Status}}' t2)" running "--restart always comes back"
docker rm -f t1 t2 >/dev/null
docker run -d --name of --network none --restart on-failure:2 busybox sh -c 'exit 1' >/dev/null
for i in $(seq $((50 * DKD_SLOW))); do [ "$(docker inspect -f '{{.State.Status}}' of)" = exited ] && break; sleep 0.2; done
is "$(docker inspect -f '{{.RestartCount}} {{.State.Status}}' of)" "2 exited" "on-failure:2 tries twice"
docker rm -f of >/dev/null
stop_daemon
start_daemon --live-restore; ok "--live-restore"
docker run -d --name lr --network none busybox sleep 100 >/dev/null
pid=$(docker inspect -f '{{.State.Pid}}' lr)
stop_daemon; is "$DSTATUS" 0 "SIGTERM"
kill -0 "$pid"; ok "live-restore leaves it running"
start_daemon --live-restore
is "$(docker inspect -f '{{.State.Pid}}' lr)" "$pid" "adopted"
# a shim that is killed is noticed
shim=$(shims | head -1)
kill -KILL "$shim"
comes exited docker inspect -f '{{.State.Status}}' lr
is "$(docker inspect -f '{{.State.Status}}' lr)" exited "a killed shim is noticed"
for _i in $(seq $((50 * DKD_SLOW))); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
! kill -0 "$pid" 2>/dev/null; ok "and its container does not stay"
docker rm -f lr >/dev/null; ok "rm"
# three signals with a hung container force the end
docker run -d --name hung --network none busybox sh -c 'trap "" TERM; echo up; while :; do sleep 1; done' >/dev/null
says hung up
stop_daemon
start_daemon --shutdown-timeout 60
docker rm -f hung >/dev/null 2>&1
docker run -d --name hung --stop-timeout 60 --network none busybox sh -c 'trap "" TERM; echo up; while :; do sleep 1; done' >/dev/null
says hung up
kill -TERM "$DPID"; sleep 0.4; kill -TERM "$DPID"; sleep 0.4; kill -TERM "$DPID"
wait "$DPID"; is $? 143 "the third signal forces the end, 128+15"
DPID=
start_daemon; docker rm -f hung >/dev/null; ok "and the next daemon cleans up"
stop_daemon
done_testing
