#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Sizes of containers' layers: project quotas where XFS has them, refused in Docker's words elsewhere.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc jq mkfs.xfs losetup
find_docker
scratch
mkdir "$WORK/root"
REFUSED="--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
create() { api POST /containers/create -H 'Content-Type: application/json' -d "{\"Image\":\"busybox\",\"Cmd\":[\"true\"],\"HostConfig\":{\"StorageOpt\":$1}}"; }
refuses() { # of which file system
	is "$(create '{"size":"1G"}' | jq -r .message)" "$REFUSED" "$1: a size is refused in Docker's words"
	is "$(create '{"foo":"1"}' | jq -r .message)" "Unknown option foo" "$1: another option"
	is "$(docker ps -aq | wc -l)" 0 "$1: nothing is left"
}
NO_QUOTA="Filesystem does not support, or has not enabled quotas"
start_daemon --storage-driver vfs
load_busybox > /dev/null
if [ "$(stat -f -c %T "$WORK")" != xfs ]; then
	is "$(create '{"size":"1G"}' | jq -r .message)" "$NO_QUOTA" "vfs: without quotas a size is refused in Docker's words"
fi
is "$(create '{"foo":"1"}' | jq -r .message)" "Storage opt foo not supported" "vfs: another option"
stop_daemon
rm -rf "${WORK:?}/root"/*
if [ "$(stat -f -c %T "$WORK")" != xfs ]; then
	start_daemon --storage-driver overlay2
	ok "a daemon on another file system" || done_testing
	load_busybox > /dev/null
	refuses other
	stop_daemon
	DSTATUS=0
	start_daemon --storage-driver overlay2 --storage-opt overlay2.size=1G
	is $? 1 "a size for all: the daemon does not start"
	like "$(cat "$WORK/log")" "Storage Option overlay2.size only supported for backingFS XFS. Found " "and says why"
	rm -rf "${WORK:?}/root"/*
fi
truncate -s 400M "$WORK/image"
mkfs.xfs -q -f "$WORK/image" && LOOP=$(losetup -f --show "$WORK/image")
[ -n "${LOOP:-}" ] || { skip "on XFS" "no loop device"; done_testing; }
detach() { cleanup; umount "$WORK/root" 2> /dev/null; losetup -d "$LOOP" 2> /dev/null; rm -rf "$WORK"; }
trap detach EXIT
if ! mount -t xfs "$LOOP" "$WORK/root" 2> /dev/null; then
	skip "on XFS" "the kernel does not mount it"
	done_testing
fi
start_daemon --storage-driver overlay2
ok "a daemon on XFS without quotas" || done_testing
load_busybox > /dev/null
refuses XFS
[ ! -e "$WORK/root/overlay2/backingFsBlockDev" ]
ok "no device node stays where nothing needs it"
stop_daemon
start_daemon --storage-driver overlay2 --storage-opt overlay2.size=1G
is $? 1 "a size for all: the daemon does not start"
like "$(cat "$WORK/log")" "Storage option overlay2.size not supported. Filesystem does not support Project Quota: " "and says why"
umount "$WORK/root"
if ! mount -t xfs -o pquota "$LOOP" "$WORK/root" 2> /dev/null || ! grep -q " $WORK/root .*prjquota" /proc/self/mountinfo; then
	skip "sizes of layers" "the kernel has no quotas of XFS (CONFIG_XFS_QUOTA)"
	done_testing
fi
start_daemon --storage-driver overlay2 --storage-opt overlay2.size=20M
ok "a daemon on XFS with project quotas" || done_testing
load_busybox > /dev/null
fill() { docker run --rm --network none "${@:2}" busybox sh -c "dd if=/dev/zero of=/f bs=1M count=$1 2>&1"; }
like "$(fill 30 --storage-opt size=10M)" "No space left|quota exceeded" "more than its size"
unlike "$(fill 5 --storage-opt size=10M)" "No space left|quota exceeded" "less fits"
like "$(fill 30)" "No space left|quota exceeded" "the daemon's size for the others"
unlike "$(fill 15)" "No space left|quota exceeded" "which may be larger"
is "$(create '{"size":"many"}' | jq -r .message)" "invalid size: 'many'" "a size that is none"
docker run -d --name keeps --network none --storage-opt size=10M busybox sleep 1000 > /dev/null
stop_daemon
start_daemon --storage-driver overlay2
docker start keeps > /dev/null
like "$(docker exec keeps sh -c 'dd if=/dev/zero of=/f bs=1M count=30 2>&1')" "No space left|quota exceeded" "the next daemon's projects are others"
unlike "$(fill 60)" "No space left|quota exceeded" "without a size there is no limit"
docker rm -f keeps > /dev/null
docker rmi busybox > /dev/null
stop_daemon
sizes_of_vfs() { # file system
	start_daemon --storage-driver vfs --storage-opt size=20M
	ok "vfs on $1: a daemon with a size for all" || done_testing
	load_busybox > /dev/null
	like "$(fill 30)" "No space left|quota exceeded" "vfs on $1: the daemon's size"
	unlike "$(fill 30 --storage-opt size=60M)" "No space left|quota exceeded" "vfs on $1: a container's own, which may be larger"
	stop_daemon
}
sizes_of_vfs XFS
umount "$WORK/root"
if ! mkfs.ext4 -q -F -O quota,project "$LOOP" 2> /dev/null || ! mount -t ext4 -o prjquota "$LOOP" "$WORK/root" 2> /dev/null; then
	skip "sizes on ext4" "no project quotas of ext4"
	done_testing
fi
sizes_of_vfs ext4
rm -rf "${WORK:?}/root"/*
start_daemon --storage-driver overlay2
ok "a daemon on ext4 with project quotas" || done_testing
load_busybox > /dev/null
refuses ext4
stop_daemon
done_testing
