#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# DOCKER_HOST=ssh://: the client's ssh runs "docker system dial-stdio" beside the daemon. Here ssh is a script that leaves the way
# in between out; what the client and the daemon say to each other is the real thing.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc python3
find_docker
scratch
start_daemon
ok "the daemon is up" || done_testing
load_busybox > /dev/null
mkdir "$WORK/bin"
cat > "$WORK/bin/ssh" << EOF
#!/bin/bash
echo "\$@" >> "$WORK/ssh.args"
while [ \$# -gt 0 ] && [ "\$1" != docker ]; do shift; done
shift
unset DOCKER_HOST
exec "$DOCKER" -H "unix://$SOCK" "\$@"
EOF
chmod 755 "$WORK/bin/ssh"
# A client that waits for ever is a failure, too.
REMOTE=(env "PATH=$WORK/bin:$PATH" DOCKER_HOST=ssh://me@far.example timeout $((30 * DKD_SLOW)) "$DOCKER")
remote() { "${REMOTE[@]}" "$@"; }
N="--network none"

is "$(remote version -f '{{.Server.Version}}')" "$(docker version -f '{{.Server.Version}}')" "version"
like "$(cat "$WORK/ssh.args")" 'far.example .*docker system dial-stdio$' "by dial-stdio at the other end"
is "$(remote run --rm $N busybox echo hi)" hi "run"
is "$(printf 'one\ntwo\n' | remote run -i --rm $N busybox sh -c 'cat; echo end' | paste -sd,)" "one,two,end" "the end of the input gets through, and what is said after it"
head -c 3000000 /dev/urandom > "$WORK/big"
is "$(remote run -i --rm $N busybox md5sum < "$WORK/big" | cut -d' ' -f1)" "$(md5sum < "$WORK/big" | cut -d' ' -f1)" "3 MB in"
remote run -d --name one $N busybox sh -c 'echo first; sleep 1000' > /dev/null
is "$(printf 'in\n' | remote exec -i one sh -c 'read x; echo "$x"; echo err >&2; exit 7' 2> "$WORK/err"; echo "$? $(cat "$WORK/err")")" "in
7 err" "exec: streams and exit code"
remote cp "$WORK/big" one:/big
is "$(remote exec one md5sum /big | cut -d' ' -f1)" "$(md5sum < "$WORK/big" | cut -d' ' -f1)" "cp in"
remote cp one:/big "$WORK/back"
cmp "$WORK/big" "$WORK/back"
ok "cp out"
remote save busybox | remote load -q > /dev/null
ok "save and load, each by a way of its own"
"${REMOTE[@]}" logs -f one > "$WORK/logs" &
logs=$!
"${REMOTE[@]}" events --filter container=one > "$WORK/events" &
events=$!
for _i in $(seq $((50 * DKD_SLOW))); do
	grep -q first "$WORK/logs" && [ "$(api GET /info | grep -o '"NEventsListener":[0-9]*')" = '"NEventsListener":1' ] && break
	sleep 0.1
done
remote kill one > /dev/null
wait "$logs"
is "$? $(cat "$WORK/logs")" "0 first" "logs -f ends with the container"
for _i in $(seq $((50 * DKD_SLOW))); do grep -q 'container die' "$WORK/events" && break; sleep 0.1; done
grep -q 'container die' "$WORK/events"
ok "events come as they happen"
kill "$events"
wait "$events" 2> /dev/null
for _i in $(seq $((100 * DKD_SLOW))); do [ "$(api GET /info | grep -o '"NEventsListener":[0-9]*')" = '"NEventsListener":0' ] && break; sleep 0.1; done
is "$(api GET /info | grep -o '"NEventsListener":[0-9]*')" '"NEventsListener":0' "the listener is gone when its client is"

# dial-stdio by hand: its input ends before the answer comes
get() { printf 'GET %s HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n' "$1"; }
is "$(get /_ping | timeout $((30 * DKD_SLOW)) "$DOCKER" -H "unix://$SOCK" system dial-stdio | tail -1)" OK "an answer after the end of the input"
docker rm -f one > /dev/null
done_testing
