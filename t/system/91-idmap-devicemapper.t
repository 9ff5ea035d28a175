#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Containers with ranges of ids of their own, and a daemon that is remapped, on devicemapper: the second mount is one of the device, which goes
# only when both are gone. Needs a kernel with a device-mapper.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
(: < /dev/mapper/control) 2>/dev/null
grep -q ' device-mapper$' /proc/misc || skip_all "this kernel has no device-mapper"
need curl busybox runc tar dmsetup losetup mkfs.ext4
need_apart
[ -e /proc/self/ns/user ] && [ "$(cat /proc/sys/user/max_user_namespaces)" -gt 0 ] || skip_all "no user namespaces"
find_docker
scratch
[ -e "$PLUGDIR/graph/devicemapper.so" ] || skip_all "built without devicemapper"
with_runtime
. "${top_srcdir:?}/t/system/idmaplib.sh" || exit 1
. "${top_srcdir:?}/t/system/dmlib.sh" || exit 1
devices() { dm_own --target "$1" | wc -l; }
tear_down() {
	cleanup
	dm_remove_own
	rm -rf "$WORK"
}
trap tear_down EXIT
OPTIONS="-s devicemapper --storage-opt dm.loopdatasize=2G --storage-opt dm.loopmetadatasize=64M --storage-opt dm.basesize=256M --storage-opt dm.fs=ext4"
# shellcheck disable=SC2086
start_daemon $OPTIONS; ok "on devicemapper" || done_testing
is "$(devices thin-pool)" 1 "with a pool"
lives devicemapper devicemapper 7:8 1
comes 0 devices thin; ok "no device is left active"
stop_daemon
is "$(devices thin-pool)" 0 "nor the pool"
rm -rf "$WORK/root"/*
remapped_user
# shellcheck disable=SC2086
start_daemon $OPTIONS --userns-remap remap; ok "starts remapped" || done_testing
is "$(devices thin-pool)" 1 "with a pool"
load_busybox >/dev/null
docker run -d --name rr --network none busybox sleep 1000 >/dev/null; ok "a container of the daemon's ids"
is "$(map rr uid)" "0 100000 65536" "has them"
is "$(x rr sh -c 'echo 1 > /own; chown 7:8 /own; stat -c %u:%g / /own /bin/busybox /etc/hosts | sort -u' | tr '\n' ' ')" "0:0 7:8 " "and the owners inside are right"
is "$(top 100000.100000/devicemapper "$(docker inspect -f '{{.Id}}' rr)")" 100007:100008 "those on disk are shifted"
is "$(docker export rr | tar tvf - --numeric-owner own bin/busybox | awk '{ print $2 }' | sort | tr '\n' ' ')" "0/0 7/8 " "docker export has those inside"
auto -d --name aa busybox sleep 1000 >/dev/null; ok "one with a range of its own beside it"
is "$(map aa uid) $(x aa sh -c 'echo 1 > /own; chown 7:8 /own; stat -c %u:%g /own /bin/busybox' | tr '\n' ' ')" "0 1000000 65536 7:8 0:0 " "has that, and the owners are right"
is "$(top 100000.100000/devicemapper "$(docker inspect -f '{{.Id}}' aa)")" 100007:100008 "on disk they are those of the data-root"
docker commit aa im >/dev/null
is "$(docker run --rm --network none im stat -c %u:%g /own)" 7:8 "and for a container of the daemon's ids, too"
docker rm -f aa rr >/dev/null
comes 0 devices thin; ok "no device stays active"
stop_daemon
is "$(devices thin-pool)" 0 "nor the pool"
done_testing
