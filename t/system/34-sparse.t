#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Sparse archives, as `tar -S` writes them in each of its formats: imported, loaded, saved, copied; holes stay holes.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 jq busybox runc
find_docker
tar --version 2>/dev/null | grep -q GNU || skip_all "tar is not GNU's"
scratch
start_daemon; ok "the daemon" || done_testing
load_busybox >/dev/null
mkdir -p "$WORK/tree/d"
cp "$(command -v busybox)" "$WORK/tree/busybox"
truncate -s 64M "$WORK/tree/d/holes"
for at in 1 7 8 40; do printf 'piece %s' "$at" | dd of="$WORK/tree/d/holes" bs=1M seek="$at" conv=notrunc status=none; done
truncate -s 5M "$WORK/tree/d/nothing"
echo plain > "$WORK/tree/d/plain"
sum=$(sha256sum < "$WORK/tree/d/holes") none=$(sha256sum < "$WORK/tree/d/nothing")
layers() { docker image inspect -f '{{json .RootFS.Layers}}' "$1"; }
disk() { for f in "$WORK"/root/overlay2/*/diff/d/holes; do [ -e "$f" ] && du -k "$f" | cut -f1; done | sort -n | tail -1; }
n=0
for format in --format=gnu "--format=posix --sparse-version=0.0" "--format=posix --sparse-version=0.1" "--format=posix --sparse-version=1.0"; do
	n=$((n + 1))
	# shellcheck disable=SC2086
	tar -S $format -cf "$WORK/a.tar" -C "$WORK/tree" .
	size=$(stat -c %s "$WORK/a.tar")
	[ "$size" -lt 8000000 ]; ok "$format: an archive with holes ($size bytes)"
	docker import -c 'CMD ["/busybox", "true"]' - "sparse:$n" < "$WORK/a.tar" >/dev/null 2> "$WORK/err"; ok "is imported" || cat "$WORK/err"
	is "$(docker run --rm --network none "sparse:$n" /busybox sha256sum /d/holes /d/nothing /d/plain | cut -d' ' -f1 | tr '\n' ' ')" \
		"${sum%% *} ${none%% *} $(sha256sum < "$WORK/tree/d/plain" | cut -d' ' -f1) " "with its files, byte by byte"
	[ "$(disk)" -lt 2048 ]; ok "which have their holes on disk ($(disk) kB)"
	is "$(layers "sparse:$n")" "[\"sha256:$(sha256sum < "$WORK/a.tar" | cut -d' ' -f1)\"]" "the layer is the archive"
	docker save -o "$WORK/saved.tar" "sparse:$n" 2> "$WORK/err"; ok "saved" || cat "$WORK/err"
	before=$(layers "sparse:$n")
	docker rmi -f "sparse:$n" >/dev/null
	docker load -q -i "$WORK/saved.tar" >/dev/null 2> "$WORK/err"; ok "loaded" || cat "$WORK/err"
	is "$(layers "sparse:$n")" "$before" "the same"
	docker create --name box --network none "sparse:$n" >/dev/null
	docker cp - box:/ < "$WORK/a.tar" 2> "$WORK/err"; ok "copied into a container" || cat "$WORK/err"
	is "$(docker cp box:/d/holes - | tar -xOf - holes | sha256sum)" "$sum" "and out"
	docker rm box >/dev/null
done
# without its holes it is more than any disk has: these are bytes that nobody stores
python3 - "$WORK/vast.tar" <<'P'
import io
import sys
import tarfile
body = b"1\n0\n4\n".ljust(512, b"\0") + b"data"
t = tarfile.TarInfo("vast")
t.size = len(body)
t.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "vast", "GNU.sparse.realsize": str(1 << 49)}
with tarfile.open(sys.argv[1], "w", format=tarfile.PAX_FORMAT) as a:
    a.addfile(t, io.BytesIO(body))
P
said=$(timeout $((60 * DKD_SLOW)) "$DOCKER" -H "unix://$SOCK" import - vast < "$WORK/vast.tar" 2>&1)
like "$said" '^sha256:|File too large|file too large|Invalid argument|invalid argument' "a file of 512 TiB in words, or with its hole"
docker rmi vast >/dev/null 2>&1
is "$(docker info -f '{{.Images}}')" "$(docker images -q | sort -u | wc -l)" "the daemon is well"
docker rmi -f $(docker images -q | sort -u) >/dev/null
is "$(find "$WORK/root/overlay2" -mindepth 1 -maxdepth 1 ! -name l | wc -l)" 0 "nothing is left"
stop_daemon; is "$?" 0 "the daemon ends well"
done_testing
