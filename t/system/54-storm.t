#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Many short lives: nothing is left, nothing grows. N: containers of the storm (20 at a time); LIVES: of the slope; TERMS: daemons that
# are stopped; READERS: clients that attach and never read; ATTACHES: attachments that come and go.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc timeout python3
find_docker
scratch
N=${N:-40} LIVES=${LIVES:-50} TERMS=${TERMS:-2} READERS=${READERS:-50} ATTACHES=${ATTACHES:-200}
rss() { awk '/^Pss_Anon:/ { print $2 }' "/proc/$DPID/smaps_rollup"; } # kB of its own
threads() { awk '/^Threads/ { print $2 }' "/proc/$DPID/status"; }
fds() { ls "/proc/$DPID/fd" | wc -l; }
quiet() { for _i in $(seq $((60 * DKD_SLOW))); do [ "$(threads)" -le "$1" ] && break; sleep 0.1; done; }
left() {
	printf 'shims %s mounts %s ' "$(shims | wc -l)" "$(grep -c "$WORK/" /proc/self/mountinfo)"
	for _d in exec/containers exec/runtime exec/netns exec/sandboxes root/containers root/image/*/layerdb/mounts; do
		printf '%s ' "$(ls "$WORK"/$_d 2>/dev/null | wc -l)"
	done
}
none="shims 0 mounts 0 0 0 0 0 0 0 "
settled() { for _i in $(seq $((100 * DKD_SLOW))); do [ "$(left)" = "$none" ] && break; sleep 0.1; done; is "$(left)" "$none" "$1"; }
storm() { # count: exit codes that are not the right one
	seq "$1" | xargs -P 20 -I{} sh -c "timeout $((60 * DKD_SLOW)) $DOCKER -H unix://$SOCK run --rm --network none busybox sh -c 'echo {}; exit 7' > $WORK/out.{} 2>&1; \
		[ \$? = 7 ] && [ \"\$(cat $WORK/out.{})\" = {} ] || { echo {}; cat $WORK/out.{}; }; rm -f $WORK/out.{}"
}
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
storm 20 >/dev/null
quiet 6; sleep 2.2; t0=$(threads) f0=$(fds) m0=$(rss)
began=$(date +%s%N)
is "$(storm "$N")" "" "$N runs of --rm, 20 at a time: each its output and exit code"
echo "# $((N * 1000000 / (($(date +%s%N) - began) / 1000))) a second"
settled "nothing is left"
quiet "$t0"; is "$(threads)" "$t0" "the threads are back to the start"
is "$(fds)" "$f0" "so are the descriptors"
grown=$(($(rss) - m0)); [ "$grown" -le 2048 ]; small "memory has grown by less than 2 MB"
echo "# by $grown kB"
# the slope, without the CLI
cat > "$WORK/lives.py" <<'P'
import http.client, json, socket, sys
class C(http.client.HTTPConnection):
    def connect(self): self.sock = socket.socket(socket.AF_UNIX); self.sock.connect(sys.argv[1])
c = C("d")
def ask(method, path, want, body=None):
    c.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"} if body is not None else {})
    r = c.getresponse(); d = r.read()
    if r.status != want: sys.exit("%s %s: %d %s" % (method, path, r.status, d))
    return json.loads(d) if d else None
for i in range(int(sys.argv[2])):
    n = ask("POST", "/containers/create", 201, {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}})["Id"]
    ask("POST", "/containers/%s/start" % n, 204)
    if ask("POST", "/containers/%s/wait" % n, 200)["StatusCode"]: sys.exit("exit code")
    ask("DELETE", "/containers/%s" % n, 204)
P
python3 "$WORK/lives.py" "$SOCK" 20; sleep 2.5; m0=$(rss)
python3 "$WORK/lives.py" "$SOCK" "$LIVES"; ok "$LIVES lives, one after the other"
quiet "$t0"; sleep 2.5; grown=$(($(rss) - m0))
[ "$grown" -le $((512 + LIVES / 25)) ]; small "their memory is given back"
echo "# $LIVES lives: $grown kB, $((grown * 1024 / LIVES)) bytes each; $(fds) descriptors, $(threads) threads"
settled "and nothing else is left"
# attachments
id=$(docker run -d --name aa --network none busybox sh -c 'read x < /dev/full; sleep 1000')
shim=$(sed 's/.*"shim":\([0-9]*\).*/\1/' "$WORK/exec/containers/$id/shim.json")
cat > "$WORK/attach.py" <<'P'
import socket, sys, time
def attach(path, name, what):
    s = socket.socket(socket.AF_UNIX); s.connect(path)
    s.sendall(("%s HTTP/1.1\r\nHost: d\r\n%s\r\n" % (what % name, "Upgrade: tcp\r\nConnection: Upgrade\r\n" if "attach" in what else "")).encode())
    assert s.recv(12) == (b"HTTP/1.1 101" if "attach" in what else b"HTTP/1.1 200")
    return s
path, name, n, hold, what = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
if hold:
    all = [attach(path, name, what) for i in range(n)]
    print("ready", flush=True); time.sleep(hold)
else:
    for i in range(n): attach(path, name, what).close()
P
AT='POST /containers/%s/attach?stream=1&stdin=1&stdout=1&stderr=1'
python3 "$WORK/attach.py" "$SOCK" aa 20 0 "$AT"; quiet "$t0"; sleep 2.5
f0=$(fds) s0=$(ls "/proc/$shim/fd" | wc -l) m0=$(awk '/^VmRSS/ { print $2 }' "/proc/$shim/status") d0=$(rss)
python3 "$WORK/attach.py" "$SOCK" aa "$ATTACHES" 0 "$AT"; quiet "$t0"; sleep 2.5
is "$(fds) $(ls "/proc/$shim/fd" | wc -l)" "$f0 $s0" "$ATTACHES attachments come and go: no descriptor stays, in daemon and shim"
s1=$(awk '/^VmRSS/ { print $2 }' "/proc/$shim/status") d1=$(rss)
[ $((s1 - m0)) -le 64 ] && [ $((d1 - d0)) -le 512 ]; small "and no memory"
echo "# shim $((s1 - m0)) kB, daemon $((d1 - d0)) kB"
docker rm -f aa >/dev/null
# readers that do not read: of the log, nobody waits for them
docker run -d --name ll --network none --log-opt max-size=-1 busybox sh -c 'sleep 1.5; seq 1 1000000; echo end > /done; sleep 1000' >/dev/null
d0=$(rss)
python3 "$WORK/attach.py" "$SOCK" ll "$READERS" 12 'GET /containers/%s/logs?follow=1&stdout=1' > "$WORK/ready" & holding=$!
for i in $(seq $((100 * DKD_SLOW))); do docker exec ll test -e /done 2>/dev/null && break; sleep 0.1; done
is "$(docker exec ll cat /done)" end "$READERS readers of a log that do not read hold nobody up"
grown=$(($(rss) - d0)); [ "$grown" -le $((READERS * 256 + 1024)) ]; small "and take little memory"
echo "# $grown kB"
kill $holding; wait $holding 2>/dev/null
docker rm -f ll >/dev/null
# attached, they do, in bounded memory, and only until they go
id=$(docker run -d --name ll --network none --log-driver none busybox sh -c 'sleep 1.5; seq 1 3000000; echo end > /done; sleep 1000')
shim=$(sed 's/.*"shim":\([0-9]*\).*/\1/' "$WORK/exec/containers/$id/shim.json")
d0=$(rss) m0=$(awk '/^VmRSS/ { print $2 }' "/proc/$shim/status")
python3 "$WORK/attach.py" "$SOCK" ll "$READERS" 30 'POST /containers/%s/attach?stream=1&stdout=1' > "$WORK/ready" & holding=$!
sleep 3.5
s1=$(awk '/^VmRSS/ { print $2 }' "/proc/$shim/status") grown=$(($(rss) - d0))
[ $((s1 - m0)) -le $((READERS * 64 + 256)) ] && [ "$grown" -le $((READERS * 256 + 1024)) ]; small "$READERS attached readers that do not read: bounded memory"
echo "# shim $((s1 - m0)) kB, daemon $grown kB"
kill $holding; wait $holding 2>/dev/null
for i in $(seq $((100 * DKD_SLOW))); do docker exec ll test -e /done 2>/dev/null && break; sleep 0.1; done
is "$(docker exec ll cat /done)" end "when they are gone the container goes on"
docker rm -f ll >/dev/null
settled "nothing is left"
# stopped daemons: what the records say is what there is
bad=
for i in $(seq "$TERMS"); do
	for k in 1 2 3 4; do
		docker run -d --name "t$k" --stop-timeout 1 --network none busybox sh -c "[ $k -gt 2 ] || trap 'exit $k' TERM; echo up; while :; do sleep 0.05; done" >/dev/null
	done
	for k in 1 2 3 4; do says "t$k" up; done
	stop_daemon || bad="$bad $i: status;"
	[ "$(shims | wc -l)" = 0 ] || bad="$bad $i: shims;"
	grep -l '"Running":true' "$WORK"/root/containers/*/config.v2.json >/dev/null 2>&1 && bad="$bad $i: a record says running;"
	start_daemon
	s=$(docker ps -a --format '{{.Names}} {{.Status}}' | sort | sed 's/ About.*//; s/ Less.*//; s/) .*/)/' | tr '\n' ' ')
	[ "$s" = "t1 Exited (1) t2 Exited (2) t3 Exited (137) t4 Exited (137) " ] || bad="$bad $i: $s;"
	docker rm t1 t2 t3 t4 >/dev/null || bad="$bad $i: rm;"
done
is "$bad" "" "$TERMS daemons stopped: the records say what there is"
stop_daemon
done_testing
