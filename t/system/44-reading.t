#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What docker logs answers for every driver: streams, times, tails, details, followers, terminals, bytes that are no text.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 busybox runc
find_docker
scratch
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
timeout $((60 * DKD_SLOW)) python3 "$top_srcdir/t/clients/logs.py" "$SOCK" > "$WORK/tap" 2> "$WORK/err" || TAP_BAD=$((TAP_BAD + 1))
tail -3 "$WORK/err" | sed 's/^/# /'
awk -v n="$TAP_N" '/^1\.\./ { next } match($0, /^(not )?ok [0-9]+/) { sub(/ok [0-9]+/, "ok " ++n) } { print }' "$WORK/tap"
TAP_N=$((TAP_N + $(grep -c '^\(not \)\{0,1\}ok ' "$WORK/tap")))

# what all containers are told
stop_daemon; ok "the daemon ends"
start_daemon --log-opt max-size=nope; is $? 1 "a size that is none stops the daemon"
like "$(tail -1 "$WORK/log")" "failed to initialize logging driver: invalid size: 'nope'" "with its reason"
start_daemon --log-opt cache-disabled=nope; is $? 1 "so does a cache's"
start_daemon --log-driver local --log-opt labels=x; is $? 1 "and an option of another driver"
like "$(tail -1 "$WORK/log")" "unknown log opt 'labels' for log driver local" "by its name"
start_daemon --log-opt mode=non-blocking --log-opt max-buffer-size=nope; is $? 1 "and a buffer's size"
echo '{"log-driver": "none", "log-opts": {"max-size": "1m"}}' > "$WORK/daemon.json"
start_daemon; ok "none for all"
is "$(docker info -f '{{.LoggingDriver}}')" none "as info says"
is "$(docker run --rm --network none busybox echo hi)" hi "an attachment sees what no log has"
docker run -d --name quiet --network none busybox echo hi >/dev/null
docker wait quiet >/dev/null
is "$(docker logs quiet 2>&1)" "Error response from daemon: configured logging driver does not support reading" "and logs say so"
docker run -d --name own --network none --log-driver local busybox echo hi >/dev/null
docker wait own >/dev/null
is "$(docker logs own)" hi "one with a driver of its own is read"
docker rm quiet own >/dev/null
stop_daemon; is "$DSTATUS" 0 "the daemon ends"
done_testing
