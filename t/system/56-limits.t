#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Memory and processes run out inside a container. RUNS: ends for want of memory, one after the other.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc timeout
find_docker
[ -e /sys/fs/cgroup/memory/memory.oom_control ] || grep -qs memory /sys/fs/cgroup/cgroup.controllers || skip_all "no memory controller"
scratch
RUNS=${RUNS:-3}
state() { docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' "$1"; }
ooms() { grep -c "^oom" "$WORK/events"; }
settle() { for _i in $(seq $((40 * DKD_SLOW))); do [ "$(ooms)" -ge "$1" ] && break; sleep 0.05; done; sleep 0.3; ooms; }
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
watch() { docker events --filter event=oom --filter event=die --format '{{.Action}}' > "$WORK/events" & watching=$!; comes 1 listeners; }
watch
eater='exec tail /dev/zero' # keeps what it reads until a line ends
bad=
for i in $(seq "$RUNS"); do
	docker run --name oo --network none --memory 16m busybox sh -c "$eater" >/dev/null 2>&1
	[ "$? $(state oo)" = "137 exited 137 true" ] || bad="$bad $i: $(state oo);"
	docker rm oo >/dev/null
done
is "$bad" "" "$RUNS containers out of memory: 137, OOMKilled"
is "$(settle "$RUNS") $(tr '\n' ' ' < "$WORK/events")" "$RUNS $(for i in $(seq "$RUNS"); do printf 'oom die '; done)" "one event each, before its die"
# somebody else than the first process
docker run -d --name ee --network none --memory 24m busybox sleep 1000 >/dev/null
for i in 1 2 3; do docker exec ee sh -c "$eater" >/dev/null 2>&1; is $? 137 "an exec out of memory ($i)"; settle $((RUNS + i)) >/dev/null; done
is "$(ooms)" $((RUNS + 3)) "each is told, while the container goes on"
is "$(state ee)" "running 0 true" "as inspect says"
docker run -d --name ww --network none --memory 16m busybox sh -c "(sh -c '$eater'); (sh -c '$eater'); sleep 1000" >/dev/null
is "$(settle $((RUNS + 5)))" $((RUNS + 5)) "children, too"
kill $watching; wait $watching 2>/dev/null
# while the daemon is away
mkdir "$WORK/away"
go='while [ ! -e /w/go ]; do sleep 0.1; done'
docker run -d --name aw --network none --memory 16m -v "$WORK/away:/w" busybox sh -c "$go; (sh -c '$eater'); : > /w/eaten; sleep 1000" >/dev/null
docker run -d --name ad --network none --memory 16m -v "$WORK/away:/w" busybox sh -c "$go; $eater" >/dev/null
ad=$(docker inspect -f '{{.State.Pid}}' ad) since=$(date +%s)
stop_daemon KILL >/dev/null 2>&1
: > "$WORK/away/go"
for i in $(seq $((100 * DKD_SLOW))); do [ -e "$WORK/away/eaten" ] && ! kill -0 "$ad" 2>/dev/null && break; sleep 0.1; done
start_daemon; ok "comes back"
for i in $(seq $((20 * DKD_SLOW))); do [ "$(state ad)" = "exited 137 true" ] && break; sleep 0.1; done
told() { docker events --since "$since" --until "$(($(date +%s) + 1))" --filter event=oom --format '{{.Actor.Attributes.name}}' | sort | tr '\n' ' '; }
for i in $(seq $((5 * DKD_SLOW))); do [ "$(told)" = "ad aw " ] && break; done
is "$(told)" "ad aw " \
	"what nobody heard of is told to the next daemon"
is "$(state ad)" "exited 137 true" "an end for want of memory is known as one"
docker stop -t 0 ee >/dev/null; is "$(state ee)" "exited 137 true" "and what was killed before stays known"
docker rm -f ee ww aw ad >/dev/null
# processes
docker run -d --name ff --network none --pids-limit 64 busybox sh -c 'b() { b | b & }; (b) & exec sleep 1000' >/dev/null
sleep 1
ps=$(docker inspect -f '{{.State.Pid}}' ff)
cg=$(find /sys/fs/cgroup -path "*$(docker inspect -f '{{.Id}}' ff)*" -name pids.current 2>/dev/null | head -1)
if [ -n "$cg" ]; then n=$(cat "$cg"); [ "$n" -le 64 ]; ok "a fork bomb is held at 64 processes ($n)"; else skip "a fork bomb is held" "no pids controller"; fi
slow=0
for i in 1 2 3 4 5; do
	t=$(curl -s -o /dev/null -w '%{time_total}' --unix-socket "$SOCK" http://d/_ping | tr -d .); t=$(expr "$t" + 0); [ "$t" -gt "$slow" ] && slow=$t
done
[ "$slow" -lt $((170000 * DKD_SLOW)) ]; ok "the daemon answers meanwhile"
echo "# within $slow us"
timeout $((10 * DKD_SLOW)) "$DOCKER" -H "unix://$SOCK" rm -f ff >/dev/null; ok "and removes it"
! kill -0 "$ps" 2>/dev/null; ok "it is gone"
stop_daemon
done_testing
