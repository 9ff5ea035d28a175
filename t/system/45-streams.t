#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# attach, logs, exec with a terminal, wait, events: the streams, as the CLI and as raw requests.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc
find_docker
scratch
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
docker events --since 0 --format '{{.Type}} {{.Action}} {{.Actor.Attributes.exitCode}}' > "$WORK/ev" 2>/dev/null & evpid=$!
comes 1 listeners
n=$(docker info -f '{{.NEventsListener}}'); is "$n" 1 "NEventsListener"
docker run --rm --name ev --network none busybox sh -c 'exit 4'
tells "$WORK/ev" "container destroy"; kill "$evpid"
is "$(grep -c '^container ' "$WORK/ev" | head -1)" "$(grep '^container ' "$WORK/ev" | wc -l)" "events are read"
like "$(tr '\n' ',' < "$WORK/ev")" "container create .*,container attach .*container start .*container die 4,.*container destroy" "in Docker's order"
# logs
docker run -d --name lg --network none busybox sh -c 'for i in 1 2 3 4 5; do echo line$i; echo err$i >&2; sleep 0.3; done' >/dev/null
is "$(docker logs -f lg 2>/dev/null | tr '\n' ' ')" "line1 line2 line3 line4 line5 " "logs -f follows to the end"
is "$(docker logs lg 2>&1 >/dev/null | tr '\n' ' ')" "err1 err2 err3 err4 err5 " "stderr apart"
is "$(docker logs --tail 3 lg 2>/dev/null | wc -l)" "$(docker logs lg 2>&1 | tail -3 | grep -c line)" "--tail counts both streams"
like "$(docker logs -t lg 2>/dev/null | head -1)" "^20[0-9-]+T[0-9:.]+Z line1" "-t"
is "$(docker logs --since 1h lg 2>/dev/null | wc -l)" 5 "--since"
is "$(docker logs --until 2000-01-01T00:00:00Z lg 2>/dev/null | wc -l)" 0 "--until"
is "$(api_status GET "/containers/lg/logs")" 400 "neither stdout nor stderr is 400"
like "$(head -1 "$WORK"/root/containers/*/*-json.log)" '^\{"log":"(line1|err1)\\n","stream":"std(out|err)","time":"' "Docker's file format"
docker rm -f lg >/dev/null
# a terminal
out=$(script -qec "'$DOCKER' -H unix://$SOCK run --rm -it --network none busybox sh -c 'tty; stty size; echo done'" /dev/null < /dev/null 2>/dev/null | tr -d '\r')
like "$out" "/dev/pts/0|/dev/console" "run -it has a terminal"
like "$out" done "and its output"
docker run -dit --name tt --network none busybox sh >/dev/null
is "$(api_status POST "/containers/tt/resize?h=40&w=100")" 200 "resize"
like "$(docker exec -t tt tty | tr -d '\r')" "/dev/pts/[0-9]+" "an exec's own terminal"
{ sleep 0.5; echo 'stty size; exit'; sleep 0.5; } | curl -sS --max-time 10 -N -X POST --unix-socket "$SOCK" -H 'Connection: Upgrade' -H 'Upgrade: tcp' -T - "http://d/containers/tt/attach?stream=1&stdin=1&stdout=1" > "$WORK/att" 2>/dev/null
docker rm -f tt >/dev/null
# wait answers its headers at once
docker create --name ww --network none busybox sh -c 'sleep 1; exit 9' >/dev/null
curl -sS -v -N --max-time 20 -X POST --unix-socket "$SOCK" "http://d/containers/ww/wait?condition=next-exit" > "$WORK/wait" 2>&1 & wpid=$!
tells "$WORK/wait" "200 OK"
like "$(cat "$WORK/wait")" "200 OK" "wait: headers before the exit"
docker start ww >/dev/null
wait "$wpid"
like "$(cat "$WORK/wait")" '"StatusCode":9' "wait: the code"
docker rm ww >/dev/null
# many bytes, both ways
is "$(head -c 3000000 /dev/urandom | tee "$WORK/rnd" | docker run --rm -i --network none busybox cat | sha256sum)" "$(sha256sum < "$WORK/rnd")" "3 MB through stdin and stdout"
is "$(docker run --rm --network none busybox sh -c 'i=0; while [ $i -lt 20000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done' | wc -c)" 820000 "820 kB of output, none lost"
# detach keys, then attach again
docker run -d --name many --network none busybox sh -c 'i=0; while [ $i -lt 30 ]; do echo $i; i=$((i+1)); sleep 0.1; done' >/dev/null
timeout 2 "$DOCKER" -H "unix://$SOCK" attach --no-stdin --sig-proxy=false many > "$WORK/a1" 2>/dev/null & p1=$!
"$DOCKER" -H "unix://$SOCK" attach --no-stdin many > "$WORK/a2" 2>/dev/null
wait $p1 2>/dev/null
is "$(tail -1 "$WORK/a2")" 29 "one attacher leaves, the other reads to the end"
docker rm -f many >/dev/null
# a client that vanishes is noticed
docker run -d --name sl --network none busybox sleep 60 >/dev/null
timeout 1 "$DOCKER" -H "unix://$SOCK" wait sl >/dev/null
sleep 1
j=$(api GET /debug/commands >/dev/null 2>&1; ls "/proc/$DPID/task" | wc -l)
[ "$j" -lt 40 ]; ok "its thread ended ($j threads)"
docker rm -f sl >/dev/null
stop_daemon; is "$DSTATUS" 0 "stops"
done_testing
