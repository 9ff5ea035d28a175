#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The conformance suite of graph drivers (dockerd --check-driver) on every one that is here, each on a file system that it wants.
# LONG=1: with more rounds, and on several file systems.
. "$(dirname "$0")/lib.sh" || exit 1
. "${top_srcdir:?}/t/system/disklib.sh" || exit 1
mkdir "$WORK/disk"
so() { echo "$top_builddir/plugins/graph/.libs/$1.so"; }
# What a driver cannot help: a pattern of checks that may fail, and why.
KNOWN=
# In what the suite runs.
IN=
# The least number of its checks.
MIN=100
# The suite's checks are summed up in one of this test's: what failed is shown.
passes() { # name of the check, driver, options
	local name=$1 out=$WORK/tap status
	$IN "$top_builddir/dockerd-check-driver" ${LONG:+--long} "${@:3}" "$(so "$2")" > "$out" 2>&1
	status=$?
	if [ $status = 77 ]; then
		skip "$name" "$(sed -n 's/^1\.\.0 # SKIP //p' "$out")"
		return
	fi
	[ -z "$KNOWN" ] || [ $status != 1 ] || grep '^not ok' "$out" | grep -qvE "$KNOWN" || status=0
	[ $status = 0 ] && [ "$(grep -c '^ok' "$out")" -gt $MIN ] && grep -qx "1\.\.$(grep -cE '^(not )?ok' "$out")" "$out"
	ok "$name" || grep -vE '^ok|^# (open|layers|mounts|facts|files|names|sparse)$' "$out" | head -40 | sed 's/^/# /'
}
mount -t tmpfs -o size=1g tmpfs "$WORK/disk"
ok "a tmpfs" || done_testing
passes "vfs on tmpfs" vfs --root "$WORK/disk"
passes "overlay2 on tmpfs" overlay2 --root "$WORK/disk"
passes "overlay on tmpfs" overlay --root "$WORK/disk"
# fuse-overlayfs 1.10 copies a FIFO up as an empty file.
FIFO='a FIFO is moved$'
KNOWN=$FIFO passes "fuse-overlayfs on tmpfs" fuse-overlayfs --root "$WORK/disk"
if unshare -Urm true 2> /dev/null; then
	IN="unshare -Urm" passes "overlay2 in a user namespace" overlay2 --root "$WORK/disk"
	IN="unshare -Urm" passes "overlay in a user namespace" overlay --root "$WORK/disk"
	# a process for each mount: all of it takes long where others work, too
	IN="unshare -Urm" MIN=10 passes "fuse-overlayfs in a user namespace: changes" fuse-overlayfs --root "$WORK/disk" --case changes
	[ -z "${LONG:-}" ] || for driver in vfs fuse-overlayfs; do
		KNOWN=$FIFO IN="unshare -Urm" passes "$driver in a user namespace" $driver --root "$WORK/disk"
	done
else
	skip "drivers in a user namespace" "the kernel makes none"
fi
left=$(find "$WORK/disk" -mindepth 1 | head -3)
is "$left" "" "nothing stays behind"
out=$("$DOCKERD" --config-file /dev/null --check-driver "$(so vfs)" --data-root "$WORK/disk" --storage-opt vfs.nosuch=1 2>&1)
is $? 1 "dockerd --check-driver hands options on, and tells by its status what came of it"
like "$out" "^not ok 1 - open" "in TAP"
out=$("$DOCKERD" --config-file /dev/null --check-driver "$WORK/nothing.so" 2>&1)
is $? 2 "a file that is not there: another status"
like "$out" "nothing\.so: No such file" "in words"
cp "$(so vfs)" "$WORK/vfs.so"; chmod 666 "$WORK/vfs.so"
out=$("$top_builddir/dockerd-check-driver" --root "$WORK/disk" "$WORK/vfs.so" 2>&1)
is $? 2 "a file that the daemon would refuse"
like "$out" "writable by others" "is refused here for the same reason"
for fixture in good object; do
	"$top_builddir/dockerd-check-driver" --root "$WORK/disk" --case layers "$top_builddir/t/abi/.libs/$fixture.so" > "$WORK/tap" 2>&1
	is $? 1 "a driver that does nothing ($fixture) does not pass"
done
umount "$WORK/disk"
on() { # drivers, size, file system, options, mkfs...
	if disk_on "${@:2}"; then
		for driver in $1; do passes "$driver on $3, $4" "$driver" --root "$WORK/disk"; done
	else
		skip "$1 on $3, $4" "not to be had here"
	fi
}
on btrfs 300M btrfs defaults mkfs.btrfs -q
(: < /dev/mapper/control) 2> /dev/null
if grep -q ' device-mapper$' /proc/misc && [ -e "$(so devicemapper)" ] && disk_on 3G ext4 defaults mkfs.ext4 -q -F; then
	for fs in ext4 ${LONG:+xfs}; do
		case $fs in
		ext4) base=128 more=192 ;;
		xfs) base=320 more=480 ;; # mkfs.xfs makes none below 300M
		esac
		passes "devicemapper with $fs" devicemapper --root "$WORK/disk" --option dm.fs=$fs --option dm.basesize=${base}M --size $((more << 20)) \
			--option dm.loopdatasize=2G --option dm.loopmetadatasize=64M
	done
	disk_off
else
	skip "devicemapper" "no device-mapper here"
fi
if [ -n "${LONG:-}" ]; then
	on "vfs overlay2 overlay" 600M ext4 defaults mkfs.ext4 -q -F
	on "vfs overlay2 overlay" 600M xfs defaults mkfs.xfs -q -f
	on "vfs overlay2 overlay" 600M xfs pquota mkfs.xfs -q -f
	on "vfs overlay2 overlay" 600M btrfs defaults mkfs.btrfs -q
fi
done_testing
