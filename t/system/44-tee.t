#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The log driver tee: several drivers for one container, each with options and a pace of its own. The journal is the test's, in a
# mount namespace of the test.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc python3
need_apart
find_docker
scratch
mkdir -p "$WORK/systemd"
JOURNAL=/run/systemd/journal
{ [ -d /run/systemd ] || { mount -t tmpfs tmpfs /run && mkdir /run/systemd; }; } && mount --bind "$WORK/systemd" /run/systemd && mkdir "$JOURNAL"
ok "a place for a journal" || done_testing
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
SINKS=
trap 'kill $SINKS 2>/dev/null; cleanup' EXIT
server() { # tool, arguments: its pid in $SINK
	: > "$WORK/ready"
	python3 "$top_srcdir/t/tools/$@" > "$WORK/ready" 2>> "$WORK/server.err" &
	SINK=$!
	SINKS="$SINKS $SINK"
	for _i in $(seq $((200 * DKD_SLOW))); do grep -q ready "$WORK/ready" && return 0; sleep 0.05; done
	return 1
}
arrives() { # FILE COUNT PATTERN description
	for _i in $(seq $((400 * DKD_SLOW))); do [ -e "$1" ] && [ "$(grep -c -- "$3" "$1")" -ge "$2" ] && break; sleep 0.05; done
	is "$(grep -c -- "$3" "$1")" "$2" "$4"
}
field() { python3 -c 'import json, sys
for line in open(sys.argv[1]): print(",".join(json.loads(line).get(sys.argv[2], ["-"])))' "$E" "$1"; }
tee() { docker run --network none --log-driver tee "$@"; }
bad() { # description, text, options
	_body=$(printf '{"Image":"busybox","HostConfig":{"LogConfig":{"Type":"tee","Config":{%s}}}}' "$3")
	is "$(api POST /containers/create -H 'Content-Type: application/json' -d "$_body")" "{\"message\":\"$2\"}" "$1"
}
E=$WORK/entries
S=$WORK/syslog
: > "$E"
: > "$S"
server fakejournal.py "$JOURNAL/socket" "$E"; ok "a journal"
server logsink.py unixgram "$WORK/sock" "$S"; ok "a syslog"

# three at once
id=$(tee -d --name th --label color=blue --log-opt drivers=json-file,syslog,journald --log-opt "syslog-address=unixgram://$WORK/sock" \
	--log-opt max-size=1m --log-opt labels=color --log-opt tag=all --log-opt 'syslog.tag={{.Name}}' --log-opt json-file.max-file=2 \
	busybox sh -c 'echo one; head -c 40000 /dev/zero | tr "\0" x; echo; echo last')
docker wait th >/dev/null
file=$(docker inspect -f '{{.LogPath}}' th)
is "${file##*/}" "$id-json.log" "json-file's file has its name"
is "$(wc -l < "$file")" 5 "and all records"
like "$(head -1 "$file")" '"attrs":\{"color":"blue","tag":"all"\}' "with its tag and label"
arrives "$E" 5 MESSAGE "the journal has all"
is "$(field CONTAINER_TAG | uniq) $(field COLOR | uniq)" "all blue" "with the same"
is "$(field MESSAGE | awk '{ print length($0) }' | tr '\n' ' ')" "3 16384 16384 7232 4 " "in order"
is "$(field CONTAINER_PARTIAL_LAST | tr '\n' ' ')" "- false false true - " "pieces of a long line are told"
arrives "$S" 5 "th\[$DPID\]: " "syslog has all, with a tag of its own"
is "$(docker logs th | md5sum)" "$({ echo one; head -c 40000 /dev/zero | tr '\0' x; echo; echo last; } | md5sum)" "docker logs"
docker rm -f th >/dev/null

# local is one of them; and none of the daemon's own
for own in local, ''; do
	: > "$E"
	: > "$S"
	tee -d --name lo --log-opt "drivers=${own}journald,syslog" --log-opt "syslog-address=unixgram://$WORK/sock" busybox sh -c 'echo hello; echo there' >/dev/null
	docker wait lo >/dev/null
	arrives "$E" 2 MESSAGE "drivers=${own}...: the journal"
	arrives "$S" 2 "\]: " "syslog"
	is "$(docker logs lo)" "hello
there" "docker logs"
	is "$(cd "$WORK"/root/containers/*/ && find . -name '*.log')" "./$([ -n "$own" ] && echo local-logs/container.log || echo container-cached.log)" "of one file"
	docker rm -f lo >/dev/null
done

# one that is stuck, and one that is dead, hold nobody; the next daemon goes on where each was
python3 - "$WORK/stuck" > "$WORK/ready" <<'PY' &
import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); print("ready", flush=True); time.sleep(1000)
PY
STUCK=$!
SINKS="$SINKS $STUCK"
for _i in $(seq $((200 * DKD_SLOW))); do grep -q ready "$WORK/ready" && break; sleep 0.05; done
: > "$E"
tee -d --name st --log-opt drivers=json-file,syslog,journald --log-opt "syslog-address=unixgram://$WORK/stuck" \
	busybox sh -c 'i=0; while [ $i -lt 3000 ]; do echo "early $i"; i=$((i+1)); done; while [ ! -e /go ]; do sleep 0.1; done; echo late; sleep 1000' >/dev/null
arrives "$E" 3000 early "the journal has all while syslog takes nothing"
is "$(docker logs st | wc -l)" 3000 "so has docker logs"
dir=$(ls -d "$WORK"/root/containers/*)
noted() { [ "$(cut -d ' ' -f 3 "$dir/log-cursor-journald" 2>/dev/null)" = "$(stat -c %s "$dir"/*-json.log)" ]; }
for _i in $(seq $((100 * DKD_SLOW))); do noted && break; sleep 0.1; done
noted; ok "how far the journal came is noted"
[ "$(cut -d ' ' -f 3 "$dir/log-cursor-syslog" 2>/dev/null || echo 0)" != "$(cut -d ' ' -f 3 "$dir/log-cursor-journald")" ]; ok "apart from how far syslog came"
pid=$(docker inspect -f '{{.State.Pid}}' st)
stop_daemon KILL 2>/dev/null
kill "$STUCK"; wait "$STUCK" 2>/dev/null
rm -f "$WORK/stuck"
touch "/proc/$pid/root/go"
start_daemon; ok "the daemon comes back" || done_testing
arrives "$E" 1 late "the journal goes on while syslog is dead"
is "$(grep -c early "$E")" 3000 "with nothing twice"
: > "$S"
server logsink.py unixgram "$WORK/stuck" "$S"; ok "syslog comes back"
arrives "$S" 1 late "and gets what it had not"
is "$(grep -o 'early 2999' "$S")" "early 2999" "in its place"
is "$(wc -l < "$E")" 3001 "the journal has nothing more"
docker restart -t 0 st >/dev/null; ok "a restart"
arrives "$E" 6000 early "goes to the journal"
for _i in $(seq $((400 * DKD_SLOW))); do [ "$(grep -c 'early 2999' "$S")" -ge 2 ] && break; sleep 0.05; done
is "$(grep -c 'early 2999' "$S")" 2 "and to syslog"
docker rm -f st >/dev/null; ok "is removed"
is "$(ls "$WORK/root/containers" | wc -l)" 0 "with its files"

# nonsense
bad "no drivers" "the log driver tee needs the log opt 'drivers': names with commas between" ''
bad "an empty name" "log opt 'drivers': '' is no driver to divide a log among" '"drivers":"json-file,"'
bad "none" "log opt 'drivers': 'none' is no driver to divide a log among" '"drivers":"none,syslog"'
bad "itself" "log opt 'drivers': 'tee' is no driver to divide a log among" '"drivers":"tee"'
bad "one twice" "log opt 'drivers': syslog is there twice" '"drivers":"syslog,syslog"'
bad "two files" "log opt 'drivers': json-file or local, not both" '"drivers":"json-file,local"'
bad "an unknown driver" 'error looking up logging plugin nope: plugin \"nope\" not found' '"drivers":"json-file,nope"'
bad "an unknown option" "unknown log opt 'foo' for tee log driver: none of its drivers has it" '"drivers":"json-file","foo":"1"'
bad "a file's option without a file" "unknown log opt 'max-size' for tee log driver: none of its drivers has it" '"drivers":"syslog","max-size":"1m"'
bad "another driver's option" "unknown log opt 'syslog.tag' for tee log driver: none of its drivers has it" '"drivers":"json-file","syslog.tag":"x"'
bad "a part's own check" "invalid syslog facility" '"drivers":"json-file,syslog","syslog-facility":"x"'
bad "a part's own names" "unknown log opt 'foo' for syslog log driver" '"drivers":"syslog","syslog.foo":"x"'
bad "the file's own names" "unknown log opt 'foo' for json-file log driver" '"drivers":"syslog,json-file","json-file.foo":"x"'
bad "the file's own check" "failed to initialize logging driver: invalid size: 'x'" '"drivers":"json-file","max-size":"x"'
bad "a cache beside a file" "log opt 'cache-max-size' has no effect beside json-file, which docker logs reads" '"drivers":"json-file","cache-max-size":"1m"'
stop_daemon; ok "the daemon ends"
start_daemon --log-driver tee --log-opt drivers=json-file,nope; is $? 1 "a wrong default stops the daemon"
start_daemon --log-driver tee --log-opt drivers=local,journald; ok "one for all"
: > "$E"
is "$(docker run --rm --network none busybox echo hi)" hi "and a container with it"
arrives "$E" 1 '"hi"' "whose output arrives"
stop_daemon; ok "the daemon ends"
done_testing
