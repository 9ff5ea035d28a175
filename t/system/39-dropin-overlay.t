#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A data-root of Debian's dockerd with its first overlay driver (trees of hard links) opens here, and there again with what was added.
. "$(dirname "$0")/lib.sh" || exit 1
. "${top_srcdir:?}/t/system/theirlib.sh" || exit 1
need_theirs
scratch
O=$WORK/root/overlay
# What lies in the folders of layers, without ids: type, mode, owner, name.
shapes() { find "$O" -mindepth 1 -maxdepth 2 -printf '%y %m %U:%G %P\n' | sed -E 's/[0-9a-f]{64}/ID/' | sort | uniq -c; }
theirs_says() { theirs "$@" | sort; }
"$top_srcdir/t/tools/mkimage" busybox:latest > "$WORK/busybox.tar"
start_theirs -s overlay --bridge none; ok "Debian's dockerd starts with it" || no_theirs
theirs load -q -i "$WORK/busybox.tar" >/dev/null
theirs run --name ran --network none -v vol:/v busybox sh -c 'echo own > /own; rm /etc/group; mkdir -p /opt/more; touch /opt/old; chmod 700 /bin; mkfifo /pipe; ln /own /twice; echo kept > /v/f; exit 3' >/dev/null
theirs commit ran one >/dev/null
theirs run --name two --network none one sh -c 'rm -r /opt; mkdir /opt; echo new > /opt/new; rm /twice' >/dev/null
theirs commit two two >/dev/null
theirs create --name made --network none two cat /opt/new /own >/dev/null
before=$(shapes)
images=$(theirs images --no-trunc -q | sort) diff=$(theirs_says diff ran) two=$(theirs_says diff two)
data=$(theirs inspect ran two made -f '{{json .GraphDriver}}'; theirs image inspect one two -f '{{json .GraphDriver}}')
lines=$(theirs info -f '{{.Driver}} {{json .DriverStatus}}')
stop_theirs

start_daemon; ok "ours opens it without being told the driver" || done_testing
is "$(docker info -f '{{.Driver}} {{json .DriverStatus}}')" "$lines" "docker info says the same of it"
is "$(docker images --no-trunc -q | sort)" "$images" "the same images"
is "$(docker diff ran | sort)" "$diff" "the same differences of a container on an image"
is "$(docker diff two | sort)" "$two" "and of one on two layers"
is "$(docker inspect ran two made -f '{{json .GraphDriver}}'; docker image inspect one two -f '{{json .GraphDriver}}')" "$data" "the same folders in inspect"
docker save two > "$WORK/two.tar"
is "$(tar -tf "$WORK/two.tar" | sed -n 's,^blobs/sha256/\(.\{64\}\)$,\1,p' | while read -r b; do echo "$b $(tar -xOf "$WORK/two.tar" "blobs/sha256/$b" | sha256sum | cut -d' ' -f1)"; done | awk '$1 != $2 { bad++ } END { print NR, bad + 0 }')" "5 0" "its layers come out byte for byte"
is "$(docker start -a made | tr '\n' ' ')" "new own " "a container starts"
docker start -a ran >/dev/null 2>&1; is $? 3 "one that ran, too"
is "$(docker run --rm --network none -v vol:/v two sh -c 'cat /v/f; ls /twice 2>&1')" "$(printf 'kept\nls: /twice: No such file or directory')" "a new one sees what is there and what is not"
is "$(shapes)" "$before" "nothing on disk is other than before"
inode=$(stat -c %i "$O"/*/root/bin/busybox | sort -u)
docker run --name ours --network none two sh -c 'echo more > /more; rm -f /own; chmod 700 /bin/busybox; chmod 4711 /opt/new' >/dev/null; ok "one of ours"
docker commit ours ours >/dev/null; ok "an image of it"
is "$(docker run --rm --network none two stat -c %a /bin/busybox)" 755 "what a container changes stays out of the images below"
is "$(stat -c '%i %h' "$O"/*/root/bin/busybox | sort -u | wc -l)" 2 "only what is changed is a file of its own"
is "$(stat -c %i "$O"/*/root/bin/busybox | sort | uniq -c | sort -n | awk '{ print $1 }' | tr '\n' ' ')" "1 3 " "all others are shared"
docker load -q -i "$WORK/busybox.tar" >/dev/null
docker rm made >/dev/null; ok "one of its containers is removed"
docker create --name waits --network none ours sh -c 'cat /more; cat /own; stat -c %a /opt/new' >/dev/null
theirs_shape=$(docker inspect waits -f '{{json .GraphDriver}}')
stop_daemon

start_theirs -s overlay --bridge none; ok "Debian's dockerd opens it again" || no_theirs
is "$(theirs ps -a --format '{{.Names}}' | sort | tr '\n' ' ')" "ours ran two waits " "with our containers, and without the one removed"
is "$(theirs inspect waits -f '{{json .GraphDriver}}')" "$theirs_shape" "which lie where it looks for them"
is "$(theirs start -a waits 2>/dev/null | tr '\n' ' ')" "more 4711 " "and start"
is "$(theirs diff ours | sort)" "$(printf 'A /more\nC /bin\nC /bin/busybox\nC /opt\nC /opt/new\nD /own')" "their differences"
theirs run --name last --network none ours sh -c 'echo last > /last' >/dev/null; theirs commit last last >/dev/null; ok "it makes images on ours"
theirs rm ran two ours waits last >/dev/null; ok "all containers are removed there"
stop_theirs

start_daemon -s overlay; ok "ours, once more" || done_testing
is "$(docker run --rm --network none last cat /last /more | tr '\n' ' ')" "last more " "runs that image"
docker rmi -f last ours two one busybox >/dev/null; ok "all images go"
is "$(ls "$O")" "" "nothing is left"
docker load -q -i "$WORK/busybox.tar" >/dev/null; docker create --name first --network none busybox echo first >/dev/null
ours=$(shapes)
stop_daemon
start_theirs -s overlay --bridge none; ok "a root of our own opens there" || no_theirs
theirs create --name first2 --network none busybox echo first >/dev/null
is "$(theirs start -a first)" first "and its container runs"
theirs rm first >/dev/null
is "$(shapes)" "$ours" "its layers have the same shape as that engine's"
stop_theirs
done_testing
