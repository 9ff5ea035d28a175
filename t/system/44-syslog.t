#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Log drivers that run in the daemon, by syslog: transports, formats, a server that is down, the daemon's end, the cache that is read.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc python3
find_docker
scratch
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
SINKS=
trap 'kill $SINKS 2>/dev/null; cleanup' EXIT
sink() { # KIND ADDRESS FILE: a server, its pid in $SINK
	: > "$WORK/ready"
	python3 "$top_srcdir/t/tools/logsink.py" "$@" > "$WORK/ready" &
	SINK=$!
	SINKS="$SINKS $SINK"
	for _i in $(seq 200); do grep -q ready "$WORK/ready" && return 0; sleep 0.05; done
	return 1
}
unsink() { kill "$SINK"; wait "$SINK" 2>/dev/null; }
arrives() { # FILE COUNT PATTERN description
	for _i in $(seq $((400 * DKD_SLOW))); do [ -e "$1" ] && [ "$(grep -c -- "$3" "$1")" -ge "$2" ] && break; sleep 0.05; done
	is "$(grep -c -- "$3" "$1")" "$2" "$4"
}
bad() { # description, text, options
	_body=$(printf '{"Image":"busybox","HostConfig":{"LogConfig":{"Type":"syslog","Config":{%s}}}}' "$3")
	is "$(api POST /containers/create -H 'Content-Type: application/json' -d "$_body")" "{\"message\":\"$2\"}" "$1"
}
HOST=$(hostname)
DAY='[A-Z][a-z][a-z] [ 0-9][0-9] [0-9:]{8}'

for kind in udp tcp unix unixgram; do
	case $kind in unix*) at=$WORK/$kind.sock ;; *) at=127.0.0.1:$port ;; esac
	sink $kind "${at#127.0.0.1:}" "$WORK/$kind"; ok "$kind: a server"
	docker run -d --name sy --network none --log-driver syslog --log-opt "syslog-address=$kind://$at" --log-opt tag='{{.Name}}' \
		busybox sh -c 'echo out; echo err >&2; echo "last one"' >/dev/null
	arrives "$WORK/$kind" 3 "sy\[$DPID\]: " "$kind: all arrives"
	like "$(grep out "$WORK/$kind")" "^<30>$DAY sy\[$DPID\]: out$" "stdout is information of a daemon"
	like "$(grep err "$WORK/$kind")" "^<27>$DAY sy\[$DPID\]: err$" "stderr an error"
	is "$(docker logs sy 2>/dev/null)" "out
last one" "docker logs"
	docker rm -f sy >/dev/null
	unsink
done
for format in rfc3164 rfc5424 rfc5424micro; do
	case $format in
	rfc3164) want="^<134>$DAY $HOST [0-9a-f]{12}\[$DPID\]: hello$" ;;
	rfc5424) want="^<134>1 [0-9-]*T[0-9:]{8}(Z|[+-][0-9:]{5}) $HOST ([0-9a-f]{12}) $DPID [0-9a-f]{12} - hello$" ;;
	*) want="^<134>1 [0-9-]*T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5}) $HOST ([0-9a-f]{12}) $DPID [0-9a-f]{12} - hello$" ;;
	esac
	sink udp "$port" "$WORK/$format"
	docker run --rm --network none --log-driver syslog --log-opt "syslog-address=udp://127.0.0.1:$port" --log-opt syslog-facility=local0 \
		--log-opt syslog-format=$format busybox echo hello >/dev/null
	arrives "$WORK/$format" 1 hello "$format: arrives before --rm is done"
	like "$(cat "$WORK/$format")" "$want" "in its format"
	unsink
done

# a server that is down delays nothing, and gets all when it comes
docker run -d --name dn --network none --log-driver syslog --log-opt "syslog-address=tcp://127.0.0.1:$port" \
	busybox sh -c 'i=0; while [ $i -lt 300 ]; do echo "early line $i"; i=$((i+1)); done; while [ ! -e /go ]; do sleep 0.1; done; echo "late line"; sleep 1000' >/dev/null
ok "a container starts without its log server"
for _i in $(seq $((100 * DKD_SLOW))); do [ "$(docker logs dn | wc -l)" = 300 ] && break; sleep 0.1; done
is "$(docker logs dn | wc -l)" 300 "its output is there"
sink tcp "$port" "$WORK/down"
arrives "$WORK/down" 300 "early line" "and comes to the server when that is there"
is "$(grep -o 'early line.*' "$WORK/down" | tail -1)" "early line 299" "in order"

# the next daemon goes on where this one was
dir=$(ls -d "$WORK"/root/containers/*)
noted() { [ "$(cut -d ' ' -f 3 "$dir/log-cursor" 2>/dev/null)" = "$(stat -c %s "$dir/container-cached.log")" ]; }
for _i in $(seq $((100 * DKD_SLOW))); do noted && break; sleep 0.1; done
noted; ok "how far it came is noted"
stop_daemon KILL 2>/dev/null
pid=$(sed -n 's/.*"Pid":\([0-9]*\).*/\1/p' "$dir/config.v2.json" | head -1)
touch "/proc/$pid/root/go"
start_daemon; ok "the daemon comes back"
arrives "$WORK/down" 1 "late line" "what was written without a daemon arrives"
is "$(grep -c 'early line 299' "$WORK/down")" 1 "and nothing that arrived before"
docker rm -f dn >/dev/null; ok "is removed"
is "$(ls "$WORK/root/containers" | wc -l)" 0 "with its files"
unsink

# the cache
sink udp "$port" "$WORK/cache"
docker run -d --name ca --network none --log-driver syslog --log-opt "syslog-address=udp://127.0.0.1:$port" --log-opt cache-disabled=true busybox echo hidden >/dev/null
arrives "$WORK/cache" 1 hidden "without a cache it is handed on"
like "$(docker logs ca 2>&1)" 'configured logging driver does not support reading' "and not read"
docker rm -f ca >/dev/null
unsink

# nonsense, in Docker's words
bad "an unknown option" "unknown log opt 'foo' for syslog log driver" '"foo":"1"'
bad "an address" "syslog-address should be in form proto://address, got x" '"syslog-address":"x"'
bad "a path" "stat /nope: no such file or directory" '"syslog-address":"unix:///nope"'
bad "a facility" "invalid syslog facility" '"syslog-facility":"x"'
bad "a format" "Invalid syslog format" '"syslog-format":"x"'
bad "an unknown option of TLS" "unknown log opt 'syslog-tls-foo' for syslog log driver" '"syslog-tls-foo":"1"'
bad "the cache" "invalid value for option cache-disabled: x" '"cache-disabled":"x"'
like "$(docker info -f '{{.Plugins.Log}}')" syslog "info lists it"
stop_daemon
start_daemon --log-driver nope; is $? 1 "an unknown driver stops the daemon"
like "$(tail -1 "$WORK/log")" "failed to set log opts: logger: no log driver named 'nope' is registered" "in Docker's words"
start_daemon --log-driver syslog --log-opt syslog-facility=x; is $? 1 "a wrong option, too"
start_daemon --log-driver syslog --log-opt "syslog-address=udp://127.0.0.1:$port"; ok "one for all"
is "$(docker run --rm --network none busybox echo hi)" hi "and a container with it"
done_testing
