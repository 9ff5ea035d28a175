#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# TLS of the log drivers syslog and fluentd: who is trusted, certificates of clients, files that are not there, a server that hangs up.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc python3 jq openssl
need_apart
find_docker
scratch
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
SINKS=
trap 'kill $SINKS 2>/dev/null; cleanup' EXIT
G=$WORK/got
C=$WORK/certs
key() { openssl req "$@" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes >/dev/null 2>&1; }
leaf() { # NAME SUBJECT-ALT-NAME
	echo "subjectAltName=$2" > "$C/ext"
	key -subj "/CN=$1" -keyout "$C/$1.key" -out "$C/$1.csr" &&
		openssl x509 -req -in "$C/$1.csr" -CA "$C/ca.pem" -CAkey "$C/ca.key" -CAcreateserial -days 2 -extfile "$C/ext" -out "$C/$1.pem" >/dev/null 2>&1
}
mkdir "$C"
key -x509 -subj /CN=ca -days 2 -keyout "$C/ca.key" -out "$C/ca.pem" && leaf server IP:127.0.0.1,DNS:localhost && leaf other DNS:other.test && leaf client DNS:client
ok "certificates"
sink() { # TOOL ARGUMENTS...: a server
	: > "$WORK/ready"
	: > "$G"
	_tool=$1
	shift
	python3 "$top_srcdir/t/tools/$_tool" tls "$port" "$G" "$@" > "$WORK/ready" 2> "$WORK/sink.err" &
	SINK=$!
	SINKS="$SINKS $SINK"
	for _i in $(seq $((200 * DKD_SLOW))); do grep -q ready "$WORK/ready" && return 0; sleep 0.05; done
	return 1
}
unsink() { kill "$SINK"; wait "$SINK" 2>/dev/null; }
arrives() { # COUNT PATTERN description
	for _i in $(seq $((400 * DKD_SLOW))); do [ "$(grep -c -- "$2" "$G")" -ge "$1" ] && break; sleep 0.05; done
	is "$(grep -c -- "$2" "$G")" "$1" "$3" || cat "$WORK/sink.err"
}
waits() { # PATTERN description: the daemon says why it does not hand on
	for _i in $(seq $((200 * DKD_SLOW))); do grep -q -- "its log .*waits: .*$1" "$WORK/log" && break; sleep 0.05; done
	like "$(grep 'its log .*waits' "$WORK/log" | tail -1)" "$1" "$2"
	is "$(wc -c < "$G")" 0 "nothing is sent"
	docker rm -f sy >/dev/null
	: > "$WORK/log"
}
S="--log-driver syslog --log-opt syslog-address=tcp+tls://127.0.0.1:$port"
CA="--log-opt syslog-tls-ca-cert=$C/ca.pem"
run() { docker run -d --name sy --network none "$@" >/dev/null; }

# syslog
sink logsink.py "$C/server.pem" "$C/server.key"; ok "a server"
run $S $CA busybox sh -c 'echo one; while [ ! -e /go ]; do sleep 0.1; done; echo two; sleep 1000'
arrives 1 'one$' "a server whose CA is named"
unsink
sink logsink.py "$C/server.pem" "$C/server.key"
touch "/proc/$(docker inspect -f '{{.State.Pid}}' sy)/root/go"
arrives 1 'two$' "another one in its place"
docker rm -f sy >/dev/null
: > "$G"
run $S busybox echo three
waits 'connect to tls://127.0.0.1:[0-9]*: .*NOT trusted' "a server of nobody's"
run $S --log-opt syslog-tls-skip-verify=false busybox echo four
waits 'NOT trusted' "syslog-tls-skip-verify=false"
run $S --log-opt syslog-tls-ca-cert=/nope busybox echo five
waits 'could not read CA certificate .*/nope.*: No such file' "a CA that is not there"
run $S $CA --log-opt "syslog-tls-cert=$C/client.pem" busybox echo six
waits 'could not load X509 key pair' "a certificate without its key"
run $S --log-opt syslog-tls-skip-verify=true busybox echo seven
arrives 1 'seven$' "syslog-tls-skip-verify"
docker rm -f sy >/dev/null
unsink
sink logsink.py "$C/other.pem" "$C/other.key"
run $S $CA busybox echo eight
waits 'name.* does not match' "a server of another name"
unsink
sink logsink.py "$C/server.pem" "$C/server.key" "$C/ca.pem"
for format in rfc5424 rfc5424micro; do
	run $S $CA --log-opt "syslog-tls-cert=$C/client.pem" --log-opt "syslog-tls-key=$C/client.key" --log-opt syslog-format=$format busybox echo "$format"
	arrives 1 " - $format\$" "with a certificate of the client, in $format"
	is "$(tail -1 "$G" | awk '{ print $1 - length($0) + length($1) }')" 0 "its size before it"
	docker rm -f sy >/dev/null
done
is "$(grep -c '^from client$' "$G")" 2 "which the server saw"
run $S $CA busybox sh -c 'while true; do echo nine; sleep 0.1; done'
for _i in $(seq $((200 * DKD_SLOW))); do grep -q 'its log .*waits' "$WORK/log" && break; sleep 0.05; done
like "$(grep 'its log .*waits' "$WORK/log" | tail -1)" '(read from|write to) tls://' "without one it waits"
is "$(grep -c nine "$G")" 0 "and nothing comes"
docker rm -f sy >/dev/null
unsink

# fluentd, by what the system trusts
F="--log-driver fluentd --log-opt fluentd-address=tls://localhost:$port --log-opt fluentd-request-ack=true"
sink fluentsink.py ack "$C/server.pem" "$C/server.key"
: > "$WORK/log"
run $F busybox echo ten
waits 'connect to tls://localhost:[0-9]*: .*NOT trusted' "fluentd: a server of nobody's"
BUNDLE=/etc/ssl/certs/ca-certificates.crt
if [ -e "$BUNDLE" ] && mount --bind "$C/ca.pem" "$BUNDLE"; then
	run $F busybox sh -c 'echo one; echo two; head -c 100000 /dev/zero | tr "\0" x; echo; echo three'
	arrives 1 '"log": "three"' "a server that the system trusts"
	is "$(jq -r '.fields.log | length' < "$G" | awk '{ n += $1 } END { print NR, n }')" "10 100011" "all of it"
	is "$(jq .connection < "$G" | uniq | wc -l)" 1 "by one connection"
	docker rm -f sy >/dev/null
	umount "$BUNDLE"
else
	skip "a server that the system trusts" "no $BUNDLE here"
fi
unsink
stop_daemon; ok "the daemon ends"
done_testing
