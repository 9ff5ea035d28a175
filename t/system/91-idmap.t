#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Containers with ranges of ids of their own (--annotation engine.userns=auto), and mounts with other ids than their files' (idmap).
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc python3 tar
need_apart
[ -e /proc/self/ns/user ] && [ "$(cat /proc/sys/user/max_user_namespaces)" -gt 0 ] || skip_all "no user namespaces"
find_docker
scratch
with_runtime
. "${top_srcdir:?}/t/system/idmaplib.sh" || exit 1
start_daemon -s overlay2; ok "starts" || done_testing
load_busybox >/dev/null
out=$(auto --rm busybox true)
case $out in *"idmapped mounts"*) skip_all "no idmapped mounts of overlay on this kernel or file system" ;; esac
is "$out" "" "a container with a range of its own"
auto -d --name aa -v data:/etc -w /w/x busybox sleep 1000 >"$WORK/out"; ok "one that stays: $(head -1 "$WORK/out")"
is "$(map aa uid)" "0 1000000 65536" "its users"
is "$(map aa gid)" "0 3000000 65536" "its groups, where so many are in a row"
auto -d --name bb busybox sleep 1000 >/dev/null; ok "another"
is "$(map bb uid)" "0 1065536 65536" "has others"
like "$(auto --name third busybox true)" 'no 65536 subordinate ids in a row are left of those of the user "containers"' "a third has none left"
docker run -d --name cc --network none --annotation engine.userns=auto:size=5000 busybox sleep 1000 >/dev/null; ok "but a small one has"
is "$(map cc uid)" "0 1131072 5000" "right behind"
pid=$(docker inspect -f '{{.State.Pid}}' aa)
is "$(stat -c %u "/proc/$pid")" 1000000 "a's process is another user's"
is "$(x aa stat -c '%u:%g' / /bin/busybox /etc /etc/passwd /etc/hosts /w /w/x /dev | sort -u)" 0:0 "root's files are root's, also in a volume"
x aa sh -c 'echo one > /f; chown 7:8 /f; echo two > /etc/v; chown 9:9 /etc/v; mkdir /d; rm /bin/true; mkdir /tmp/o; rmdir /tmp/o' ; ok "writes, owns, removes"
is "$(x aa sh -c 'stat -c %u:%g /f /etc/v; test -e /bin/true || echo gone')" "7:8
9:9
gone" "and sees it"
is "$(stat -c %u:%g "$(docker volume inspect -f '{{.Mountpoint}}' data)/v")" 9:9 "a volume has the ids inside on disk"
is "$(docker run --rm --network none -v data:/v busybox stat -c %u:%g /v/v /v/passwd)" "9:9
0:0" "so that every container sees them"
is "$(auto --rm --annotation engine.userns=auto:size=100 -v data:/v busybox stat -c %u:%g /v/v)" 9:9 "also one with other ids"
upper=$(docker inspect -f '{{.GraphDriver.Data.UpperDir}}' aa)
is "$(stat -c %u:%g "$upper/f" "$upper/d")" "7:8
0:0" "a layer has the ids inside on disk"
is "$(docker diff aa | grep -cE '^A /f$|^D /bin/true$')" 2 "docker diff"
is "$(docker export aa | tar tvf - --numeric-owner f bin/busybox | awk '{ print $2 }' | sort)" "0/0
7/8" "docker export"
docker commit aa im >/dev/null; ok "docker commit"
is "$(docker run --rm --network none im stat -c %u:%g /f)" 7:8 "with the owners"
for state in running stopped; do
	docker cp -a "$WORK/up" "aa:/up-$state" >/dev/null 2>&1; ok "$state: docker cp in"
	docker cp -a "$WORK/up" "aa:/etc/up-$state" >/dev/null 2>&1; ok "$state: into a volume"
	is "$(for f in "/up-$state" "/etc/up-$state" /f; do docker cp "aa:$f" - | tar tvf - --numeric-owner; done | awk '{ print $2 }')" "5/6
5/6
7/8" "$state: and out"
	[ $state = stopped ] || docker stop -t 0 aa >/dev/null
done
docker start aa >/dev/null; ok "starts again"
is "$(map aa uid)" "0 1000000 65536" "with the same ids"
is "$(x aa stat -c %u:%g /f /up-running /up-stopped /etc/up-stopped)" "7:8
5:6
5:6
5:6" "and the same owners"
docker start cc >/dev/null
is "$(docker run --rm --annotation engine.userns=auto:size=50 --network container:aa busybox true 2>&1 | grep -c 'it has another user namespace')" 1 "nobody with other ids shares its network"
is "$(setpriv --reuid 1065536 --regid 3065536 --clear-groups ls "$WORK/root" "$WORK/exec" 2>&1 | grep -c denied)" 2 "another container's root gets nowhere"
is "$(find "$WORK/exec/roots" -mindepth 3 | wc -l) $(grep -c exec/roots /proc/self/mountinfo)" "0 0" "nothing is left where roots were shown"
is "$(find "$WORK/exec" -mindepth 1 -maxdepth 1 -type d -perm /0007 ! -name netns ! -name roots)" "" "nor does anybody pass below the exec-root"
is "$(awk '$5 ~ /mapped$/' /proc/self/mountinfo)" "" "nor is a mount of the driver's folder"

# the daemon dies
stop_daemon KILL
start_daemon -s overlay2; ok "starts after a crash" || done_testing
is "$(map aa uid)" "0 1000000 65536" "a runs on with its ids"
is "$(x aa stat -c %u /f)" 7 "and its files"
docker rm -f bb >/dev/null
auto -d --name ee busybox sleep 1000 >/dev/null; ok "the ids of one that was removed"
is "$(map ee uid)" "0 1065536 65536" "are given again"
docker rm -f ee >/dev/null

# what is refused
no() { # pattern args
	_pat=$1
	shift
	like "$(docker run --rm --network none "$@" 2>&1)" "$_pat" "refused: $*"
}
no 'invalid annotation engine.userns=maybe' --annotation engine.userns=maybe busybox true
no 'invalid annotation engine.userns=auto:size=0' --annotation engine.userns=auto:size=0 busybox true
no 'conflicting options' --annotation engine.userns=auto --userns host busybox true
no 'privileged mode is incompatible with user namespaces' --annotation engine.userns=auto --privileged busybox true
like "$(docker run --rm --annotation engine.userns=auto --network host busybox true 2>&1)" "cannot share the host's network namespace" "refused: the host's network"
id=$(api POST /v1.41/containers/create -H 'Content-Type: application/json' -d '{"Image":"busybox","Cmd":["cat","/proc/self/uid_map"],"NetworkDisabled":true,"HostConfig":{"UsernsMode":"auto:size=300"}}' | python3 -c 'import json,sys; print(json.load(sys.stdin)["Id"])')
is "$(docker start -a "$id" | tr -s ' ')" " 0 1065536 300" "UsernsMode auto by the API"
docker rm "$id" >/dev/null

# binds with other ids
mkdir "$WORK/host"; echo h > "$WORK/host/f"; chown -R 500:600 "$WORK/host"; echo r > "$WORK/host/r"
is "$(docker run --rm --network none -v "$WORK/host:/h:idmap=uids=500-0-1;gids=600-0-1" busybox sh -c 'stat -c %u:%g /h/f /h/r; touch /h/new; echo x >> /h/f')" "0:0
65534:65534" "a bind as another user"
is "$(stat -c %u:%g "$WORK/host/new")" 500:600 "what is written there is his"
no 'Read-only file system' -v "$WORK/host:/h:ro,idmap=uids=500-0-1;gids=600-0-1" busybox touch /h/x
is "$(docker run --rm --network none -v "$WORK/host/f:/f:idmap=uids=500-77-1" busybox stat -c %u:%g /f)" 77:600 "a file, of which only the user is mapped"
is "$(auto --rm -v "$WORK/host:/h:idmap" --annotation engine.userns=auto:size=1000 busybox stat -c %u:%g /h/f /h/r)" "500:600
0:0" "the container's own ids: as on the host"
is "$(auto --rm -v "$WORK/host:/h" --annotation engine.userns=auto:size=1000 busybox stat -c %u:%g /h/f)" 65534:65534 "without the word they are nobody's"
is "$(auto --rm -v "$WORK/host:/h:idmap=uids=@500-3-1;gids=@600-4-1" --annotation engine.userns=auto:size=1000 busybox stat -c %u:%g /h/f)" 3:4 "and with numbers inside"
docker create --name mm --network none -v "$WORK/host:/h:idmap=uids=500-0-1;gids=600-0-1" busybox >/dev/null
is "$(docker cp mm:/h/f - | tar tvf - --numeric-owner | awk '{ print $2 }')" 0/0 "docker cp sees the same"
is "$(docker inspect -f '{{(index .HostConfig.Binds 0)}}' mm)" "$WORK/host:/h:idmap=uids=500-0-1;gids=600-0-1" "and so does inspect"
no 'invalid idmap: uids=1-2' -v "$WORK/host:/h:idmap=uids=1-2" busybox true
no 'invalid idmap: nonsense' -v "$WORK/host:/h:idmap=nonsense" busybox true
no 'overlap' -v "$WORK/host:/h:idmap=uids=0-0-10#5-50-10" busybox true
no 'idmap without ids takes a container with a user namespace' -v "$WORK/host:/h:idmap" busybox true
no 'cannot map the ids of /proc' -v "/proc:/h:idmap=uids=0-5-1" busybox true
is "$(awk '$5 ~ /exec\/containers/' /proc/self/mountinfo)" "" "no mount is left over"
docker rm -f aa cc mm >/dev/null; ok "all go"
is "$(ls "$WORK/exec/roots")" "" "with the folders where their roots were shown"
stop_daemon

# both: a daemon that is remapped, and containers with ranges of their own in its data-root
remapped_user
start_daemon -s overlay2 --userns-remap remap; ok "starts remapped" || done_testing
load_busybox >/dev/null
auto -d --name aa -v data:/etc busybox sleep 1000 >/dev/null; ok "a container with a range of its own"
is "$(map aa uid)" "0 1000000 65536" "has that"
is "$(x aa sh -c 'echo 1 > /f; chown 7:8 /f; stat -c %u:%g /f /bin/busybox /etc/passwd')" "7:8
0:0
0:0" "and the owners are right"
is "$(stat -c %u:%g "$(docker inspect -f '{{.GraphDriver.Data.UpperDir}}' aa)/f")" 100007:100008 "on disk they are those of the data-root"
docker commit aa im2 >/dev/null
is "$(docker run --rm --network none -v data:/v im2 stat -c %u:%g /f /v/passwd)" "7:8
0:0" "and for a container of the daemon's ids, too"
docker rm -f aa >/dev/null
stop_daemon

# drivers that cannot mount layers so: a second mount of the layer's directory has the map, or else the files get the owners
rm -rf "$WORK/root"/*
start_daemon -s vfs; lives vfs vfs 7:8 1; stop_daemon; rm -rf "$WORK/root"/*
start_daemon -s overlay; lives overlay overlay 7:8 0 short; stop_daemon; rm -rf "$WORK/root"/*
# an overlay as the data-root's file system, which knows no such mounts
mkdir "$WORK/disk" && mount -t tmpfs tmpfs "$WORK/disk" && mkdir "$WORK/disk/low" "$WORK/disk/up" "$WORK/disk/work"
if mount -t overlay overlay -o "lowerdir=$WORK/disk/low,upperdir=$WORK/disk/up,workdir=$WORK/disk/work" "$WORK/root"; then
	start_daemon -s vfs; ok "on a file system without idmapped mounts" || done_testing
	lives "vfs by owners" vfs 1000007:3000008 0
	load_busybox >/dev/null
	auto -d --name aa busybox sleep 1000 >/dev/null
	is "$(owners vfs)" "0-1000000-65536/0-3000000-65536" "whose the files are is written down"
	like "$(auto --rm -v data:/d busybox true)" "cannot map the ids of|no idmapped mounts" "a volume there is refused in words"
	docker stop -t 0 aa >/dev/null; stop_daemon
	# as a crash in the middle leaves it
	printf %s - > "$(echo "$WORK"/root/image/vfs/layerdb/mounts/*/owners)"
	start_daemon
	like "$(docker start aa 2>&1)" "the owners of its files were being changed when the daemon ended" "half of it is never used"
	docker rm -f aa >/dev/null; ok "but goes"
	# the range is another's by now
	auto -d --name aa busybox sleep 1000 >/dev/null
	docker stop -t 0 aa >/dev/null; stop_daemon
	sed -i 's/0-1000000-65536/0-1070000-65536/' "$(echo "$WORK"/root/image/vfs/layerdb/mounts/*/owners)"
	start_daemon
	like "$(docker start aa 2>&1)" "have the ids of another range" "nor are files with other ids than the container's"
	docker rm -f aa >/dev/null
	is "$(ls "$WORK"/root/vfs/dir | wc -l)" 1 "no layer but the image's is left"
	stop_daemon; umount "$WORK/root"
else
	skip "owners" "no overlay on this kernel"
fi
if command -v fuse-overlayfs > /dev/null && [ -r /dev/fuse ]; then
	rm -rf "$WORK/root"/*
	start_daemon -s fuse-overlayfs; lives fuse-overlayfs fuse-overlayfs 1000007:3000008 0 short; stop_daemon
else
	skip "fuse-overlayfs" "the program is not installed, or there is no /dev/fuse"
fi
done_testing
