#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What surrounds a start: failed steps are undone, sockets of the service manager, its notifications, signals, reloads.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 setpriv
find_docker
export DOCKER
scratch
echo '{}' > "$WORK/daemon.json"
common="--config-file $WORK/daemon.json --data-root $WORK/root --exec-root $WORK/exec --pidfile $WORK/docker.pid --plugin-dir $PLUGDIR -b none"
# a step that fails: those before it are undone
out=$("$DOCKERD" $common -H "unix://$SOCK" -D -s nosuch 2>&1)
is $? 1 "an unknown graph driver ends with 1"
like "$out" "nosuch" "and is named"
[ ! -e "$SOCK" ] && [ ! -e "$WORK/docker.pid" ]; ok "socket and pid file are taken back"
like "$out" "stop: listeners" "by the undo of their steps"
like "$(cd / && setpriv --reuid 65534 --clear-groups "$DOCKERD" --config-file /dev/null 2>&1)" "dockerd needs to be started with root privileges" "not root"
like "$("$DOCKERD" $common -H "unix://$SOCK" -G no-such-group 2>&1)" "group no-such-group not found" "a group that is not there"
like "$("$DOCKERD" $common -H fd:// 2>&1)" "no sockets found via socket activation: make sure the service was started by systemd" "fd:// from a shell"
# an open TCP port: warned about, and time to think; a signal ends the wait
start=$(date +%s)
out=$(timeout -s TERM 2 "$DOCKERD" $common -H tcp://0.0.0.0:0 2>&1)
like "$out" "without encryption or authentication" "an open port is warned about"
unlike "$out" "API listen" "and not served at once"
[ $(($(date +%s) - start)) -lt 14 ]; ok "the wait can be ended"
# the service manager's side: activation, READY, RELOADING, STOPPING, a third signal
cat > "$WORK/manager.py" <<'PY'
import os, signal, socket, subprocess, sys, time
dockerd, work, args = sys.argv[1], sys.argv[2], sys.argv[3].split()
note = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
note.bind(work + "/notify")
note.settimeout(20)
socks = []
for n in range(2):
    s = socket.socket(socket.AF_UNIX)
    s.bind("%s/act%d" % (work, n))
    s.listen(8)
    socks.append(s)

def start(hosts):
    pid = os.fork()
    if pid == 0:
        high = [os.dup2(s.fileno(), 20 + i) for i, s in enumerate(socks)]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i, True)
        log = os.open(work + "/log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(log, 2)
        env = dict(os.environ, NOTIFY_SOCKET=work + "/notify", LISTEN_PID=str(os.getpid()), LISTEN_FDS="2")
        os.execve(dockerd, ["dockerd"] + args + hosts, env)
    return pid

def ping(n):
    r = subprocess.run(["curl", "-s", "-m", "2", "--unix-socket", "%s/act%d" % (work, n), "http://d/_ping"], capture_output=True)
    return r.stdout.decode() or "none"

pid = start(["-H", "fd://"])
print("ready", note.recv(99) == b"READY=1", ping(0), ping(1))
os.kill(pid, signal.SIGHUP)
print("reload", note.recv(99).startswith(b"RELOADING=1\nMONOTONIC_USEC="), note.recv(99) == b"READY=1")
os.kill(pid, signal.SIGUSR1)
os.kill(pid, signal.SIGTERM)
print("stop", note.recv(99) == b"STOPPING=1", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
pid = start(["-H", "fd://4", "-H", "unix://" + work + "/docker.sock"])
note.recv(99)
print("one", ping(0), ping(1))
docker = [os.environ["DOCKER"], "-H", "unix://" + work + "/docker.sock"]
subprocess.run(docker + ["load", "-q", "-i", work + "/busybox.tar"], stdout=subprocess.DEVNULL)
subprocess.run(docker + ["run", "-d", "--name", "deaf", "--stop-timeout", "60", "--network", "none", "busybox", "sh", "-c",
    "trap '' TERM; echo up; while :; do sleep 1; done"], stdout=subprocess.DEVNULL)
while not subprocess.run(docker + ["logs", "deaf"], stdout=subprocess.PIPE).stdout:
    time.sleep(0.1)
for i in range(3):
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.3)
print("forced", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PY
"$top_srcdir/t/tools/mkimage" busybox:latest > "$WORK/busybox.tar"
out=$(python3 "$WORK/manager.py" "$DOCKERD" "$WORK" "$common")
like "$out" "ready True OK OK" "fd:// serves every socket passed, and says READY"
like "$out" "reload True True" "RELOADING and READY at SIGHUP"
like "$out" "stop True 0" "STOPPING at SIGTERM, status 0"
like "$(cat "$WORK"/exec/state-*.log)" "^jobs running 0" "SIGUSR1 leaves a description"
like "$out" "one none OK" "fd://4 serves that one and closes the other"
like "$out" "forced 143" "the third signal ends it at once"
[ -S "$WORK/act0" ]; ok "sockets of the manager are left in place"
# the container outlived the forced end; the next daemon stops it within its own time-out
start_daemon; ok "starts again"
is "$(docker ps --format '{{.Names}}')" deaf "what was left behind is adopted"
docker rm -f deaf >/dev/null; ok "and removed"
stop_daemon
# INI: driver options reach the driver, also anew
conf() { printf '[daemon]\nauthorization-plugins = policy\n[authz.policy]\nrule = deny %s\n' "$1" > "$WORK/d.conf"; }
conf "GET /images/json"
start_daemon --config-file "$WORK/d.conf"; ok "an INI file"
is "$(api_status GET /images/json) $(api_status GET /containers/json)" "403 200" "its rules hold"
conf "GET /containers/json"
kill -HUP "$DPID"
comes 403 api_status GET /containers/json
is "$(api_status GET /images/json) $(api_status GET /containers/json)" "200 403" "new rules after SIGHUP"
printf '[daemon]\nauthorization-plugins = nosuch\n' > "$WORK/d.conf"
kill -HUP "$DPID"
sleep 0.5
is "$(api_status GET /images/json) $(api_status GET /containers/json)" "200 403" "a driver that is not there changes nothing"
stop_daemon; is "$DSTATUS" 0 "stops"
done_testing
