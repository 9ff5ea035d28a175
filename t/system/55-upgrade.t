#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A new daemon over the containers of the first release's shim (t/abi/shim-1), and a daemon that is older than the shims it finds.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc timeout
find_docker
[ -x "$top_builddir/t/abi/shim-1/dockerd-shim" ] || skip_all "t/abi/shim-1 is not built"
scratch
NEW=$DOCKERD
# a daemon takes the shim that stands beside it
mkdir "$WORK/old"
for p in "$top_builddir"/dockerd*; do [ ! -f "$p" ] || cp "$p" "$WORK/old/"; done
cp "$top_builddir/t/abi/shim-1/dockerd-shim" "$WORK/old/"; touch "$WORK/old/config.status"
state() { docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' "$1" 2>/dev/null; }
becomes() {
	for _i in $(seq $(($3 * 20 * DKD_SLOW))); do [ "$(state "$2")" = "$1" ] && break; sleep 0.05; done
	state "$2"
}
run() { _n=$1; shift; docker run -d --name "$_n" --network none "$@"; }
shim_exe() { readlink "/proc/$(sed 's/.*"shim":\([0-9]*\).*/\1/' "$WORK/exec/containers/$1/shim.json")/exe"; }
DOCKERD=$WORK/old/dockerd
start_daemon; ok "starts with the first release's shim" || done_testing
load_busybox >/dev/null
logger=$(run logger busybox sh -c 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done')
run input -i busybox sh -c 'read x; echo "got $x"; exit 4' >/dev/null
run term -it busybox sh -c 'read x; stty size; exit 5' >/dev/null
run paused busybox sleep 1000 >/dev/null; docker pause paused >/dev/null
run always --restart always --stop-timeout 0 busybox sh -c 'sleep 1.5; exit 1' >/dev/null
run short busybox sh -c 'sleep 0.5; exit 6' >/dev/null
run trap busybox sh -c 'trap "exit 7" TERM; while :; do sleep 0.1; done' >/dev/null
run oom --memory 16m busybox sh -c 'while [ ! -e /go ]; do sleep 0.1; done; exec tail /dev/zero' >/dev/null
lost=$(run lost busybox sleep 1000)
run rm0 --rm busybox sleep 1000 >/dev/null
run next busybox sleep 1000 >/dev/null
is "$(shim_exe "$logger")" "$WORK/old/dockerd-shim" "its containers run under it"
docker exec logger sh -c ': > /works; sleep 2; echo over > /by-exec' & inflight=$!
for _i in $(seq $((50 * DKD_SLOW))); do docker exec logger test -e /works && break; sleep 0.1; done
stop_daemon KILL >/dev/null 2>&1
wait $inflight 2>/dev/null
sleep 1
DOCKERD=$NEW
start_daemon; ok "a new daemon takes over" || done_testing
is "$(becomes "exited 6" short 5)" "exited 6" "what ended is known"
is "$(docker ps -q | wc -l)" 10 "what ran goes on"
docker events --filter container=oom --filter event=oom --format '{{.Action}}' > "$WORK/oom" & watching=$!
# the end of stdin would be the end of the attachment
{ sleep 0.3; echo hello; for _i in $(seq $((300 * DKD_SLOW))); do grep -q got "$WORK/out" && break; sleep 0.1; done; } |
	timeout $((10 * DKD_SLOW)) "$DOCKER" -H "unix://$SOCK" attach input > "$WORK/out" 2>&1
is "$(cat "$WORK/out") $(state input)" "got hello exited 4" "attach, stdin, its end and exit code"
is "$(api_status POST '/containers/term/resize?h=31&w=72')" 200 "resize"
{ sleep 0.3; echo; } | timeout 10 curl -sN --unix-socket "$SOCK" -X POST -H 'Upgrade: tcp' -H 'Connection: Upgrade' -T - \
	"http://d/containers/term/attach?stream=1&stdin=1&stdout=1" --max-time 3 >/dev/null 2>&1
is "$(becomes "exited 5" term 5) $(docker logs term | grep -c '31 72')" "exited 5 1" "of a terminal, typed into"
is "$(docker inspect -f '{{.State.Paused}}' paused)" true "paused is paused"
docker unpause paused >/dev/null && is "$(docker exec paused echo in)" in "unpause, exec"
docker pause paused >/dev/null && docker unpause paused >/dev/null; ok "pause"
is "$(timeout $((10 * DKD_SLOW)) "$DOCKER" -H "unix://$SOCK" wait always 2>&1)" 1 "wait"
sleep 0.5
like "$(docker inspect -f '{{.RestartCount}} {{.State.Running}}' always)" '^[1-9]' "restart policy"
docker stop -t 5 trap >/dev/null; is "$(state trap)" "exited 7" "stop by its signal"
docker kill -s KILL rm0 >/dev/null
for i in $(seq $((40 * DKD_SLOW))); do docker inspect rm0 >/dev/null 2>&1 || break; sleep 0.05; done
! docker inspect rm0 >/dev/null 2>&1; ok "kill, and --rm goes"
is "$(docker exec logger cat /by-exec)" over "an exec in flight came to its end"
kill -KILL "$(sed 's/.*"shim":\([0-9]*\).*/\1/' "$WORK/exec/containers/$lost/shim.json")"
is "$(becomes "exited 137" lost 3)" "exited 137" "a killed old shim is noticed"
docker exec oom touch /go
is "$(becomes "exited 137" oom $((10 * DKD_SLOW))) $(docker inspect -f '{{.State.OOMKilled}}' oom)" "exited 137 true" "out of memory"
for i in $(seq $((10 * DKD_SLOW))); do [ -s "$WORK/oom" ] && break; sleep 0.1; done
sleep 0.3; kill $watching; wait $watching 2>/dev/null
is "$(cat "$WORK/oom")" oom "told once"
docker logs logger > "$WORK/l"; n=$(wc -l < "$WORK/l")
is "$(seq 0 $((n - 1)) | sha256sum)" "$(sha256sum < "$WORK/l")" "no log line is missing ($n)"
docker restart -t 0 next >/dev/null
is "$(shim_exe "$(docker inspect -f '{{.Id}}' next)")" "$(readlink -f "$top_builddir/dockerd-shim")" "a restart brings today's shim"
docker rm -f $(docker ps -aq) >/dev/null; ok "rm"
is "$(shims | wc -l) $(grep -c "$WORK/root/.*/merged" /proc/self/mountinfo) $(ls "$WORK/exec/runtime" | wc -l)" "0 0 0" "nothing is left"

# the reverse: shims that speak what this daemon does not
newer() { sed -i 's/"version":1/"version":2/' "$WORK/exec/containers/$1/shim.json"; }
n1=$(run n1 busybox sh -c 'trap "exit 8" TERM; echo up; while :; do sleep 0.1; done')
says n1 up
n2=$(run n2 busybox sleep 1000)
n3=$(run n3 busybox sh -c 'sleep 1; exit 9')
pid=$(docker inspect -f '{{.State.Pid}}' n2)
stop_daemon KILL >/dev/null 2>&1
for i in $n1 $n2 $n3; do newer "$i"; done
sleep 1.2
start_daemon; ok "starts beside newer shims"
is "$(state n1) $(state n2) $(docker inspect -f '{{.State.Pid}}' n2)" "running 0 running 0 $pid" "their containers run on"
like "$(docker exec n2 true 2>&1)" 'was started by a newer version: its shim speaks protocol 2, this daemon 1; it runs on untouched' \
	"what needs the shim is refused in words"
like "$(grep 'left alone' "$WORK/log" | head -1)" 'its shim speaks protocol 2, this daemon 1' "and the log says so"
is "$(becomes "exited 9" n3 5)" "exited 9" "an end is still known"
docker stop -t 5 n1 >/dev/null; is "$(state n1)" "exited 8" "stop works, and its exit code"
stop_daemon KILL >/dev/null 2>&1
sed -i 's/"version":2/"version":1/' "$WORK/exec/containers/$n2/shim.json"
start_daemon
is "$(docker exec n2 echo in)" in "the daemon that speaks it takes over"
docker rm -f n1 n2 n3 >/dev/null; ok "rm"
for i in $(seq $((20 * DKD_SLOW))); do [ "$(ls "$WORK/exec/runtime" "$WORK/exec/containers" | grep -c .)" = 2 ] && break; sleep 0.1; done
is "$(shims | wc -l) $(ls "$WORK/exec/runtime" "$WORK/exec/containers" | grep -c .)" "0 2" "nothing is left"
stop_daemon
done_testing
