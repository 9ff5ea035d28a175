#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The log driver gelf: its messages, transports, compression and chunks, a server that is down or hangs up, the next daemon, options.
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
sink() { # KIND [COUNT]: a server
	: > "$WORK/ready"
	: > "$G"
	python3 "$top_srcdir/t/tools/gelfsink.py" "$1" "$port" "$G" ${2:+"$2"} > "$WORK/ready" 2> "$WORK/sink.err" &
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
# Each message's values of some fields, "-" where it has none.
field() { jq -r --args '. as $m | [$ARGS.positional[] | $m[.] // "-" | tostring] | join(" ")' "$@" < "$G"; }
each() { is "$(field "$1" | sort -u)" "$2" "$1"; }
run() { docker run --network none --log-driver gelf "$@"; }
bad() { # description, text, options
	_body=$(printf '{"Image":"busybox","HostConfig":{"LogConfig":{"Type":"gelf","Config":{%s}}}}' "$3")
	is "$(api POST /containers/create -H 'Content-Type: application/json' -d "$_body")" "{\"message\":\"$2\"}" "$1"
}
UDP="--log-opt gelf-address=udp://127.0.0.1:$port"
TCP="--log-opt gelf-address=tcp://127.0.0.1:$port"

# a message
sink udp; ok "a server"
id=$(run -d --name ge $UDP --label color=blue --label _x.y=z --label other=no -e ONE=1 --log-opt labels=color,_x.y --log-opt env=ONE --log-opt 'tag={{.Name}}/t' \
	busybox sh -c 'printf "\"q\"\\ <&> \t\001\303\251 \377\n\n"; sleep 0.3; echo err >&2')
docker wait ge >/dev/null
arrives 2 "both lines arrive, and the empty one does not"
each version 1.1
each host "$(hostname)"
is "$(field level short_message | LC_ALL=C sort)" "3 err
6 "'"q"\ <&> 	'"$(printf '\001')é $(printf '\357\277\275')" "level, by stream, and short_message, where what is no UTF-8 is marked"
is "$(field timestamp | xargs printf '%.3f\n' | sort)" "$(docker logs -t ge 2>&1 | LC_ALL=C grep -av 'Z $' | LC_ALL=C sed 's/ .*//' | sort | while read -r _t; do date -d "$_t" +%s.%3N; done)" \
	"timestamp, of the record"
each _container_id "$id"
each _container_name ge
each _command 'sh -c printf "\"q\"\\ <&> \t\001\303\251 \377\n\n"; sleep 0.3; echo err >&2'
each _image_name busybox
each _image_id "$(docker inspect -f '{{.Image}}' ge)"
each _created "$(docker inspect -f '{{.Created}}' ge)"
each _tag ge/t
each _color blue
each _x.y z
each _ONE 1
each _other -
each _FORM gzip
is "$(docker logs ge 2>/dev/null | head -c 4)" '"q"\' "docker logs"
docker rm -f ge >/dev/null
: > "$G"
run --rm $UDP --label tag=mine --log-opt labels=tag busybox echo hi >/dev/null
arrives 1 "arrives before --rm is done"
each _tag mine
unsink

# how it is packed
for type in gzip zlib none; do
	sink udp
	run --rm $UDP --log-opt gelf-compression-type=$type --log-opt gelf-compression-level=9 busybox sh -c 'echo one; head -c 20000 /dev/zero | tr "\0" x; echo' >/dev/null
	arrives 3 "$type: all arrives"
	is "$(field short_message | awk '{ print length($0) }' | sort -n | tr '\n' ' ')" "3 3616 16384 " "a long line as pieces"
	case $type in none) want="none none/12 none/3" ;; *) want="$type" ;; esac
	is "$(field _FORM | sort -u | tr '\n' ' ')" "$want " "packed like this"
	unsink
done
sink udp
run --rm $UDP --log-opt gelf-compression-level=0 busybox sh -c 'head -c 16000 /dev/zero | tr "\0" x; echo' >/dev/null
arrives 1 "a large one, of gzip's level 0"
like "$(field _FORM)" '^gzip/12$' "in chunks"
: > "$G"
python3 -c 'import json; print(json.dumps({"Image": "busybox", "Cmd": ["echo", "hi"], "Labels": {"big": "b" * 200000},
	"HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "gelf", "Config": {"gelf-address": "udp://127.0.0.1:'"$port"'", "labels": "big", "gelf-compression-type": "none"}}}}))' > "$WORK/create.json"
is "$(api_status POST '/containers/create?name=big' -H 'Content-Type: application/json' --data-binary "@$WORK/create.json")" 201 "a container with a large label"
docker start big >/dev/null
docker wait big >/dev/null
for _i in $(seq $((100 * DKD_SLOW))); do grep -q 'too long for 128' "$WORK/log" && break; sleep 0.1; done
like "$(grep gelf "$WORK/log" | tail -1)" "a message is too long for 128 datagrams" "what is too long is dropped, which is told"
is "$(docker logs big)" hi "and read from the cache"
docker rm -f big >/dev/null
is "$(wc -l < "$G")" 0 "nothing of it came"
unsink

# by tcp: a server that hangs up, is down, comes back
sink tcp 2
run -d --name tc $TCP --log-opt gelf-tcp-max-reconnect=1 --log-opt gelf-tcp-reconnect-delay=0 \
	busybox sh -c 'echo one; echo two; while [ ! -e /go ]; do sleep 0.1; done; echo three; echo four; while [ ! -e /on ]; do sleep 0.1; done; echo five; sleep 1000' >/dev/null
arrives 2 "tcp"
each _FORM none
dir=$(ls -d "$WORK"/root/containers/*)
pid=$(docker inspect -f '{{.State.Pid}}' tc)
touch "/proc/$pid/root/go"
arrives 4 "a server that hangs up is called again"
is "$(field short_message | tr '\n' ' ')" "one two three four " "in order, nothing twice"
noted() { [ "$(cut -d ' ' -f 3 "$dir/log-cursor" 2>/dev/null)" = "$(stat -c %s "$dir/container-cached.log")" ]; }
for _i in $(seq $((100 * DKD_SLOW))); do noted && break; sleep 0.1; done
noted; ok "how far it came is noted"
unsink
stop_daemon KILL 2>/dev/null
touch "/proc/$pid/root/on"
start_daemon; ok "the next daemon"
for _i in $(seq $((100 * DKD_SLOW))); do [ "$(docker logs tc | wc -l)" = 5 ] && break; sleep 0.1; done
is "$(docker logs tc | tail -1)" five "no server stops the container"
sink tcp
arrives 1 "and gets the rest when it comes"
is "$(field short_message)" five "only that"
docker rm -f tc >/dev/null; ok "is removed"
unsink

# nonsense, in Docker's words
bad "no address" "gelf-address is a required parameter" ''
bad "an address without a protocol" "gelf-address should be in form proto://address, got x" '"gelf-address":"x"'
bad "another protocol" "gelf: endpoint needs to be TCP or UDP" '"gelf-address":"unix:///x"'
bad "no port" "gelf: please provide gelf-address as proto://host:port" '"gelf-address":"udp://h"'
bad "a port" 'parse \"udp://h:x\": invalid port \":x\" after host' '"gelf-address":"udp://h:x"'
A='"gelf-address":"udp://h:1"'
T='"gelf-address":"tcp://h:1"'
bad "an unknown option" "unknown log opt 'foo' for gelf log driver" "$A,\"foo\":\"1\""
bad "a type" 'unknown value \"lz4\" for log opt \"gelf-compression-type\" for gelf log driver' "$A,\"gelf-compression-type\":\"lz4\""
bad "a level" 'unknown value \"10\" for log opt \"gelf-compression-level\" for gelf log driver' "$A,\"gelf-compression-level\":\"10\""
bad "compression by tcp" "compression is only supported on UDP" "$T,\"gelf-compression-type\":\"gzip\""
bad "tcp's options by udp" '\"gelf-tcp-max-reconnect\" is only valid for TCP' "$A,\"gelf-tcp-max-reconnect\":\"1\""
bad "a number" '\"gelf-tcp-reconnect-delay\" must be a positive integer' "$T,\"gelf-tcp-reconnect-delay\":\"-1\""
like "$(docker info -f '{{.Plugins.Log}}')" gelf "info lists it"
stop_daemon; ok "the daemon ends"
done_testing
