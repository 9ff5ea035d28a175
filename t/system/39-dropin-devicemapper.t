#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A data-root on devicemapper of Debian's dockerd opens here, and there again with what was added. Needs a kernel with a device-mapper.
# BENCH=N: N containers made, mounted and removed by each engine, beside that.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/theirlib.sh" || exit 1
. "${top_srcdir:?}/t/system/dmlib.sh" || exit 1
(: < /dev/mapper/control) 2> /dev/null
grep -q ' device-mapper$' /proc/misc || skip_all "this kernel has no device-mapper"
need dmsetup losetup mkfs.ext4
need_theirs
scratch
[ -e "$PLUGDIR/graph/devicemapper.so" ] || skip_all "built without devicemapper"
tear_down() {
	[ -z "${TPID:-}" ] || kill -9 "$TPID"
	cleanup
	dm_remove_own
	rm -rf "$WORK"
}
trap tear_down EXIT
OPTS="-s devicemapper --storage-opt dm.loopdatasize=3G --storage-opt dm.loopmetadatasize=64M --storage-opt dm.basesize=256M --storage-opt dm.fs=ext4
	--storage-opt dm.override_udev_sync_check=true"
# Milliseconds for one of: N containers made, their files looked at (each a mount and its end), removed. bench SOCKET WHO
bench() {
	local ids=() t0 t1 t2 t3 i
	ask() { curl -s --unix-socket "$@"; }
	ms() { echo $((($2 - $1) / 1000000 / BENCH)); }
	t0=$(date +%s%N)
	for ((i = 0; i < BENCH; i++)); do
		ids+=("$(ask "$1" -X POST -H 'Content-Type: application/json' -d '{"Image":"busybox","Cmd":["true"],"HostConfig":{"NetworkMode":"none"}}' \
			http://d/containers/create | jq -r .Id)")
	done
	t1=$(date +%s%N)
	for i in "${ids[@]}"; do ask "$1" -o /dev/null -I "http://d/containers/$i/archive?path=/etc"; done
	t2=$(date +%s%N)
	for i in "${ids[@]}"; do ask "$1" -o /dev/null -X DELETE "http://d/containers/$i"; done
	t3=$(date +%s%N)
	echo "# $2: create $(ms $t0 $t1) ms, mount and unmount $(ms $t1 $t2) ms, remove $(ms $t2 $t3) ms (each of $BENCH)"
}

"$top_srcdir/t/tools/mkimage" busybox:latest > "$WORK/busybox.tar"
start_theirs $OPTS --bridge=none; ok "Debian's dockerd starts" || no_theirs
theirs load -q -i "$WORK/busybox.tar" > /dev/null
theirs run --name ran --network none busybox sh -c 'echo own > /own; rm -f /etc/group; exit 3' > /dev/null
theirs create --name made --network none busybox cat /etc/hostname > /dev/null
theirs commit ran committed > /dev/null
images=$(theirs images --no-trunc -q | sort)
diff=$(theirs diff ran | sort)
data=$(theirs inspect -f '{{json .GraphDriver}}' ran | jq -S .)
lines=$(theirs info -f '{{range .DriverStatus}}{{index . 0}};{{end}}')
[ -z "${BENCH:-}" ] || bench "$WORK/theirs.sock" "Debian's dockerd"
stop_theirs
is "$(dm_own --target thin)" "" "it leaves no device"
start_daemon $OPTS; ok "ours opens its root" || done_testing
is "$(docker images --no-trunc -q | sort)" "$images" "the same images"
is "$(docker diff ran | sort)" "$diff" "the same changes of a container"
is "$(docker inspect -f '{{json .GraphDriver}}' ran | jq -S .)" "$data" "the same device"
is "$(docker info -f '{{range .DriverStatus}}{{index . 0}};{{end}}')" "$lines" "the same lines of docker info"
docker start -a made > /dev/null; is $? 0 "its containers start"
is "$(docker run --rm --network none committed cat /own)" own "its images run"
docker run --name ours --network none committed sh -c 'echo more > /more; rm /own' > /dev/null; ok "and get more containers"
docker commit ours ours > /dev/null; ok "and images"
docker rm made > /dev/null; ok "one of its containers is removed"
[ -z "${BENCH:-}" ] || bench "$SOCK" "ours"
stop_daemon
start_theirs $OPTS --bridge=none; ok "Debian's dockerd opens the root again" || no_theirs
is "$(theirs ps -a --format '{{.Names}}' | sort | tr '\n' ' ')" "ours ran " "with our container, and without the one removed"
is "$(theirs run --rm --network none ours sh -c 'cat /more; ls /own 2>&1')" "$(printf 'more\nls: /own: No such file or directory')" "and our image"
theirs rm ours ran > /dev/null; ok "both are removed there"
theirs rmi -f ours committed > /dev/null; ok "and the images"
theirs run --rm --network none busybox true; ok "it goes on"
stop_theirs
start_daemon $OPTS; ok "ours, once more" || done_testing
is "$(docker run --rm --network none busybox echo on)" on "goes on"
docker rmi -f busybox > /dev/null
is "$(ls "$WORK/root/devicemapper/metadata" | tr '\n' ' ')" "base deviceset-metadata transaction-metadata " "nothing is left when all is removed"
stop_daemon
done_testing
