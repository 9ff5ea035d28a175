#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The graph driver devicemapper. Where the kernel has no device-mapper it says so in one sentence, and the rest is skipped: t/vm/suites has one.
. "$(dirname "$0")/lib.sh" || exit 1
. "${top_srcdir:?}/t/system/dmlib.sh" || exit 1
need_root
need jq runc
find_docker
scratch
[ -e "$PLUGDIR/graph/devicemapper.so" ] || skip_all "built without devicemapper"
# Opening the node loads the module, where it can.
has_dm() { (: < /dev/mapper/control) 2> /dev/null; grep -q ' device-mapper$' /proc/misc; }
# What stays of pools and loop devices when a daemon was killed.
tear_down() {
	cleanup
	has_dm || return
	[ -z "$GROUP" ] || vgremove -q -f docker > /dev/null 2>&1
	dm_remove_own
	losetup -a 2> /dev/null | grep -F "$WORK/" | cut -d: -f1 | xargs -r -n 1 losetup -d 2> /dev/null
	rm -rf "$WORK"
}
GROUP=
trap tear_down EXIT
OPTS="-s devicemapper --storage-opt dm.loopdatasize=3G --storage-opt dm.loopmetadatasize=64M --storage-opt dm.basesize=256M --storage-opt dm.fs=ext4"
start() { start_daemon $OPTS "$@"; }
refuses() { # pattern, what, options
	: > "$WORK/log"
	start_daemon -s devicemapper "${@:3}"
	is $? 1 "$2: the daemon does not start"
	like "$(tail -n 3 "$WORK/log")" "$1" "and says why"
	DSTATUS=0
}
if ! has_dm; then
	refuses "this kernel has no device-mapper, or has not loaded it yet \(modprobe dm_mod dm_thin_pool\)" "without a device-mapper"
	[ ! -e "$WORK/root/devicemapper" ]
	ok "nothing is made then"
	like "$("$DOCKERD" --plugin-dir "$PLUGDIR" --list-drivers 2>&1 | grep '^devicemapper')" "has no device-mapper" "--list-drivers tells, too"
	skip "layers on thin devices" "this kernel has no device-mapper"
	done_testing
fi
need dmsetup losetup mkfs.ext4 mkfs.xfs
thin() { dm_own --target thin; }
pools() { dm_own --target thin-pool | grep -v '^dkdtest'; }
loops() { losetup -a | grep -cF "$WORK/"; }
mounts() { grep -cF " $WORK/root/devicemapper" /proc/self/mountinfo; }
data() { docker inspect -f "{{index .GraphDriver.Data \"$2\"}}" "$1"; }
info() { docker info 2> /dev/null | sed -n "s/^ *$1: //p"; }
sum() { docker info -f '{{range .DriverStatus}}{{index . 0}};{{end}}'; }

# Options
refuses "devmapper: Unknown option dm.nosuch" "an unknown option" --storage-opt dm.nosuch=1
refuses "devmapper: Unsupported filesystem btrfs" "another file system" --storage-opt dm.fs=btrfs
refuses "there is no thin pool dkdtest-none" "a pool that is not there" --storage-opt dm.thinpooldev=/dev/mapper/dkdtest-none
refuses "open the data device /dev/dkdtest" "a data device that is not there" --storage-opt dm.datadev=/dev/dkdtest
if command -v pvcreate > /dev/null; then skip "direct-lvm without LVM" "LVM is here"; skip "and says so" "LVM is here"
else refuses "error looking up command .pvcreate. while setting up direct lvm" "direct-lvm without LVM" --storage-opt dm.directlvm_device=/dev/dkdtest; fi
is "$(thin)$(pools)$(loops)$(mounts)" 00 "nothing is left of these"

# A pool on loop files
start; ok "a daemon on loop files" || done_testing
is "$(docker info -f '{{.Driver}}')" devicemapper "is on devicemapper"
is "$(sum)" "Pool Name;Pool Blocksize;Base Device Size;Backing Filesystem;Udev Sync Supported;Data file;Metadata file;Data loop file;Metadata loop file;\
Data Space Used;Data Space Total;Data Space Available;Metadata Space Used;Metadata Space Total;Metadata Space Available;Thin Pool Minimum Free Space;\
Deferred Removal Enabled;Deferred Deletion Enabled;Deferred Deleted Device Count;Library Version;" "the lines of docker info"
prefix=docker-$(stat -c '%Hd:%Ld' "$WORK/root")-$(stat -c %i "$WORK/root/devicemapper")
is "$(info 'Pool Name')" "$prefix-pool" "the pool's name"
is "$(info 'Pool Blocksize') $(info 'Base Device Size') $(info 'Backing Filesystem')" "65.54kB 268.4MB ext4" "sizes"
is "$(info 'Data Space Total') $(info 'Metadata Space Total') $(info 'Thin Pool Minimum Free Space')" "3.221GB 67.11MB 322.1MB" "of the pool, too"
is "$(info 'Data loop file')" "$WORK/root/devicemapper/devicemapper/data" "the loop file"
is "$(info 'Deferred Removal Enabled') $(info 'Deferred Deletion Enabled') $(info 'Deferred Deleted Device Count')" "true true 0" "deferred removal and deletion"
is "$(ls "$WORK/root/devicemapper" | tr '\n' ' ')" "devicemapper metadata mnt " "Docker's layout"
is "$(jq -r '"\(.device_id) \(.size) \(.initialized)"' "$WORK/root/devicemapper/metadata/base")" "1 268435456 true" "the base device"
like "$(cat "$WORK/root/devicemapper/metadata/deviceset-metadata")" '^\{"next_device_id":1,"BaseDeviceUUID":"[0-9a-f-]{36}","BaseDeviceFilesystem":"ext4"\}$' "and what is known of it"
load_busybox > /dev/null; ok "an image is loaded"
is "$(thin)" "" "no device is active when nothing is mounted"
is "$(docker run --rm --network none busybox sh -c 'echo a > /f; cat /f; cat /proc/mounts' | awk 'NR == 1 || $2 == "/" { print $1, $3 }' | sed "s|/dev/mapper/$prefix-[0-9a-f]* |device |" | tr '\n' ';')" \
	"a ;device ext4;" "a container runs on a device of its own"
docker run -d --name one --network none busybox sh -c 'echo text > /kept; sleep 100000' > /dev/null; ok "a container that stays"
id=$(docker inspect -f '{{.Id}}' one)
mount=$(cat "$WORK/root/image/devicemapper/layerdb/mounts/$id/mount-id")
is "$(data one DeviceName)" "$prefix-$mount" "the device's name"
is "$(data one DeviceId) $(data one DeviceSize)" "$(jq -r '"\(.device_id) \(.size)"' "$WORK/root/devicemapper/metadata/$mount")" "its number and size"
like "$(cat "$WORK/root/devicemapper/mnt/$mount/id")" '^[0-9a-f]{64}$' "mnt/ID/id, of the first layer of all, as Docker has it"
comes text cat "$WORK/root/devicemapper/mnt/$mount/rootfs/kept"; ok "mnt/ID/rootfs"
like "$(dmsetup table "$prefix-$mount")" "^0 524288 thin " "a thin device"
docker exec one sh -c 'rm /etc/group; mkdir -p /d/e; echo more > /d/e/f'
is "$(docker diff one | sort | tr '\n' ' ')" "A /d A /d/e A /d/e/f A /kept C /etc D /etc/group " "docker diff"
docker commit one two > /dev/null; ok "docker commit of a running container"
is "$(docker run --rm --network none two sh -c 'cat /d/e/f /kept; ls /etc/group 2>&1')" "$(printf 'more\ntext\nls: /etc/group: No such file or directory')" "the new image"
is "$(docker run --rm --network none two df -Pm / | awk 'NR > 1 && $2 > 200 && $2 < 260 { print "fits" }')" fits "has the base's size"

# Sizes
is "$(docker run --rm --network none --storage-opt size=400M busybox df -Pm / | awk 'NR > 1 && $2 > 340 && $2 <= 400 { print "fits" }')" fits "a size for one container"
like "$(docker create --storage-opt size=100M busybox 2>&1)" "Container size cannot be smaller than 268.4MB" "none below the base's"
like "$(docker create --storage-opt size=x busybox 2>&1)" "invalid size: 'x'" "none that is none"
like "$(docker create --storage-opt foo=x busybox 2>&1)" "Unknown option foo" "no other option"
like "$(docker run --rm --network none busybox sh -c 'dd if=/dev/zero of=/big bs=1M count=300 2>&1')" "No space left on device" "a container's device has an end"

# kill -9
stop_daemon KILL
start; ok "a daemon after one that was killed" || done_testing
is "$(docker inspect -f '{{.State.Status}}' one) $(docker exec one cat /kept)" "running text" "the container runs on"
for round in 1 2 3; do
	(for _j in 1 2 3 4; do docker create --name "c$round$_j" --network none busybox > /dev/null 2>&1; docker rm "c$round$_j" > /dev/null 2>&1; done) &
	sleep "$((round)).$((round * 3))"
	stop_daemon KILL
	wait
	start || break
done
ok "three daemons killed amid creations and removals" || done_testing
is "$(docker exec one cat /kept)" text "the container runs on"
docker ps -aq --filter name=c | xargs -r "$DOCKER" -H "unix://$SOCK" rm -f > /dev/null
known=$(ls "$WORK/root/devicemapper/metadata" | grep -vcE '^(base|deviceset-metadata|transaction-metadata)$')
is "$known" "$(ls "$WORK"/root/image/devicemapper/layerdb/sha256/*/cache-id "$WORK"/root/image/devicemapper/layerdb/mounts/*/{mount-id,init-id} | wc -l)" "as many devices as layers"
is "$(thin)" "$prefix-$mount" "and none is active but the container's"
docker stop -t 0 one > /dev/null
comes "" thin; ok "its device goes when it stops"
docker start one > /dev/null
is "$(docker exec one cat /kept)" text "and comes again"

# Deferred removal and deletion
pid=$(docker inspect -f '{{.State.Pid}}' one)
(cd "$WORK/root/devicemapper/mnt/$mount/rootfs" && exec sleep 100000) &
holder=$!
sleep 1
docker stop -t 0 one > /dev/null
[ ! -e "/proc/$pid" ]; ok "a container stops while its device is in use"
like "$(dmsetup info "$prefix-$mount")" "State: *ACTIVE.*DEFERRED REMOVE" "the device is removed later"
docker start one > /dev/null; is "$(docker exec one cat /kept)" text "unless it is wanted again"
docker rm -f one > /dev/null; ok "its container is removed"
is "$(info 'Deferred Deleted Device Count')" 1 "the device is deleted later"
is "$(jq .deleted "$WORK/root/devicemapper/metadata/$mount")" true "which is written down"
stop_daemon; start; ok "a restart"
is "$(info 'Deferred Deleted Device Count')" 1 "does not change that"
kill $holder; wait $holder 2> /dev/null
comes 0 info 'Deferred Deleted Device Count'; ok "then it goes"
[ ! -e "$WORK/root/devicemapper/metadata/$mount" ]; ok "with its metadata"

# Room
stop_daemon
is "$(thin)$(pools)$(loops)$(mounts)" 00 "a daemon that stops leaves no device, no pool, no loop device, no mount"
start --storage-opt dm.min_free_space=99%; ok "a pool that must be all but empty"
like "$(docker create busybox 2>&1)" "devmapper: Thin Pool has [0-9]+ free (meta)?data blocks which is less than minimum required [0-9]+ free (meta)?data blocks. Create more free " "takes no container"
stop_daemon
refuses "Base device size cannot be smaller than 268.4MB" "a smaller base" --storage-opt dm.basesize=100M
start_daemon -s devicemapper --storage-opt dm.basesize=400M; ok "a larger one" || done_testing
is "$(info 'Base Device Size')" 419.4MB "is told"
docker rmi -f two busybox > /dev/null; docker load -q -i "$WORK/busybox.tar" > /dev/null
is "$(docker run --rm --network none busybox df -Pm / | awk 'NR > 1 && $2 > 340 && $2 <= 400 { print "fits" }')" fits "and what is made now has it"
docker rmi -f busybox > /dev/null
stop_daemon

# A pool that is full
rm -rf "$WORK/root"
limit=/sys/module/dm_thin_pool/parameters/no_space_timeout
before=$(cat $limit 2> /dev/null)
echo 2 > $limit
start_daemon -s devicemapper --storage-opt dm.loopdatasize=128M --storage-opt dm.loopmetadatasize=16M --storage-opt dm.basesize=512M --storage-opt dm.fs=xfs \
	--storage-opt dm.min_free_space=0% --storage-opt dm.xfs_nospace_max_retries=0 --storage-opt dm.mountopt=noatime
ok "a small pool, with XFS" || done_testing
docker load -q -i "$WORK/busybox.tar" > /dev/null
is "$(info 'Backing Filesystem')" xfs "is told"
docker run -d --name full --network none busybox sleep 100000 > /dev/null
like "$(docker exec full cat /proc/mounts | head -1)" "/ xfs rw,noatime,.*nouuid" "mount options"
device=$(basename "$(readlink -f "/sys/dev/block/$(dmsetup info -c --noheadings -o major,minor --separator : "$(data full DeviceName)")")")
is "$(cat "/sys/fs/xfs/$device/error/metadata/ENOSPC/max_retries")" 0 "XFS does not try for ever"
is "$(docker run --rm --network none --storage-opt size=800M busybox df -Pm / | awk 'NR > 1 && $2 > 700 && $2 <= 800 { print "fits" }')" fits "XFS grows, too"
like "$(docker exec full sh -c 'dd if=/dev/zero of=/f bs=1M count=300 conv=fsync 2>&1; echo end')" "No space left on device|Input/output error" "a pool that is full is an error in the container"
docker rm -f full > /dev/null; ok "which can be removed"
is "$(docker run --rm --network none busybox echo room)" room "and makes room"
stop_daemon
[ -z "$before" ] || echo "$before" > $limit

# A pool of somebody's
rm -rf "$WORK/root"
truncate -s 1G "$WORK/data.img"; truncate -s 16M "$WORK/meta.img"
dl=$(losetup -f --show "$WORK/data.img") && ml=$(losetup -f --show "$WORK/meta.img")
start_daemon -s devicemapper --storage-opt dm.datadev="$dl" --storage-opt dm.metadatadev="$ml" --storage-opt dm.basesize=128M --storage-opt dm.fs=ext4 --storage-opt dm.blocksize=128K
ok "a pool of two devices" || done_testing
docker load -q -i "$WORK/busybox.tar" > /dev/null
is "$(docker run --rm --network none busybox echo runs) $(info 'Data file') $(info 'Metadata file') $(info 'Pool Blocksize')" "runs $dl $ml 131.1kB" "runs containers"
stop_daemon
dmsetup create dkdtest --table "0 2097152 thin-pool $ml $dl 256 0 1 skip_block_zeroing"
dmsetup mknodes 2> /dev/null
start_daemon -s devicemapper --storage-opt dm.thinpooldev=/dev/mapper/dkdtest; ok "the same, given as a pool" || done_testing
is "$(docker run --rm --network none busybox echo runs) $(info 'Pool Name')" "runs dkdtest" "runs containers"
stop_daemon
is "$(dm_own --target thin-pool)" dkdtest "stays when the daemon stops"
mv "$WORK/root" "$WORK/root1"
refuses "Unable to take ownership of thin-pool \(dkdtest\) that already has used data blocks" "another root on it" --storage-opt dm.thinpooldev=dkdtest
rm -rf "$WORK/root"; mv "$WORK/root1" "$WORK/root"
dmsetup remove dkdtest; losetup -d "$dl" "$ml"
refuses "and the pool they are in is gone" "layers without their pool" --storage-opt dm.basesize=128M

# A bare device, of which LVM makes a pool
if ! command -v pvcreate > /dev/null || ! command -v thin_check > /dev/null; then skip "direct-lvm" "lvm2 or thin-provisioning-tools are not installed"; done_testing; fi
if vgs docker > /dev/null 2>&1; then skip "direct-lvm" "there is a volume group of that name"; done_testing; fi
rm -rf "$WORK/root"
truncate -s 2G "$WORK/pv.img"
pv=$(losetup -f --show "$WORK/pv.img") && mkfs.ext4 -q "$pv"
direct() { start_daemon -s devicemapper --storage-opt dm.directlvm_device="$pv" --storage-opt dm.basesize=128M --storage-opt dm.fs=ext4 "$@"; }
refuses "$pv has a filesystem already, use dm.directlvm_device_force=true if you want to wipe the device" "a device that is in use" --storage-opt dm.directlvm_device="$pv"
is "$(blkid -s TYPE -o value "$pv")" ext4 "it stays as it was"
GROUP=docker
direct --storage-opt dm.directlvm_device_force=true --storage-opt dm.thinp_percent=90 --storage-opt dm.thinp_metapercent=2
ok "with force it becomes a pool" || done_testing
docker load -q -i "$WORK/busybox.tar" > /dev/null
is "$(docker run --rm --network none busybox echo runs) $(info 'Pool Name') $(info 'Pool Blocksize')" "runs docker-thinpool 524.3kB" "which runs containers"
is "$(lvs --noheadings -o lv_name,lv_profile,seg_type docker | tr -s ' ')" " thinpool docker-thinpool thin-pool" "it grows by a profile"
is "$(cat "$WORK/root/devicemapper/setup-config.json")" \
	"{\"Device\":\"$pv\",\"ThinpPercent\":90,\"ThinpMetaPercent\":2,\"AutoExtendPercent\":0,\"AutoExtendThreshold\":0}" "what was made is written down"
stop_daemon
is "$(thin)" "" "a daemon that stops leaves no device"
is "$(pools)" docker-thinpool "but the pool"
refuses "changing direct-lvm config is not supported" "other numbers" --storage-opt dm.directlvm_device="$pv"
direct --storage-opt dm.directlvm_device_force=true --storage-opt dm.thinp_percent=90 --storage-opt dm.thinp_metapercent=2
ok "the next daemon takes it as it is" || done_testing
is "$(docker run --rm --network none busybox echo runs)" runs "and runs what was there"
stop_daemon
rm -rf "$WORK/root"
refuses "$pv is already part of a volume group \"docker\": must remove this device from any volume group or provide a different device" "a group that is another root's" \
	--storage-opt dm.directlvm_device="$pv" --storage-opt dm.directlvm_device_force=true
vgremove -q -f docker > /dev/null 2>&1
pvremove -q "$pv" > /dev/null 2>&1
GROUP=
losetup -d "$pv"
done_testing
