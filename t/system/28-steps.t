#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each step of the start made to fail: one sentence, status 1, and nothing left of the steps before it.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl
scratch
echo '{}' > "$WORK/daemon.json"
dockerd() { # later flags win over these
	timeout -s TERM $((20 * DKD_SLOW)) "$DOCKERD" -b none --config-file "$WORK/daemon.json" --data-root "$WORK/root" --exec-root "$WORK/exec" \
		--pidfile "$WORK/docker.pid" -H "unix://$SOCK" --plugin-dir "$PLUGDIR" "$@" < /dev/null 2>&1
}
fails() { # what pattern [dockerd args]
	_what=$1 _want=$2
	shift 2
	_out=$(dockerd "$@")
	_rc=$?
	[ $_rc = 1 ] && printf '%s\n' "$_out" | tail -n 1 | grep -Eq -- "$_want" && [ ! -S "$SOCK" ] && [ ! -f "$WORK/docker.pid" ] &&
		! grep -q "$WORK/" /proc/self/mountinfo && ! pgrep -f "$WORK/root" >/dev/null
	ok "$_what" || printf '# status %s: %s\n' $_rc "$(printf '%s' "$_out" | tail -n 1)"
	rm -rf "$WORK/root" "$WORK/exec" "$SOCK" "$WORK/docker.pid"
}
touch "$WORK/file"
fails "data-root: a file" "cannot make the data-root: mkdir .*: Not a directory" --data-root "$WORK/file"
fails "data-root: cannot be made" "cannot make the data-root" --data-root /proc/nope
fails "exec-root: a file" "cannot make the exec-root: .*Not a directory" --exec-root "$WORK/file"
mkdir "$WORK/docker.pid"
fails "pid file: a folder" "failed to start daemon, ensure docker is not running or delete .*Is a directory"
ln -s "$WORK/aim" "$WORK/docker.pid"
fails "pid file: a link is not followed" "cannot open the pid file"
[ ! -e "$WORK/aim" ]; ok "nor written through"
for text in garbage -1 1 999999999999; do
	echo "$text" > "$WORK/docker.pid"
	fails "pid file: $text counts for nothing" "graph driver nosuch not found" -s nosuch
done
touch "$SOCK"
fails "listener: a file in the way" "no socket has this name"
fails "listener: no folder" "can't create unix socket .*No such file" -H "unix://$WORK/no/such/sock"
fails "listener: the second of two" "no sockets found via socket activation" -H fd://
fails "graph driver: unknown" "^error initializing graphdriver: driver not supported: graph driver nosuch not found" -s nosuch
fails "graph driver: its options" "^error initializing graphdriver: overlay2: unknown option overlay2.nope" -s overlay2 \
	--storage-opt overlay2.nope=1
for driver in zfs aufs; do
	mkdir -p "$WORK/root/$driver/x/diff" "$WORK/root/image/$driver"
	fails "graph driver: data of $driver" "prior storage driver $driver failed|holds data of the storage driver $driver, which is not supported"
done
mkdir -p "$WORK/root/overlay/x/root" "$WORK/root/aufs/diff"
fails "graph driver: data of two" "several valid graphdrivers: aufs, overlay"
mkdir -p "$WORK/root/graph/x" "$WORK/root/aufs/diff"
fails "data-root of Docker before 1.10" "images of Docker before 1.10"
mkdir -p "$WORK/root/containerd/daemon/io.containerd.metadata.v1.bolt" "$WORK/root/volumes"
fails "data-root of the containerd image store" "containerd image store; only graph-driver roots can be opened"
for sub in overlay2:graphdriver image:"layer store" image/overlay2/imagedb:"image store" volumes:volumes \
	network:"network controller" containers:"container store"; do
	mkdir -p "$(dirname "$WORK/root/${sub%%:*}")"
	touch "$WORK/root/${sub%%:*}"
	fails "${sub#*:}: a file in its folder's place" "${sub#*:}.*Not a directory" -s overlay2
done
fails "authorization: unknown driver" "authz driver nosuch not found" --authorization-plugin nosuch
like "$(timeout -s TERM 2 "$DOCKERD" -b none --config-file /dev/null --data-root "$WORK/root" --exec-root "$WORK/exec" --pidfile "" \
	-H "unix://$SOCK" --plugin-dir "$PLUGDIR" --plugin-dir /nonexistent 2>&1)" "plugin-dir /nonexistent is not there" "a driver folder that is not there"
# closed standard descriptors: nothing of the log may end in a file of the daemon's
start_daemon_closed() {
	"$DOCKERD" -b none --config-file "$WORK/daemon.json" --data-root "$WORK/root" --exec-root "$WORK/exec" --pidfile "$WORK/docker.pid" \
		-H "unix://$SOCK" --plugin-dir "$PLUGDIR" -D <&- >&- 2>&- &
	DPID=$!
	for _i in $(seq 100); do [ "$(api GET /_ping 2>/dev/null)" = OK ] && return 0; sleep 0.1; done
	return 1
}
start_daemon_closed; ok "starts with standard descriptors closed"
is "$(readlink "/proc/$DPID/fd/0" "/proc/$DPID/fd/1" "/proc/$DPID/fd/2" | sort -u)" /dev/null "they are /dev/null"
is "$(cat "$WORK/docker.pid")" "$DPID" "the pid file holds the pid alone"
stop_daemon; is "$DSTATUS" 0 "stops"
# few descriptors: refused clients, not a dead daemon
(ulimit -n 64; exec "$DOCKERD" -b none --config-file "$WORK/daemon.json" --data-root "$WORK/root" --exec-root "$WORK/exec" \
	--pidfile "$WORK/docker.pid" -H "unix://$SOCK" --plugin-dir "$PLUGDIR" >> "$WORK/log" 2>&1 < /dev/null) &
DPID=$!
for _i in $(seq $((50 * DKD_SLOW))); do [ -S "$SOCK" ] && [ "$(api GET /_ping 2>/dev/null)" = OK ] && break; sleep 0.1; done
python3 - "$SOCK" <<'P'
import socket, sys, time
held = []
for i in range(100):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    held.append(s)
time.sleep(1)
P
is "$(api GET /_ping)" OK "64 descriptors and 100 clients: goes on"
[ "$(awk '{ print $14 + $15 }' "/proc/$DPID/stat")" -lt 50 ]; ok "without spinning"
stop_daemon
done_testing
