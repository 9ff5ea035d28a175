#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The INI file in a running daemon: its keys hold, drivers get their sections, what has no effect is named.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc python3
find_docker
scratch
check() { printf "$1" > "$WORK/c.ini"; "$DOCKERD" --validate --config-file "$WORK/c.ini" 2>&1; }
# the parser
like "$(check '[daemon]\ndebug=yes\n')" "configuration OK|debug" "a switch"
like "$(check '[daemon]\ndebug = perhaps\n')" "debug" "a switch that is none is named"
like "$(check '[daemon]\nmtu = many\n')" "mtu" "a number that is none"
like "$(check '[daemon]\ndebug = true\ndebug = false\n')" '"debug" is set twice' "a key given twice"
like "$(check '[nonsense]\na = b\n')" 'unknown section \[nonsense\]' "an unknown section"
like "$(check '[]')" 'unknown section \[\]' "an array of JSON"
like "$(check '[graph.]\na = b\n')" 'unknown section' "a section without a driver"
like "$(check '[nokind.x]\na = b\n')" 'unknown section' "a section of no kind"
like "$(check 'debug = true\n')" 'before the first section' "a key before the first section"
like "$(check '[daemon]\nno equals sign\n')" 'line 2: expected' "a line that is nothing"
like "$(check '[daemon]\nlabels = a=1\n  b=2\n')" 'line 3 begins with a blank' "a line that begins with a blank"
like "$(check '[daemon]\n; a comment\n# another\n\nlabels = a=1 ; and one more\n')" "configuration OK" "comments and empty lines"
like "$(check '\357\273\277[daemon]\r\ndebug = true\r\n')" "configuration OK" "a byte order mark and DOS line ends"
pad() { head -c "$1" /dev/zero | tr '\0' x; }
like "$(check "[daemon]\nlabels = a=$(pad 188)\n")" "configuration OK" "a line of 199 bytes"
like "$(check "[daemon]\nlabels = a=$(pad 189)\n")" "line 2 is longer than 199 bytes" "one of 200"
like "$(check "[daemon]\n# $(pad 300)\n")" "line 2 is longer than 199 bytes" "also in a comment, which the parser would go on with"
like "$(check "[authz.$(pad 60)]\nrule = x\n")" "line 1: the section" "a section's name that would be cut"
printf '[daemon]\nlabels = a=\0\n' > "$WORK/c.ini"
like "$("$DOCKERD" --validate --config-file "$WORK/c.ini" 2>&1)" "NUL" "a NUL byte"
printf '[daemon]\ndebug = true\n' > "$WORK/c.ini"
like "$("$DOCKERD" --validate -D --config-file "$WORK/c.ini" 2>&1)" "specified both as a flag and in the configuration file: debug" "a flag and the file"
# every key of the file is one of the flags, and the other way round
python3 - "$DOCKERD" "$top_srcdir/core/config/options.tbl" "$WORK" <<'P' > "$WORK/keys"
import re, subprocess, sys
keys = re.findall(r'^OPT\((\w+), \w+, (?:"[^"]*"|NULL), [^,]+, "([^"]+)", "[^"]*",', open(sys.argv[2]).read(), re.M)
value = {"BOOL": "true", "INT": "1500", "STR": "x", "IP": "1.2.3.4", "IPS": "1.2.3.4", "LIST": "x", "BYTES": "1m"}
for kind, key in keys:
    if kind not in value:
        continue
    name = sys.argv[3] + "/key.ini"
    with open(name, "w") as f:
        f.write("[daemon]\n%s = %s\n" % (key, value[kind]))
    out = subprocess.run([sys.argv[1], "--validate", "--config-file", name], capture_output=True, text=True).stderr
    if "don't match any configuration option" in out or "Segmentation" in out or not out.strip():
        print(key, out.strip()[:100])
print("keys", len(keys) > 60)
P
is "$(cat "$WORK/keys")" "keys True" "each key of the table is known to the INI file"
# in a running daemon
cat > "$WORK/d.ini" <<E2
[daemon]
debug = true
labels = rack=7
labels = room=2
log-opts = max-size=3m
default-ulimits = nofile=123:456
runtimes = mine=$(command -v runc)
shutdown-timeout = 9
network-control-plane-mtu = 1400
network-diagnostic-port = 9
[graph.overlay2]
override_kernel_check = true
[graph.nosuch]
a = b
E2
start_daemon --config-file "$WORK/d.ini" --storage-driver overlay2 --userland-proxy=false --http-proxy http://127.0.0.1:9 --daemon -e native --oom-score-adjust -500 --restart=false
ok "starts" || done_testing
load_busybox >/dev/null
is "$(docker info -f '{{json .Labels}} {{.Debug}}')" '["rack=7","room=2"] true' "its keys hold"
is "$(docker run --rm --network none busybox sh -c 'ulimit -Sn; ulimit -Hn' | tr '\n' ' ')" "123 456 " "default-ulimits"
is "$(docker run --rm --network none --runtime mine busybox echo ran)" ran "runtimes"
docker create --name cc --network none busybox true >/dev/null
is "$(docker inspect -f '{{json .HostConfig.LogConfig}}' cc)" '{"Type":"json-file","Config":{"max-size":"3m"}}' "log-opts"
docker rm cc >/dev/null
log=$(cat "$WORK/log")
like "$log" "override_kernel_check has no effect" "the overlay2 driver got its section"
like "$log" "the section \[graph\.nosuch\] has no effect" "a section of no driver is named"
like "$log" 'the option \\?"network-control-plane-mtu\\?" of .* has no effect in this version' "a key without effect is named, with its file"
like "$log" 'the option \\?"network-diagnostic-port\\?" of .* has no effect' "each of them"
for flag in restart; do like "$log" "level=warning msg=\"--$flag has no effect" "--$flag without effect is named"; done
like "$log" 'daemon is not needed' "--daemon of older engines"
like "$log" 'oom-score-adjust has no effect' "--oom-score-adjust"
unlike "$log" '(data-root|pidfile|plugin-dir|storage-driver) has no effect' "what has one is not"
stop_daemon
refused() { # pattern what args
	_p=$1 _w=$2
	shift 2
	DSTATUS=
	start_daemon "$@"
	[ -z "$DPID" ] && [ "${DSTATUS:-0}" != 0 ]; ok "$_w: does not start" || stop_daemon
	like "$(tail -n 3 "$WORK/log")" "$_p" "$_w: in words"
}
ini() { printf "$1" > "$WORK/d.ini"; }
ini '[graph.overlay2]\nnonsense = 1\n'
refused "unknown option overlay2.nonsense" "an unknown option of the graph driver" --config-file "$WORK/d.ini" --storage-driver overlay2
ini '[volume.local]\nnonsense = 1\n'
refused "unknown option nonsense|has options, and it knows none" "an unknown option of the volume driver" --config-file "$WORK/d.ini"
refused "unknown option overlay2.nonsense|overlay2: unknown" "--storage-opt" --storage-opt overlay2.nonsense=1 --storage-driver overlay2
refused "api-cors-header is gone" "--api-cors-header" --api-cors-header '*'
refused "invalid cluster store consul://x: it is etcd://" "--cluster-store of another kind" --cluster-store consul://x --cluster-advertise 127.0.0.1
refused "cluster-store needs --cluster-advertise" "a store alone" --cluster-store etcd://127.0.0.1:1
refused "cluster-advertise needs --cluster-store" "an address alone" --cluster-advertise 127.0.0.1
refused "kv-store|default-network is gone" "--default-network" --default-network x
refused "exec-driver is gone" "--exec-driver lxc" --exec-driver lxc
ini '[net.none]\nx = y\n'
if start_daemon --config-file "$WORK/d.ini"; then
	like "$(docker run --rm --network none busybox true 2>&1)" "unknown option x|has options, and it knows none" "an unknown option of a network driver, when it is needed"
	stop_daemon
else
	like "$(tail -n 3 "$WORK/log")" "unknown option x|has options, and it knows none" "an unknown option of a network driver"
fi
# -g, DOCKER_TMPDIR
refused 'cannot specify both "--graph" and "--data-root"' "-g beside --data-root" -g "$WORK/other"
rm -rf "$WORK/root"
ROOT_FLAG=-g start_daemon; ok "-g"
[ -d "$WORK/root/image" ] && [ "$(docker info -f '{{.DockerRootDir}}')" = "$WORK/root" ]; ok "is the data-root"
like "$(tail -n 20 "$WORK/log")" "graph is now called --data-root" "and says its new name"
stop_daemon
mkdir "$WORK/big"
DOCKER_TMPDIR=$WORK/big/tmp start_daemon; ok "DOCKER_TMPDIR"
is "$(stat -c '%a %u' "$WORK/big/tmp")" "700 0" "it is made, for root alone"
(head -c 300000 "$WORK/busybox.tar"; while [ ! -e "$WORK/seen" ]; do sleep 0.1; done) | docker load >/dev/null 2>&1 & load=$!
for _i in $(seq $((50 * DKD_SLOW))); do n=$(find "/proc/$DPID/fd" -lname "$WORK/big/tmp/*" | wc -l); [ "$n" -gt 0 ] && break; sleep 0.1; done
[ "$n" -gt 0 ]; ok "an upload is spooled there"
: > "$WORK/seen"
wait "$load"
is "$(ls -A "$WORK/big/tmp" | wc -l)" 0 "and nothing stays"
stop_daemon; is "$DSTATUS" 0 "stops"
done_testing
