#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Where the daemon listens: ports, several addresses, a group, sockets that are taken, clients that come early.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3
find_docker
scratch
# two unix sockets and a port on the loopback, all served
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
t0=$(date +%s)
start_daemon -H "unix://$WORK/second.sock" -H "tcp://127.0.0.1:$port"; ok "three addresses" || done_testing
[ $(($(date +%s) - t0)) -lt 14 ]; ok "no delay for the loopback"
is "$(curl -s --unix-socket "$WORK/second.sock" http://d/_ping) $(curl -s "http://127.0.0.1:$port/_ping")" "OK OK" "all are served"
like "$(cat "$WORK/log")" "insecure" "a port without TLS is warned about"
like "$(docker info 2>&1)" "WARNING: .*127.0.0.1:$port" "in docker info, too"
for a in "$SOCK" "$WORK/second.sock" "127.0.0.1:$port|\[::\]:$port"; do like "$(cat "$WORK/log")" "API listen on .*($a)" "API listen on $a"; done
[ -z "$(python3 -c "
import socket
s = socket.socket(socket.AF_INET6)
s.settimeout(1)
try: s.connect(('::1', $port)); print('open')
except OSError: pass")" ]; ok "on the address named and no other"
# a page in a browser must not reach it by a name of its own
is "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/_ping" -H 'Host: localhost')" 200 "another Host is served as well"
is "$(DOCKER_HOST=tcp://127.0.0.1:$port command "$DOCKER" version -f '{{.Server.Os}}')" linux "the CLI through the port"
ln -s . "$WORK/var"
is "$(curl -s --unix-socket "$WORK/var/second.sock" http://d/_ping)" OK "a folder on the way may be a link, as /var/run is"
stop_daemon; is "$DSTATUS" 0 "stops"
[ ! -e "$SOCK" ] && [ ! -e "$WORK/second.sock" ]; ok "both sockets are gone"
start_daemon -H "unix://$WORK/var/second.sock"; is "$(curl -s --unix-socket "$WORK/second.sock" http://d/_ping)" OK "for the daemon, too"
stop_daemon
refused() { # pattern what args: the last lines of what it says
	_p=$1 _w=$2
	shift 2
	_out=$(timeout 20 "$DOCKERD" --config-file /dev/null --data-root "$WORK/root" --exec-root "$WORK/exec" --pidfile "$WORK/docker.pid" --plugin-dir "$PLUGDIR" -b none "$@" 2>&1 < /dev/null)
	[ $? -ne 0 ]; ok "$_w: refused"
	like "$_out" "$_p" "$_w: in words"
}
python3 - "$WORK/taken" <<'P' & taker=$!
import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)
p = socket.socket(); p.bind(("127.0.0.1", 0)); p.listen(1)
open(sys.argv[1] + ".port", "w").write(str(p.getsockname()[1]))
time.sleep(60)
P
for _i in $(seq $((50 * DKD_SLOW))); do [ -s "$WORK/taken.port" ] && break; sleep 0.1; done
refused "another process serves it" "a socket that is served" -H "unix://$WORK/taken"
[ -S "$WORK/taken" ]; ok "it is left alone"
refused "[Aa]ddress already in use" "a port that is taken" -H "tcp://127.0.0.1:$(cat "$WORK/taken.port")"
kill "$taker"; wait "$taker" 2>/dev/null
echo precious > "$WORK/file"
refused "is no socket" "a file in the way" -H "unix://$WORK/file"
is "$(cat "$WORK/file")" precious "it is left alone"
refused "too long" "a path too long for a socket" -H "unix:///$(head -c 200 /dev/zero | tr '\0' x)"
refused "invalid|protocol|nonsense" "an unknown protocol" -H nonsense://x
refused "bind address|invalid|port" "a port that is none" -H tcp://127.0.0.1:99999
refused "could not read TLS certificate \"$WORK/none.pem\"" "TLS without certificates" --tlsverify --tlscert "$WORK/none.pem" -H "unix://$SOCK"
refused "group nosuchgroup not found" "a group that is not there" -G nosuchgroup -H "unix://$SOCK"
# a socket left by a dead daemon is taken over
start_daemon; kill -KILL "$DPID"; wait "$DPID" 2>/dev/null; DPID=
[ -S "$SOCK" ]; ok "kill -9 leaves the socket"
start_daemon -G users; ok "the next one takes it over"
is "$(stat -c '%a %U %G' "$SOCK")" "660 root users" "--group"
stop_daemon
start_daemon -G 54321; is "$(stat -c '%a %g' "$SOCK")" "660 54321" "--group by number"
stop_daemon
printf '{"hosts":["unix://%s"],"group":"users"}' "$WORK/only.sock" > "$WORK/d.json"
"$DOCKERD" --config-file "$WORK/d.json" -H "unix://$SOCK" --validate 2> "$WORK/out"; [ $? -ne 0 ]; ok "hosts in the file and as a flag"
like "$(cat "$WORK/out")" "specified both as a flag and in the configuration file: hosts" "are refused"
# the same address twice
start_daemon -H "unix://$SOCK"; ok "one address twice is one"
is "$(api GET /_ping)" OK "and served"
stop_daemon
# clients that come while it starts are answered, not refused
cat > "$WORK/early.py" <<'P'
import socket, subprocess, sys, time
sock, args = sys.argv[1], sys.argv[2:]
p = subprocess.Popen(args, stdin=subprocess.DEVNULL, stderr=open(sock + ".log", "w"))
refused = asked = answered = 0
end = time.monotonic() + 10
while time.monotonic() < end and answered < 5:
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(8)
    try:
        s.connect(sock)
    except FileNotFoundError:
        continue
    except ConnectionRefusedError:
        refused += 1  # between its bind and its listen, which a busy machine may draw out
        time.sleep(0.05)
        continue
    asked += 1
    s.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
    answered += s.recv(4096).startswith(b"HTTP/1.1 200")
    s.close()
print("asked", asked, "answered", answered, "refused", "some" if refused > 3 else "none")
p.terminate()
print("ended", p.wait())
P
is "$(python3 "$WORK/early.py" "$SOCK" "$DOCKERD" --config-file /dev/null --data-root "$WORK/root" --exec-root "$WORK/exec" --pidfile "$WORK/docker.pid" --plugin-dir "$PLUGDIR" -b none -H "unix://$SOCK" | tr '\n' ' ')" "asked 5 answered 5 refused none ended 0 " "early clients wait for their answer"
# SIGQUIT stops as well; DEBUG keeps its core dump
start_daemon; stop_daemon QUIT; is "$DSTATUS" 0 "SIGQUIT stops"
start_daemon; stop_daemon INT; is "$DSTATUS" 0 "SIGINT stops"
# stopping: a running job ends first, new ones are refused
start_daemon
curl -s -N --unix-socket "$SOCK" "http://d/events" > "$WORK/ev" & cpid=$!
sleep 0.5
t0=$(date +%s)
stop_daemon; is "$DSTATUS" 0 "stops beside a reader of events"
[ $(($(date +%s) - t0)) -lt 12 ]; ok "soon: jobs are waited for 15 s"
wait "$cpid"; ok "which gets its end"
done_testing
