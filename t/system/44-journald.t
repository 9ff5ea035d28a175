#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The log driver journald, against a journal of the test's own: in a mount namespace, where /run/systemd/journal is a folder of the test.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc python3
need_apart
find_docker
scratch
mkdir -p "$WORK/systemd"
JOURNAL=/run/systemd/journal
# The host may have none, or one of its own, which is out of sight from here on.
{ [ -d /run/systemd ] || { mount -t tmpfs tmpfs /run && mkdir /run/systemd; }; } && mount --bind "$WORK/systemd" /run/systemd && mkdir "$JOURNAL"
ok "a place for a journal" || done_testing
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
SINKS=
trap 'kill $SINKS 2>/dev/null; cleanup' EXIT
E=$WORK/entries
journal() {
	: > "$WORK/ready"
	python3 "$top_srcdir/t/tools/fakejournal.py" "$JOURNAL/socket" "$E" > "$WORK/ready" 2> "$WORK/journal.err" &
	SINK=$!
	SINKS="$SINKS $SINK"
	for _i in $(seq $((200 * DKD_SLOW))); do grep -q ready "$WORK/ready" && return 0; sleep 0.05; done
	return 1
}
unjournal() { kill "$SINK"; wait "$SINK" 2>/dev/null; }
arrives() { # COUNT description: so many entries, and no more
	for _i in $(seq $((400 * DKD_SLOW))); do [ -e "$E" ] && [ "$(wc -l < "$E")" -ge "$1" ] && break; sleep 0.05; done
	is "$(wc -l < "$E")" "$1" "$2" || cat "$WORK/journal.err"
}
# Each entry's value of a field, "-" where it has none; several with "," between.
field() { python3 -c 'import json, sys
for line in open(sys.argv[1]): print(",".join(json.loads(line).get(sys.argv[2], ["-"])))' "$E" "$1"; }
run() { docker run --network none --log-driver journald "$@"; }

# no journal
docker create --name no --network none --log-driver journald busybox true >/dev/null; ok "a container is made without a journal"
_out=$(api POST /containers/no/start)
is "$_out" '{"message":"failed to initialize logging driver: journald is not enabled on this host"}' "and not started, in Docker's words"
is "$(api_status POST /containers/no/start)" 500 "with its status"
is "$(docker inspect -f '{{.State.Status}}' no)" created "it did not run"
is "$(api POST /containers/create -H 'Content-Type: application/json' -d '{"Image":"busybox","HostConfig":{"LogConfig":{"Type":"journald","Config":{"foo":"1"}}}}')" \
	"{\"message\":\"unknown log opt 'foo' for journald log driver\"}" "an unknown option"

# fields
journal; ok "a journal"
docker start no >/dev/null; ok "now it starts"
docker rm -f no >/dev/null
id=$(run -d --name jd --label color=blue --label _x.y=z --label Other=no -e ONE=1 --log-opt labels=color,_x.y --log-opt env=ONE --log-opt 'tag={{.Name}}/t' \
	busybox sh -c 'echo out; sleep 0.3; echo err >&2')
docker wait jd >/dev/null
arrives 2 "both lines arrive"
each() { is "$(field "$1" | uniq)" "$2" "$1"; }
is "$(field MESSAGE)" "out
err" "MESSAGE"
is "$(field PRIORITY)" "6
3" "PRIORITY, by stream"
each CONTAINER_ID "$(printf %.12s "$id")"
each CONTAINER_ID_FULL "$id"
each CONTAINER_NAME jd
each CONTAINER_TAG jd/t
each SYSLOG_IDENTIFIER jd/t
each IMAGE_NAME busybox
each COLOR blue
each X_Y z
each ONE 1
each OTHER -
each CONTAINER_PARTIAL_ID -
each _VIA datagram
is "$(field CONTAINER_LOG_ORDINAL)" "1
2" "CONTAINER_LOG_ORDINAL"
like "$(field CONTAINER_LOG_EPOCH | uniq)" '^[0-9a-f]{64}$' "CONTAINER_LOG_EPOCH, the same in both"
is "$(field CONTAINER_LOG_EPOCH | uniq | wc -l)" 1 "..."
is "$(field SYSLOG_TIMESTAMP)" "$(docker logs -t jd 2>&1 | sed 's/ .*//; s/\.\{0,1\}0*Z$/Z/' | sort)" "SYSLOG_TIMESTAMP, of the record"
is "$(docker logs jd 2>/dev/null)" out "docker logs"
epoch=$(field CONTAINER_LOG_EPOCH | uniq)
: > "$E"
docker start jd >/dev/null
arrives 2 "a second run"
unlike "$(field CONTAINER_LOG_EPOCH)" "$epoch" "is another epoch"
docker rm -f jd >/dev/null

# a long line
: > "$E"
run --rm busybox sh -c 'head -c 40000 /dev/zero | tr "\0" x; echo; echo short' >/dev/null
arrives 4 "a long line comes in pieces, before --rm is done"
is "$(field MESSAGE | awk '{ print length($0) }' | tr '\n' ' ')" "16384 16384 7232 5 " "each at most 16 KiB"
is "$(field CONTAINER_PARTIAL_ORDINAL | tr '\n' ' ')" "1 2 3 - " "CONTAINER_PARTIAL_ORDINAL"
is "$(field CONTAINER_PARTIAL_LAST | tr '\n' ' ')" "false false true - " "CONTAINER_PARTIAL_LAST"
is "$(field CONTAINER_PARTIAL_MESSAGE | tr '\n' ' ')" "true true - - " "CONTAINER_PARTIAL_MESSAGE"
is "$(field CONTAINER_PARTIAL_ID | head -3 | uniq | grep -cE '^[0-9a-f]{64}$')" 1 "CONTAINER_PARTIAL_ID, one for all"

# values with line feeds, and what no datagram has room for
: > "$E"
python3 -c 'import json; print(json.dumps({"Image": "busybox", "Cmd": ["echo", "hi"], "NetworkDisabled": True, "Labels": {"two": "1\n2=3\n", "big": "b" * 1500000, "message": "m"},
	"HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "journald", "Config": {"labels-regex": "^(two|big)$"}}}}))' > "$WORK/create.json"
is "$(api_status POST '/containers/create?name=big' -H 'Content-Type: application/json' --data-binary "@$WORK/create.json")" 201 "a container with large labels"
docker start big >/dev/null
arrives 1 "its line arrives"
is "$(field _VIA) $(field _SEALED)" "file True" "in a sealed file"
is "$(field TWO)" "1
2=3" "a value with line feeds"
is "$(field BIG | wc -c)" 1500001 "all of a long one"
is "$(field MESSAGE)" hi "and the message"
docker rm -f big >/dev/null

# a journal that goes and comes
: > "$E"
run -d --name go busybox sh -c 'echo one; while [ ! -e /go ]; do sleep 0.1; done; echo two; sleep 1000' >/dev/null
arrives 1 "a line before"
unjournal
pid=$(docker inspect -f '{{.State.Pid}}' go)
touch "/proc/$pid/root/go"
for _i in $(seq $((100 * DKD_SLOW))); do [ "$(docker logs go | wc -l)" = 2 ] && break; sleep 0.1; done
is "$(docker logs go)" "one
two" "no journal stops the container"
journal; ok "the journal is back"
arrives 2 "with what came meanwhile"
is "$(field CONTAINER_LOG_ORDINAL | tr '\n' ' ')" "1 2 " "in order, with no gap"
docker rm -f go >/dev/null
unjournal
stop_daemon; ok "the daemon ends"
done_testing
