#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The log driver fluentd: its messages, transports, acknowledgements that come, are wrong, do not come, a server that is down, options.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc python3 jq
find_docker
scratch
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
SINKS=
trap 'kill $SINKS 2>/dev/null; cleanup' EXIT
G=$WORK/got
sink() { # KIND ADDRESS [HOW...]: a server
	: > "$WORK/ready"
	: > "$G"
	_kind=$1 _at=$2
	shift 2
	python3 "$top_srcdir/t/tools/fluentsink.py" "$_kind" "$_at" "$G" "$@" > "$WORK/ready" 2> "$WORK/sink.err" &
	SINK=$!
	SINKS="$SINKS $SINK"
	for _i in $(seq $((200 * DKD_SLOW))); do grep -q ready "$WORK/ready" && return 0; sleep 0.05; done
	return 1
}
unsink() { kill "$SINK"; wait "$SINK" 2>/dev/null; }
arrives() { # COUNT description: so many messages, and no more
	for _i in $(seq $((400 * DKD_SLOW))); do [ "$(wc -l < "$G")" -ge "$1" ] && break; sleep 0.05; done
	is "$(wc -l < "$G")" "$1" "$2" || cat "$WORK/sink.err"
}
# Each message's values of some fields, "-" where it has none; and of what is beside the fields.
field() { jq -r --args '. as $m | [$ARGS.positional[] | $m.fields[.] // "-" | tostring] | join(" ")' "$@" < "$G"; }
beside() { jq -rc ".$1" < "$G"; }
each() { is "$(field "$1" | sort -u)" "$2" "$1"; }
run() { docker run --network none --log-driver fluentd "$@"; }
bad() { # description, text, options
	_body=$(printf '{"Image":"busybox","HostConfig":{"LogConfig":{"Type":"fluentd","Config":{%s}}}}' "$3")
	is "$(api POST /containers/create -H 'Content-Type: application/json' -d "$_body")" "{\"message\":\"$2\"}" "$1"
}
TCP="--log-opt fluentd-address=127.0.0.1:$port"

# a message
sink tcp "$port"; ok "a server"
id=$(run -d --name fl $TCP --label color=blue --label other=no -e ONE=1 --log-opt labels=color --log-opt env=ONE --log-opt 'tag={{.Name}}/t' \
	busybox sh -c 'printf "\"q\" \303\251 \377\n\n"; sleep 0.3; echo err >&2')
docker wait fl >/dev/null
arrives 3 "all lines arrive"
is "$(field source log | LC_ALL=C sort)" 'stderr err
stdout 
stdout "q" é \xff' "source and log, which may be empty and any bytes"
each container_id "$id"
each container_name /fl
each color blue
each ONE 1
each other -
each partial_id -
is "$(beside tag | sort -u)" fl/t "tag"
is "$(beside options | sort -u)" "{}" "no options"
is "$(beside time | sort)" "$(docker logs -t fl 2>&1 | LC_ALL=C sed 's/ .*//' | sort | while read -r _t; do date -d "$_t" +%s; done)" "time, in seconds"
is "$(docker logs fl 2>/dev/null | head -c 3)" '"q"' "docker logs"
docker rm -f fl >/dev/null
: > "$G"
run --name fs $TCP --log-opt fluentd-sub-second-precision=true --label source=mine --log-opt labels=source busybox echo hi >/dev/null
arrives 1 "another one"
is "$(beside time)" "$(docker logs -t fs | sed 's/ .*//' | while read -r _t; do date -d "$_t" +%s.%N; done)" "time, in nanoseconds"
each source mine
docker rm -f fs >/dev/null
unsink

# a long line, by unix
sink unix "$WORK/fluent.sock"
run --rm --log-opt "fluentd-address=unix://$WORK/fluent.sock" busybox sh -c 'head -c 40000 /dev/zero | tr "\0" x; echo; echo short' >/dev/null
arrives 4 "unix: a long line comes in pieces, before --rm is done"
is "$(field log | awk '{ print length($0) }' | tr '\n' ' ')" "16384 16384 7232 5 " "each at most 16 KiB"
is "$(field partial_message partial_ordinal partial_last | tr '\n' ' ')" "true 1 false true 2 false true 3 true - - - " "partial_*"
is "$(field partial_id | head -3 | uniq | grep -cE '^[0-9a-f]{64}$')" 1 "partial_id, one for all"
unsink

# acknowledgements
sink tcp "$port" ack
run -d --name ack $TCP --log-opt fluentd-request-ack=true busybox sh -c 'echo one; echo two; echo three' >/dev/null
arrives 3 "acknowledged: all arrives"
is "$(field log | tr '\n' ' ')" "one two three " "in order"
is "$(beside options | sort -u | grep -cE '^\{"chunk":"[A-Za-z0-9+/=]{24}"\}$')" 3 "each with a chunk of its own"
is "$(beside connection | sort -u)" 1 "by one connection"
docker rm -f ack >/dev/null
unsink
sink tcp "$port" wrong
run -d --name ack $TCP --log-opt fluentd-request-ack=true --log-opt fluentd-max-retries=3 --log-opt fluentd-retry-wait=20ms busybox sh -c 'echo one; echo two' >/dev/null
arrives 3 "a wrong answer: it is sent again"
is "$(field log | tr '\n' ' ')$(beside connection | tr '\n' ' ')" "one one two 1 2 2 " "by another connection"
unsink
sink tcp "$port" mute
docker rm -f ack >/dev/null
run -d --name ack $TCP --log-opt fluentd-request-ack=true --log-opt fluentd-read-timeout=$((2 * DKD_SLOW))s busybox sh -c 'echo one; echo two' >/dev/null
arrives 3 "no answer in time: it is sent again"
is "$(field log | tr '\n' ' ')$(beside connection | tr '\n' ' ')" "one one two 1 2 2 " "by another connection"
docker rm -f ack >/dev/null
unsink

# connections anew
sink tcp "$port"
run -d --name re $TCP --log-opt fluentd-async=true --log-opt fluentd-async-reconnect-interval=100ms busybox \
	sh -c 'echo one; while [ ! -e /go ]; do sleep 0.1; done; echo two' >/dev/null
arrives 1 "one line"
sleep 0.2
touch "/proc/$(docker inspect -f '{{.State.Pid}}' re)/root/go"
arrives 2 "fluentd-async-reconnect-interval"
docker rm -f re >/dev/null
is "$(beside connection | tr '\n' ' ')" "1 2 " "makes another connection"
: > "$G"
# a server that is down delays nothing, and gets all when it comes; also from the next daemon
run -d --name dn $TCP busybox sh -c 'echo one; while [ ! -e /go ]; do sleep 0.1; done; echo two; sleep 1000' >/dev/null
arrives 1 "a line before"
unsink
dir=$(ls -d "$WORK"/root/containers/*)
pid=$(docker inspect -f '{{.State.Pid}}' dn)
noted() { [ "$(cut -d ' ' -f 3 "$dir/log-cursor" 2>/dev/null)" = "$(stat -c %s "$dir/container-cached.log")" ]; }
for _i in $(seq $((100 * DKD_SLOW))); do noted && break; sleep 0.1; done
noted; ok "how far it came is noted"
touch "/proc/$pid/root/go"
for _i in $(seq $((100 * DKD_SLOW))); do [ "$(docker logs dn | wc -l)" = 2 ] && break; sleep 0.1; done
is "$(docker logs dn | tail -1)" two "no server stops the container"
stop_daemon KILL 2>/dev/null
start_daemon; ok "the next daemon"
sink tcp "$port"
arrives 1 "hands on the rest"
is "$(field log)" two "only that"
docker rm -f dn >/dev/null
unsink

# nonsense, in Docker's words
bad "an unknown option" "unknown log opt 'foo' for fluentd log driver" '"foo":"1"'
address() { bad "$1" "invalid fluentd-address ($1): $2" "\"fluentd-address\":\"$1\""; }
address "udp://h:1" "unsupported scheme: 'udp'"
address "unix://" "path is empty"
address "unix:///" "path is empty"
address "tcp://h:1/path" "should not contain a path element"
address "h:x" 'parse \"tcp://h:x\": invalid port \":x\" after host'
address "h:65536" 'invalid port: strconv.ParseUint: parsing \"65536\": value out of range'
address "a:b:c" 'parse \"tcp://a:b:c\": invalid port \":c\" after host'
address "[::1" "parse \\\"tcp://[::1\\\": missing ']' in host"
bad "a bool" 'strconv.ParseBool: parsing \"x\": invalid syntax' '"fluentd-async":"x"'
bad "a size" "invalid size: '-1'" '"fluentd-buffer-limit":"-1"'
bad "a duration" 'time: missing unit in duration \"1\"' '"fluentd-retry-wait":"1"'
bad "another" 'time: unknown unit \"d\" in duration \"1d\"' '"fluentd-retry-wait":"1d"'
bad "another" 'time: invalid duration \"x\"' '"fluentd-retry-wait":"x"'
bad "a number" 'strconv.ParseUint: parsing \"-1\": invalid syntax' '"fluentd-max-retries":"-1"'
bad "an interval" 'invalid value for fluentd-async-reconnect-interval: value (\"11s\") must be between 100ms and 10s' '"fluentd-async-reconnect-interval":"11s"'
bad "a timeout" 'invalid value for fluentd-write-timeout: value must be a duration that is non-negative' '"fluentd-write-timeout":"-1s"'
bad "another" 'invalid value for fluentd-read-timeout: value must be a duration: time: invalid duration \"x\"' '"fluentd-read-timeout":"x"'
for good in '"fluentd-address":"[::1]:1"' '"fluentd-address":"h:"' '"fluentd-async":""' '"fluentd-buffer-limit":"1.5 MiB"' '"fluentd-retry-wait":"1h2m3.5s"' \
	'"fluentd-max-retries":"0"' '"fluentd-async-reconnect-interval":"0"'; do
	is "$(api_status POST /containers/create -H 'Content-Type: application/json' -d "{\"Image\":\"busybox\",\"HostConfig\":{\"LogConfig\":{\"Type\":\"fluentd\",\"Config\":{$good}}}}")" 201 "$good"
done
like "$(docker info -f '{{.Plugins.Log}}')" fluentd "info lists it"
stop_daemon; ok "the daemon ends"
done_testing
