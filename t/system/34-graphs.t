#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Daemons on graph drivers other than overlay2, on file systems of their own: which one is taken, containers, images, sizes.
. "$(dirname "$0")/lib.sh" || exit 1
. "${top_srcdir:?}/t/system/disklib.sh" || exit 1
need runc jq
find_docker
info() { docker info -f "{{.Driver}} {{json .DriverStatus}}"; }
# The life of a container and an image on whatever the daemon runs on.
lives() { # name
	load_busybox > /dev/null
	is "$(docker run --name con --network none busybox sh -c 'echo new > /new; rm /bin/ls; mkdir /d; cat /new')" new "$1: a container runs"
	is "$(docker diff con | LC_ALL=C sort | tr '\n' ' ')" "A /d A /new C /bin D /bin/ls " "$1: its differences"
	docker commit con made > /dev/null
	is "$(docker run --rm --network none made sh -c 'cat /new; test -e /bin/ls || echo gone')" "$(printf 'new\ngone')" "$1: an image of it"
	docker save made -o "$WORK/made.tar"
	docker rm con > /dev/null; docker rmi made > /dev/null
	is "$(docker load -q -i "$WORK/made.tar")" "Loaded image: made:latest" "$1: saved and loaded"
	docker run -d --name con --network none --init made sleep 1000 > /dev/null
	kill -KILL "$DPID"; wait "$DPID" 2> /dev/null
	start_daemon
	is "$(docker exec con cat /new)" new "$1: it is found again after a kill -9 of the daemon, without a name of the driver"
	docker rm -f con > /dev/null
}
mkdir "$WORK/root"
# btrfs
if disk_on 500M btrfs defaults mkfs.btrfs -q; then
	mount --bind "$WORK/disk" "$WORK/root"
	start_daemon
	ok "btrfs: a daemon on an empty one"
	is "$(info)" 'btrfs [["Btrfs",""]]' "btrfs: is taken by itself, with Docker's status"
	lives btrfs
	docker run -d --name con --network none busybox sleep 1000 > /dev/null
	top=$WORK/root/btrfs/subvolumes/$(cat "$WORK/root/image/btrfs/layerdb/mounts/$(docker inspect -f '{{.Id}}' con)/mount-id")
	btrfs subvolume create "$top/inner" > /dev/null && btrfs subvolume create "$top/inner/most" > /dev/null && mkdir "$top/x" && btrfs subvolume create "$top/x/other" > /dev/null
	ok "btrfs: subvolumes within a container's"
	docker rm -f con > /dev/null
	ok "btrfs: and it is removed"
	is "$(btrfs subvolume list "$WORK/root" | grep -cE 'inner|other')" 0 "btrfs: with them"
	docker run -d --name con --network none --storage-opt size=100M busybox sleep 1000 > /dev/null
	ok "btrfs: a container with a size"
	like "$(docker exec con sh -c 'dd if=/dev/zero of=/f bs=1M count=150 2>&1; sync; dd if=/dev/zero of=/g bs=1M count=1 2>&1')" "quota exceeded" "btrfs: more does not fit"
	docker rm -f con > /dev/null
	if unshare -U true 2> /dev/null && cp -a /etc "$WORK/etc" && mount --bind "$WORK/etc" /etc; then
		sed -i '/^containers:/d' /etc/subuid /etc/subgid; echo containers:1000000:65536 | tee -a /etc/subuid >> /etc/subgid
		docker run -d --name con --network none --annotation engine.userns=auto busybox sleep 1000 > /dev/null
		is "$(docker exec con sh -c 'touch /f; chown 7:8 /f; stat -c %u:%g / /f' | tr '\n' ' ')$(stat -c %u:%g "$WORK/root/btrfs/subvolumes/$(docker inspect -f '{{.Id}}' con)/f")" "0:0 7:8 7:8" \
			"btrfs: a container with ids of its own, by a second mount of its subvolume"
		docker rm -f con > /dev/null
		umount /etc
	fi
	stop_daemon
	start_daemon --storage-opt btrfs.min_space=10G
	create() { api POST /containers/create -H 'Content-Type: application/json' -d "{\"Image\":\"busybox\",\"Cmd\":[\"true\"],\"HostConfig\":{\"StorageOpt\":$1}}" | jq -r .message; }
	is "$(create '{"size":"1G"}')" "btrfs: storage size cannot be less than 10.74GB" "btrfs: less than the least size"
	is "$(create '{"foo":"1G"}')" "Unknown option foo" "btrfs: another option"
	docker rmi made busybox > /dev/null
	is "$(ls "$WORK/root/btrfs/subvolumes")" "" "btrfs: nothing is left"
	stop_daemon
	umount "$WORK/root"
else
	skip "btrfs" "the kernel has none, or mkfs.btrfs is not installed"
fi
mount -t tmpfs tmpfs "$WORK/root"
# overlay, Docker's first one
start_daemon --storage-driver=overlay
ok "overlay: a daemon"
is "$(info)" 'overlay [["Backing Filesystem","tmpfs"],["Supports d_type","true"]]' "overlay: its status is Docker's"
lives overlay
docker create --name con made > /dev/null
data() { "$DOCKER" -H "unix://$SOCK" "$@" | jq -r '.[0].GraphDriver.Data | to_entries[] | "\(.key)=\(.value)"' | sed "s,$WORK/root/overlay/,," | sed -E 's/[0-9a-f]{64}/ID/'; }
is "$(data image inspect made)" "RootDir=ID/root" "overlay: an image's layer is a whole tree"
is "$(data inspect con)" "$(printf '%s\n' LowerDir=ID/root MergedDir=ID/merged UpperDir=ID/upper WorkDir=ID/work)" "overlay: a container's is an overlay over it"
is "$(stat -c %i "$WORK"/root/overlay/*/root/bin/busybox | sort -u | wc -l)" 1 "overlay: images share their files"
is "$(docker create --storage-opt size=10m busybox 2>&1)" "Error response from daemon: --storage-opt is not supported for overlay" "overlay: no sizes, in Docker's words"
id=$(docker inspect -f '{{.Id}}' con)
stop_daemon
: > "$WORK/root/overlay/$id/lower-id"
start_daemon
is "$(docker diff con; docker start -a con 2> /dev/null)" new "overlay: what lies below a container is found again when a power cut took the file"
docker rm con > /dev/null
stop_daemon
start_daemon --storage-opt overlay.size=1G
is "$(tail -n 1 "$WORK/log" | grep -o 'overlay: unknown option.*')" "overlay: unknown option overlay.size" "overlay: no options"
start_daemon --storage-driver=overlay2
tells "$WORK/log" "root holds layers of overlay: what was made with them is not seen with the storage driver overlay2"
ok "overlay: overlay2 beside it is another driver, and that is said"
stop_daemon
start_daemon --storage-driver=overlay
docker rmi made busybox > /dev/null
is "$(ls "$WORK/root/overlay")" "" "overlay: nothing is left"
stop_daemon
rm -rf "$WORK/root"/*
# fuse-overlayfs
if command -v fuse-overlayfs > /dev/null && [ -r /dev/fuse ]; then
	start_daemon --storage-driver fuse-overlayfs
	ok "fuse-overlayfs: a daemon"
	is "$(info | cut -d, -f1)" 'fuse-overlayfs [["Backing Filesystem"' "fuse-overlayfs: its name"
	lives fuse-overlayfs
	docker run -d --name con --network none busybox sleep 1000 > /dev/null
	kill -KILL "$DPID"; wait "$DPID" 2> /dev/null
	is "$(awk -v w="$WORK/root/fuse-overlayfs/" 'index($5, w) == 1 && / - fuse.fuse-overlayfs /' /proc/self/mountinfo | wc -l)" 1 "fuse-overlayfs: its mount is there without a daemon"
	start_daemon
	is "$(docker exec con sh -c 'echo on > /on; cat /on')" on "fuse-overlayfs: the container goes on over a kill -9"
	docker rm -f con > /dev/null
	is "$(grep -c "$WORK/root/fuse-overlayfs/" /proc/self/mountinfo)" 0 "fuse-overlayfs: nothing stays mounted"
	docker rmi made busybox > /dev/null
	is "$(ls "$WORK/root/fuse-overlayfs" "$WORK/root/fuse-overlayfs/l" | grep -cE '^[0-9a-f]{64}|^[A-Z0-9]{26}$')" 0 "fuse-overlayfs: nothing is left"
	stop_daemon
	env PATH="$WORK" "$DOCKERD" --config-file /dev/null --data-root "$WORK/root" --exec-root "$WORK/exec" --pidfile "$WORK/docker.pid" -H "unix://$SOCK" \
		--plugin-dir "$PLUGDIR" --storage-driver fuse-overlayfs >> "$WORK/log" 2>&1
	is $? 1 "fuse-overlayfs: without the program the daemon does not start"
	like "$(tail -n 3 "$WORK/log")" "the program fuse-overlayfs, which is not installed" "and says why"
	rm -rf "$WORK/root"/*
else
	skip "fuse-overlayfs" "the program is not installed, or there is no /dev/fuse"
fi
DSTATUS=0
start_daemon --storage-driver btrfs
is $? 1 "btrfs on a tmpfs: the daemon does not start"
like "$(tail -n 3 "$WORK/log")" "prerequisites for driver not satisfied \(wrong filesystem\?\): $WORK/root lies on tmpfs, not on btrfs" "and says why"
if ! grep -qw aufs /proc/filesystems; then
	start_daemon --storage-driver aufs
	is $? 1 "aufs on a kernel without it: the daemon does not start"
	like "$(tail -n 3 "$WORK/log")" "driver not supported: aufs: this kernel has no aufs, or has not loaded it yet \(modprobe aufs\)" "and says why"
	mkdir -p "$WORK/root/aufs/layers"; touch "$WORK/root/aufs/layers/x"
	start_daemon
	is $? 1 "nor with layers of aufs"
	like "$(tail -n 3 "$WORK/log")" "prior storage driver aufs failed: driver not supported: aufs: this kernel has no aufs" "which says why, too"
fi
umount "$WORK/root"
done_testing
