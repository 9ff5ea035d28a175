#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# crun in user namespaces, the daemon's and a container's own, and execs there. All of 90-userns and 91-idmap runs with it by RUNTIME=crun.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox crun useradd
need_apart
[ -e /proc/self/ns/user ] && [ "$(cat /proc/sys/user/max_user_namespaces)" -gt 0 ] || skip_all "no user namespaces"
find_docker
scratch
RUNTIME=crun with_runtime
cp -a /etc "$WORK/etc" && mount --bind "$WORK/etc" /etc || skip_all "cannot mount over /etc"
useradd --system --no-create-home remap 2>/dev/null; sed -i '/^remap:/d;/^containers:/d' /etc/subuid /etc/subgid
printf 'remap:100000:65536\ncontainers:1000000:65536\n' | tee -a /etc/subuid >> /etc/subgid
x() { docker exec "$@" 2>&1; }
start_daemon --userns-remap remap; ok "a daemon with a map, and crun" || done_testing
load_busybox >/dev/null
for whose in 100000 1000000; do
	[ $whose = 100000 ] && note= || note="--annotation engine.userns=auto"
	docker run -d --name cc --network none -v vol:/etc -w /w/x $note busybox sleep 1000 >/dev/null; ok "$whose: a container"
	is "$(x cc cat /proc/self/uid_map /proc/self/gid_map | tr -s ' ' | sort -u)" " 0 $whose 65536" "$whose: its ids"
	is "$(stat -c %u:%g "/proc/$(docker inspect -f '{{.State.Pid}}' cc)")" "$whose:$whose" "$whose: as the host sees them"
	is "$(x cc sh -c 'echo x > /own; chown 7:8 /own; stat -c %u:%g / /etc/passwd /w/x /own' | sort -u | tr '\n' ' ')" "0:0 7:8 " "$whose: owners inside"
	is "$(x -u 7:8 -w /w -e A=b cc sh -c 'id -u; id -g; pwd; echo $A; cat /proc/self/uid_map' | tr -s ' ' | tr '\n' ' ')" "7 8 /w b  0 $whose 65536 " "$whose: an exec as another user is in the same namespace"
	is "$(x -t cc tty | tr -d '\r')" /dev/pts/0 "$whose: one with a terminal"
	docker exec cc sh -c 'exit 5'; is $? 5 "$whose: its exit code"
	docker exec cc nosuch >/dev/null 2>&1; is $? 127 "$whose: and of what is not there"
	like "$(x -u 7 cc sh -c 'echo x > /root-only')" "denied" "$whose: it may not what root may"
	like "$(x cc sh -c 'mknod /x c 1 3; mount -t tmpfs x /mnt')" "ermitted|denied" "$whose: nor root what the host's may"
	stop_daemon KILL
	start_daemon --userns-remap remap
	is "$(x cc stat -c %u:%g /own)" 7:8 "$whose: it goes on over a kill -9 of the daemon, with execs"
	docker rm -f cc >/dev/null; ok "$whose: and goes"
done
stop_daemon
done_testing
