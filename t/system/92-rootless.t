#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# dockerd-rootless: a user who is not root starts the daemon with rootlesskit and slirp4netns; what works there, what is refused in words, and
# that nothing stays behind.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc python3 tar pgrep rootlesskit slirp4netns newuidmap setpriv
need_apart
[ -e /proc/self/ns/user ] && [ "$(cat /proc/sys/user/max_user_namespaces)" -gt 0 ] || skip_all "no user namespaces"
[ -c /dev/net/tun ] || skip_all "no /dev/net/tun"
find_docker
scratch

# a user of the suite's own, who has ids and may open what users of a desktop may; the build tree where he reaches it
OWN=$((23000 + $$ % 1000)) FIRST=$((900000000 + $$ % 1000 * 70000))
cp -a /etc "$WORK/etc" && mount --bind "$WORK/etc" /etc || skip_all "cannot mount over /etc"
echo "rootl:x:$OWN:$OWN::$WORK/home:/bin/sh" >> /etc/passwd
echo "rootl:x:$OWN:" >> /etc/group
echo "rootl:$FIRST:65536" | tee /etc/subuid > /etc/subgid
mkdir "$WORK/b" "$WORK/home" "$WORK/run" "$WORK/locked"
mount --bind "$top_builddir" "$WORK/b" && mount -o remount,bind,ro "$WORK/b" || skip_all "cannot mount the build tree" # nothing that clears up can write there
mknod -m 666 "$WORK/tun" c 10 200 && mount --bind "$WORK/tun" /dev/net/tun
[ ! -c /dev/fuse ] || { mknod -m 666 "$WORK/fuse" c 10 229 && mount --bind "$WORK/fuse" /dev/fuse; }
mount -t tmpfs -o nosuid,nodev,noexec locked "$WORK/locked" && echo locked > "$WORK/locked/file"
umount /sys/fs/cgroup/unified 2>/dev/null # which crun would refuse beside others
chown "$OWN:$OWN" "$WORK/home" "$WORK/run"
chmod 700 "$WORK/run"
SOCK=$WORK/run/docker.sock
as_user() { # VARIABLE=VALUE... PROGRAM...
	setpriv --reuid "$OWN" --regid "$OWN" --clear-groups env -i PATH="$PATH" HOME="$WORK/home" DKD_SLOW="$DKD_SLOW" \
		${ASAN_OPTIONS:+ASAN_OPTIONS="$ASAN_OPTIONS"} ${UBSAN_OPTIONS:+UBSAN_OPTIONS="$UBSAN_OPTIONS"} ${TSAN_OPTIONS:+TSAN_OPTIONS="$TSAN_OPTIONS"} \
		XDG_RUNTIME_DIR="$WORK/run" DOCKERD_ROOTLESS_DOCKERD="$WORK/b/dockerd" "$@"
}
as_user unshare -U true 2>/dev/null || skip_all "users may make no user namespaces"
as_user sh -c ': < /dev/net/tun' 2>/dev/null || skip_all "/dev/net/tun is no device of this kernel"
as_user test -x "$WORK/b/dockerd" || skip_all "the build tree is closed to users"

start_rootless() { # [VARIABLE=VALUE...] -- [dockerd args]
	_vars=
	while [ "$1" != -- ]; do _vars="$_vars $1"; shift; done
	shift
	# not within a function in the background, whose shell would be what is waited for
	# a session of its own, that a key of a terminal would reach as a whole
	setsid setpriv --reuid "$OWN" --regid "$OWN" --clear-groups env -i --default-signal=INT PATH="$PATH" HOME="$WORK/home" \
		${ASAN_OPTIONS:+ASAN_OPTIONS="$ASAN_OPTIONS"} ${UBSAN_OPTIONS:+UBSAN_OPTIONS="$UBSAN_OPTIONS"} ${TSAN_OPTIONS:+TSAN_OPTIONS="$TSAN_OPTIONS"} \
		XDG_RUNTIME_DIR="$WORK/run" DOCKERD_ROOTLESS_DOCKERD="$WORK/b/dockerd" $_vars \
		"$WORK/b/dockerd-rootless" -D --plugin-dir "$PLUGDIR" "$@" >> "$WORK/log" 2>&1 < /dev/null &
	DPID=$!
	for _i in $(seq $((300 * DKD_SLOW))); do
		[ "$(curl -s --max-time 5 --unix-socket "$SOCK" http://d/_ping 2>/dev/null)" = OK ] && return 0
		kill -0 "$DPID" 2>/dev/null || { wait "$DPID"; DSTATUS=$?; DPID=; return 1; }
		sleep 0.1
	done
	return 1
}
# What somebody says who listens there, from outside of rootlesskit's namespaces.
reach() { # host port
	busybox nc -w 10 "$1" "$2" < /dev/null 2>&1 | sed -n '1s/.*: //; 1p'
}
theirs() { pgrep -l -u "$OWN,$((FIRST + 999))"; } # processes of the user and of his ids
refused() { # pattern dockerd-args...
	_want=$1
	shift
	like "$(unshare -Ur env XDG_RUNTIME_DIR="$WORK/run" ROOTLESSKIT_STATE_DIR="$WORK/run/kit" "$DOCKERD" --validate "$@" 2>&1)" "$_want" "refused: $*"
}

like "$(cd "$WORK/b" && timeout $((10 * DKD_SLOW)) ./dockerd-rootless 2>&1)" "is for users who are not root" "root does not start it"
like "$(as_user XDG_RUNTIME_DIR= "$WORK/b/dockerd-rootless" 2>&1)" "XDG_RUNTIME_DIR needs to be set" "nor a user without a folder"
like "$("$DOCKERD" --validate --rootless 2>&1)" "start it with dockerd-rootless" "the option alone is not enough"
refused "rootless mode needs to be enabled" --rootless=false
refused "live-restore cannot be used" --live-restore
refused "userns-remap cannot be used" --userns-remap=default
refused "cgroupfs is not for rootless mode" --exec-opt native.cgroupdriver=cgroupfs

start_rootless --; ok "starts" || done_testing
info=$(api GET /info)
like "$info" '"name=rootless"' "docker info says rootless"
like "$info" '"CgroupDriver":"none"' "and that there are no control groups"
like "$info" 'Running in rootless-mode without cgroups' "with a warning"
is "$(docker info -f '{{.DockerRootDir}}')" "$WORK/home/.local/share/docker" "the data-root"
like "$(api GET /version)" '"Name":"rootlesskit".*"NetworkDriver":"slirp4netns","PortDriver":"builtin".*"Name":"slirp4netns"' "docker version names its helpers"
is "$(stat -c '%a %u %g' "$SOCK")" "1660 $OWN $OWN" "the socket is the user's, and kept"
DAEMON=$(cat "$WORK/run/docker.pid"); [ -d "/proc/$DAEMON" ]; ok "the pid file"
load_busybox > /dev/null; ok "an image is loaded"

is "$(docker run --rm busybox sh -c 'id -u; tr -s " " < /proc/self/uid_map; cat /proc/sys/net/ipv4/ping_group_range' | tr '\n\t' '  ')" \
	"0  0 $OWN 1  1 $FIRST 65536 0 65536 " "a container runs, and all groups may ping"
out=$(docker run -d --name web -m 64m --cpus 1 --pids-limit 10 --oom-score-adj -900 --device-cgroup-rule 'c 1:3 r' -p 8080:80 -p 127.0.0.1:8081:80 -p 9000-9009:81 \
	busybox nc -ll -p 80 -e echo hello 2>&1)
for word in 'memory limit' 'NanoCPUs discarded' 'PIDs limit' 'Device rules discarded' 'OOM score .* -900 is discarded'; do
	like "$out" "$word" "warned: $word"
done
is "$(docker exec web id -u)" 0 "exec"
is "$(docker exec -u 1000:1000 web sh -c 'echo $(id -u):$(id -g)')" 1000:1000 "exec as somebody"
unlike "$(cat "$WORK/log")" 'by the runtime' "none by the runtime"
like "$(docker top web -o pid,args | tr '\n' ';')" '^PID +COMMAND;[0-9]+ +nc -ll -p 80 -e echo hello;$' "top has the container's own process only"
like "$(docker pause web 2>&1)" 'cgroups not configured' "pause is refused"
echo here > "$WORK/file"; docker cp -q "$WORK/file" web:/file; is "$(docker exec web cat /file)" here "cp"
docker commit web made > /dev/null; is "$(docker run --rm made cat /file)" here "commit"
docker run --rm -v vol:/v busybox sh -c 'echo kept > /v/f && chown 1000:1000 /v/f'
is "$(docker run --rm -v vol:/v busybox stat -c '%u %s' /v/f)" "1000 5" "a volume"
is "$(stat -c '%u' "$WORK/home/.local/share/docker/volumes/vol/_data/f")" $((FIRST + 999)) "whose files are of the user's ids"
is "$(docker run --rm -v "$WORK/locked:/l:ro" busybox cat /l/file)" locked "a bind of what the host has locked, read-only"
is "$(docker run --rm --device /dev/null:/dev/nothing busybox sh -c 'echo x > /dev/nothing; stat -c %t:%T /dev/nothing')" 1:3 "a device under another name"
like "$(docker run --rm --pid host busybox sh -c 'cat /proc/[0-9]*/comm')" dockerd "the PID namespace of the host"
docker run --rm --ipc host busybox true; ok "its IPC namespace"
like "$(docker run --rm --network host busybox ip addr)" tap0 "its network is rootlesskit's"
like "$(docker run --rm --annotation engine.userns=auto busybox true 2>&1)" "is not possible in rootless mode" "no ids of its own"

# layers
mkdir "$WORK/layer"; mknod "$WORK/layer/null" c 1 3; echo x > "$WORK/layer/x"; chown 65000 "$WORK/layer/x"
tar -C "$WORK/layer" --numeric-owner -c . | docker import - devices > /dev/null; ok "a layer with a device"
tells "$WORK/log" 'device ...*null.* is not stored'; ok "is unpacked without it"
chown 70000 "$WORK/layer/x"
like "$(tar -C "$WORK/layer" --numeric-owner -c . | docker import - ids 2>&1)" 'failed to Lchown "/x" for UID 70000, GID 0 \(try increasing the number of subordinate IDs' \
	"an id that the user has not"

# networks and ports
docker network create mine > /dev/null
docker run -d --name one --stop-timeout 1 --network mine busybox sleep 1000 > /dev/null
docker run --rm --network mine busybox ping -c 1 -w 10 one > /dev/null; ok "a network with names"
comes hello reach 127.0.0.1 8080; ok "a published port"
comes hello reach ::1 8080; ok "by IPv6"
comes hello reach 127.0.0.1 8081; ok "one of the loopback"
ip addr add 10.99.7.1/32 dev lo
is "$(reach 10.99.7.1 8081)" "Connection refused" "and of nothing else"
docker run -d --name two -p 10.99.7.1:8081:80 busybox nc -ll -p 80 -e echo two > /dev/null; comes two reach 10.99.7.1 8081; ok "one address of the host"
mkfifo "$WORK/hold"
python3 -c '
import socket, sys
s = socket.socket()
s.bind(("0.0.0.0", 9100))
s.listen()
print("up", flush=True)
sys.stdin.read()' < "$WORK/hold" > "$WORK/up" &
exec 9> "$WORK/hold"
tells "$WORK/up" up
like "$(docker run --rm -p 9100:80 busybox true 2>&1)" 'AddPort\(\): listen tcp4 0.0.0.0:9100: bind: address already in use' "a port that the host has"
like "$(docker run --rm -p 80:80 busybox true 2>&1)" 'cannot expose privileged port 80' "one that only root has"
like "$(docker run --rm -p 9300:80/sctp busybox true 2>&1)" 'protocol "sctp4" is not supported by the RootlessKit port driver "builtin"' "one that rootlesskit cannot lead"
docker run -d --name three -p 9100-9105:80 busybox sleep 1000 > /dev/null
is "$(docker port three 80 | head -1)" 0.0.0.0:9101 "of a range the first one that is free on the host, too"
exec 9>&-
docker rm -f two three > /dev/null
is "$(reach 10.99.7.1 8081)" "Connection refused" "a removed container leaves no port"

# a daemon that dies is not the end of its containers
was=$(docker inspect -f '{{.State.Pid}}' web)
kill -KILL "$DAEMON"
again() { [ "$(cat "$WORK/run/docker.pid" 2>/dev/null)" != "$DAEMON" ] && curl -s --max-time 5 --unix-socket "$SOCK" http://d/_ping; }
comes OK again; ok "a killed daemon comes back in its namespaces"
is "$(docker inspect -f '{{.State.Pid}}' web)" "$was" "its containers went on"
is "$(docker exec web cat /file)" here "it has them"
comes hello reach 127.0.0.1 8080; ok "and their ports"
like "$(curl -s --unix-socket "$WORK/run/dockerd-rootless/api.sock" http://d/v1/ports)" '"parentPort":8080' "rootlesskit knows of them"
docker rm -f web > /dev/null
is "$(curl -s --unix-socket "$WORK/run/dockerd-rootless/api.sock" http://d/v1/ports)" null "and forgets them"
docker run -d --name slow --stop-timeout $((20 * DKD_SLOW)) -v vol:/v busybox sh -c 'trap "sleep 1; echo ended > /v/f; exit" TERM; echo up; while :; do sleep 0.1; done' > /dev/null
says slow up
kill -s INT -- "-$DPID"; wait "$DPID"; DPID=
is "$(cat "$WORK/home/.local/share/docker/volumes/vol/_data/f")" ended "Ctrl-C, which all of the terminal get: the containers have their time"
comes "" theirs; ok "without a process of the user's"
is "$(ls "$WORK/run")" docker "a socket, or a pid file"
is "$(ls "$WORK/run/docker/netns" "$WORK/run/docker/containers" 2>&1 | grep -v '^/\|^$')" "" "and nothing of its containers"

# the other runtime, the other port driver, and the driver for older kernels
args=
command -v crun > /dev/null && args="--add-runtime crun=$(command -v crun)"
command -v fuse-overlayfs > /dev/null && as_user sh -c ': <> /dev/fuse' 2>/dev/null && args="$args --storage-driver fuse-overlayfs"
OTHER="DOCKERD_ROOTLESS_ROOTLESSKIT_PORT_DRIVER=slirp4netns DOCKERD_ROOTLESS_ROOTLESSKIT_DISABLE_HOST_LOOPBACK=false"
start_rootless $OTHER -- $args; ok "starts with slirp4netns for ports" || done_testing
docker load -q -i "$WORK/busybox.tar" > /dev/null
docker run -d --name web --stop-timeout 1 -p 127.0.0.1:8080:80 -p 8082:80 busybox nc -ll -p 80 -e echo hello > /dev/null
comes hello reach 127.0.0.1 8080; ok "a port of the loopback"
comes hello reach 10.99.7.1 8082; ok "a port of all addresses"
is "$(docker run --rm busybox nc -w 10 10.0.2.2 8082 < /dev/null)" hello "the loopback of the host, where it is asked for"
case $args in
*fuse*) is "$(docker info -f '{{.Driver}}')" fuse-overlayfs "fuse-overlayfs" ;;
*) skip "fuse-overlayfs" "it is not installed, or /dev/fuse not a user's" ;;
esac
case $args in
*crun*) is "$(docker run --rm --runtime crun -m 64m busybox id -u 2>/dev/null)" 0 "crun" ;;
*) skip "crun" "it is not installed" ;;
esac
kill -KILL "$DPID"; wait "$DPID" 2>/dev/null; DPID=
comes "" theirs; ok "a killed rootlesskit leaves no process"

# all killed at once, but for the containers: these are in namespaces that nobody reaches any more
start_rootless $OTHER -- $args; ok "starts again" || done_testing
docker rm -f web > /dev/null
docker run -d --name again --restart always -p 8082:80 busybox nc -ll -p 80 -e echo hello > /dev/null
docker run -d --name user -u 1000 --network mine busybox sleep 1000 > /dev/null
comes hello reach 127.0.0.1 8082; ok "a port"
DAEMON=$(cat "$WORK/run/docker.pid")
kill -KILL $(ps -o ppid= -p "$DAEMON") "$DAEMON" $(pgrep -P "$DPID") "$DPID"; wait "$DPID" 2>/dev/null; DPID=
like "$(theirs)" dockerd-shim "all but the containers are killed"
start_rootless $OTHER -- $args; ok "starts after that" || done_testing
comes "exited 137" docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' user; ok "a container of before has ended"
comes "" pgrep -u $((FIRST + 999)); ok "really"
comes hello reach 127.0.0.1 8082; ok "one with a restart policy was started where its port leads"
docker start user > /dev/null
docker run --rm --network mine busybox ping -c 1 -w 10 user > /dev/null; ok "there are names"
# the shims, too: an id that is not the user's own is not the next daemon's to end
kill -KILL $(pgrep -u "$OWN"); wait "$DPID" 2>/dev/null; DPID=
pgrep -u $((FIRST + 999)) > /dev/null; ok "all of the user's own id are killed"
start_rootless $OTHER -- $args; ok "starts after that, too" || done_testing
comes "" pgrep -u $((FIRST + 999)); ok "nobody else is left"
comes hello reach 127.0.0.1 8082; ok "and the port is there"
# a daemon that cannot start again
mkdir -p "$WORK/home/.config/docker"; echo '{' > "$WORK/home/.config/docker/daemon.json"
kill -KILL "$(cat "$WORK/run/docker.pid")"; wait "$DPID"; is $? 1 "a configuration that broke meanwhile ends all"
DPID=; comes "" theirs; ok "with the containers"
done_testing
