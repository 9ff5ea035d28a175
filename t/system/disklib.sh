# SPDX-License-Identifier: LGPL-2.1-or-later
# File systems in files, for tests of graph drivers. Sourced behind lib.sh; one at a time, mounted on $WORK/disk.
need_root
need losetup
scratch
DISK_LOOP=
disk_off() {
	umount "$WORK/disk" 2> /dev/null || umount -l "$WORK/disk" 2> /dev/null
	[ -z "$DISK_LOOP" ] || losetup -d "$DISK_LOOP" 2> /dev/null
	DISK_LOOP=
	rm -f "$WORK/image"
}
# SIZE TYPE MOUNT-OPTIONS MKFS...: false where it cannot be had here.
disk_on() {
	disk_off
	mkdir -p "$WORK/disk"
	command -v "$4" > /dev/null || return 1
	truncate -s "$1" "$WORK/image"
	"${@:4}" "$WORK/image" > /dev/null 2>&1 || return 1
	DISK_LOOP=$(losetup -f --show "$WORK/image" 2> /dev/null) || { DISK_LOOP=; return 1; }
	mount -t "$2" -o "$3" "$DISK_LOOP" "$WORK/disk" 2> /dev/null
}
# the mounts are cleanup's
disk_done() { cleanup; [ -z "$DISK_LOOP" ] || losetup -d "$DISK_LOOP" 2> /dev/null; }
trap disk_done EXIT
