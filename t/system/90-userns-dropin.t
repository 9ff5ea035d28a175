#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A data-root that Debian's dockerd made with --userns-remap opens here, and there again: whose every path is, what starts, what volumes keep.
. "$(dirname "$0")/lib.sh" || exit 1
. "${top_srcdir:?}/t/system/theirlib.sh" || exit 1
need_theirs
need useradd
[ -e /proc/self/ns/user ] && [ "$(cat /proc/sys/user/max_user_namespaces)" -gt 0 ] || skip_all "no user namespaces"
scratch
cp -a /etc "$WORK/etc" && mount --bind "$WORK/etc" /etc || skip_all "cannot mount over /etc"
useradd --system --no-create-home remap 2>/dev/null; sed -i '/^remap:/d' /etc/subuid /etc/subgid
echo remap:100000:65536 >> /etc/subuid; echo remap:200000:65536 >> /etc/subgid
R=$WORK/root/100000.200000
with() { "$@" --userns-remap remap; }
open_theirs() { with start_theirs -s overlay2 --bridge none; }
# Kind, mode and owner of all paths, each once, names of ids made alike. What is the kernel's own (work folders, whiteouts), or has no counterpart, is left out.
paths() {
	find "$R" \( -path '*/buildkit' -o -path '*/containerd' -o -path '*/plugins' -o -path '*/work/*' -o -path '*/distribution/*' -o -path '*/network' -o -path '*/checkpoints' \
		-o -path '*/containers/*/mounts' \) -prune -o -printf '%y %m %U:%G %P\n' | sed -E 's/[0-9a-f]{64}/ID/g; s,/l/[A-Z0-9]{26},/l/LINK,' | grep -v '^c 0 ' | sort -u
}
# What of these of the second has kinds, modes or owners that the same path of the first has not.
differ() { # theirs ours
	awk 'NR == FNR { has[$4] = has[$4] $1 " " $2 " " $3 "; "; next } $4 in has && !index(has[$4], $1 " " $2 " " $3 "; ") { print "theirs", has[$4], "ours", $0 }' "$1" "$2"
}
fill() { # docker|theirs: something of everything
	"$1" load -q -i "$WORK/busybox.tar" >/dev/null
	"$1" run --name ran --hostname h --network none -v vol:/v -v etc:/etc busybox sh -c \
		'echo own > /own; chown 7:8 /own; chmod 4755 /own; ln /own /twice; mkfifo /pipe; rm /bin/true; mkdir -m 700 /dir; echo kept > /v/f; chown 9:10 /v/f; exit 3' >/dev/null
	"$1" commit ran one >/dev/null
	"$1" create --name made --network none one stat -c '%u:%g:%a:%h' /own /etc/passwd /dir >/dev/null
}
"$top_srcdir/t/tools/mkimage" busybox:latest > "$WORK/busybox.tar"
open_theirs; ok "Debian's dockerd starts with a map" || no_theirs
fill theirs
diff=$(theirs diff ran | sort) images=$(theirs images --no-trunc -q | sort)
stop_theirs
paths > "$WORK/theirs.paths"; cp "$WORK/theirs.paths" "$WORK/before"
[ "$(awk '$3 == "100000:200000"' "$WORK/before" | wc -l)" -gt 8 ]; ok "with files of its own root"

with start_daemon; ok "ours opens it" || done_testing
is "$(docker images --no-trunc -q | sort)" "$images" "the same images"
is "$(docker diff ran | sort)" "$diff" "the same differences"
is "$(docker start -a made | tr '\n' ' ')" "7:8:4755:2 0:0:644:1 0:0:700:2 " "a container starts, and sees owners, modes, links"
docker start -a ran >/dev/null 2>&1; is $? 3 "one that ran"
is "$(docker run --rm --network none -v vol:/v -v etc:/e one stat -c %u:%g /v/f /e/passwd | tr '\n' ' ')" "9:10 0:0 " "volumes keep their owners"
docker run --name ours --network none -v vol:/v -v mine:/etc one sh -c 'echo x > /x; chown 5:6 /x; echo more > /v/more; chown 11:12 /v/more' >/dev/null; ok "a container of ours"
docker commit ours ours >/dev/null; ok "and an image"
docker create --name waits --network none -v mine:/m ours stat -c %u:%g /x /m/passwd /own >/dev/null
docker rm made >/dev/null
stop_daemon
paths > "$WORK/after"
is "$(differ "$WORK/before" "$WORK/after" | grep -vE ' image/overlay2/layerdb/mounts/ID$|/mtab$')" "" "no path has another owner, mode or kind than before"
is "$(awk '$3 != "0:0" && $3 != "0:200000" && $4 !~ "/diff/|/_data/?|/diff$|/work$|containers/ID/(hosts|hostname|resolv.conf)$"' "$WORK/after")" "" "nothing but containers' files is their root's"

open_theirs; ok "Debian's dockerd opens it again" || no_theirs
is "$(theirs start -a waits | tr '\n' ' ')" "5:6 0:0 7:8 " "our container starts there"
is "$(theirs run --rm --network none -v vol:/v ours stat -c %u:%g:%a /x /own /v/more | tr '\n' ' ')" "5:6:644 7:8:4755 11:12:644 " "our image, and what we wrote into its volume"
theirs diff ours | sort > "$WORK/diff"; is "$(cat "$WORK/diff")" "A /x" "the differences of our container"
theirs rm -f ours waits ran >/dev/null; theirs rmi ours one >/dev/null; ok "all goes there"
stop_theirs

rm -rf "$WORK/root"/*
with start_daemon -s overlay2; ok "a data-root of our own" || done_testing
fill docker
stop_daemon
paths > "$WORK/ours.paths"
is "$(differ "$WORK/theirs.paths" "$WORK/ours.paths" | grep -vE ' image/overlay2/layerdb/|/mtab$')" "" "has the owners and modes of the other engine's"
is "$(awk '{ print $4 }' "$WORK/theirs.paths" | sort -u > "$WORK/a"; awk '{ print $4 }' "$WORK/ours.paths" | sort -u > "$WORK/b"; comm -23 "$WORK/a" "$WORK/b" | grep -vE '^(runtimes|swarm|trust|volumes/backingFsBlockDev|volumes/metadata.db)$|resolv.conf.hash$')" "" "and all of its paths"
open_theirs; ok "opens there" || no_theirs
is "$(theirs start -a made | tr '\n' ' ')" "7:8:4755:2 0:0:644:1 0:0:700:2 " "with its containers"
is "$(theirs run --rm --network none -v vol:/v one stat -c %u:%g /v/f)" 9:10 "and volumes"
stop_theirs
done_testing
