#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Images through the stock CLI, with each graph driver: load, save, import, tag, history, rmi; hostile archives.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox
find_docker
scratch
"$top_srcdir/t/tools/mkimage" busybox:latest > "$WORK/busybox.tar"
for driver in overlay2 overlay vfs; do
	start_daemon --storage-driver=$driver; ok "$driver: starts" || done_testing
	like "$(docker load -i "$WORK/busybox.tar" 2>&1)" "Loaded image: busybox:latest" "$driver: load"
	id=$(docker images -q --no-trunc busybox)
	like "$id" "^sha256:[0-9a-f]{64}$" "$driver: images"
	is "$(docker inspect -f '{{.Id}}' busybox)" "$id" "$driver: inspect by name"
	is "$(docker inspect -f '{{.Id}}' "$(echo "$id" | cut -c8-20)")" "$id" "$driver: inspect by short id"
	like "$(docker inspect -f '{{json .Config.Cmd}}' busybox)" '\["sh"\]' "$driver: config"
	docker tag busybox:latest localhost:5000/a/b:c; ok "$driver: tag"
	is "$(docker images --format '{{.Repository}}:{{.Tag}}' | sort | tr '\n' ' ')" "busybox:latest localhost:5000/a/b:c " "$driver: both names"
	like "$(docker tag busybox:latest 'Bad' 2>&1)" "repository name .*must be lowercase|invalid reference format" "$driver: bad reference"
	like "$(docker history --format '{{.CreatedBy}}' busybox)" "mkimage" "$driver: history"
	docker save -o "$WORK/saved.tar" busybox:latest localhost:5000/a/b:c; ok "$driver: save"
	like "$(tar xOf "$WORK/saved.tar" manifest.json)" 'localhost:5000/a/b:c' "$driver: manifest.json names the tags"
	like "$(docker rmi busybox:latest localhost:5000/a/b:c)" "Deleted: $id" "$driver: rmi untags, then deletes"
	is "$(docker images -q | wc -l)" 0 "$driver: nothing left"
	docker load -q -i "$WORK/saved.tar" >/dev/null; ok "$driver: what was saved loads"
	is "$(docker images -q --no-trunc busybox)" "$id" "$driver: with the same id"
	gzip -kf "$WORK/busybox.tar"; docker load -q -i "$WORK/busybox.tar.gz" >/dev/null; ok "$driver: gzip"
	if command -v zstd >/dev/null; then zstd -qf "$WORK/busybox.tar" -o "$WORK/busybox.tar.zst"; docker load -q -i "$WORK/busybox.tar.zst" >/dev/null; ok "$driver: zstd"; else skip "$driver: zstd" "zstd is not installed"; fi
	mkdir -p "$WORK/fs/etc" && echo hello > "$WORK/fs/etc/motd"
	tar -C "$WORK/fs" -c . | docker import -c 'CMD ["cat","/etc/motd"]' -c 'ENV A=b' -m note - imported:1 >/dev/null; ok "$driver: import"
	is "$(docker inspect -f '{{json .Config.Env}}{{json .Config.Cmd}}{{.Comment}}' imported:1)" '["A=b"]["cat","/etc/motd"]note' "$driver: with its changes"
	like "$(docker rmi nope 2>&1)" "No such image: nope(:latest)?" "$driver: unknown image"
	# hostile and broken archives leave nothing
	before=$(find "$WORK/root/image" -type f | sort | sha256sum; ls "$WORK/root/$driver" "$WORK/root/vfs/dir" 2>/dev/null | sort | sha256sum)
	mkdir -p "$WORK/evil" && printf '[{"Config":"../../../etc/passwd","RepoTags":["evil:1"],"Layers":["../../x/layer.tar"]}]' > "$WORK/evil/manifest.json"
	tar -C "$WORK/evil" -cf "$WORK/evil.tar" manifest.json
	! docker load -i "$WORK/evil.tar" >/dev/null 2>&1; ok "$driver: names that lead out are refused"
	head -c 300000 "$WORK/busybox.tar" > "$WORK/cut.tar"
	! docker load -i "$WORK/cut.tar" >/dev/null 2>&1; ok "$driver: a cut archive is refused"
	echo garbage | docker load >/dev/null 2>&1; [ $? -ne 0 ]; ok "$driver: garbage is refused"
	after=$(find "$WORK/root/image" -type f | sort | sha256sum; ls "$WORK/root/$driver" "$WORK/root/vfs/dir" 2>/dev/null | sort | sha256sum)
	is "$after" "$before" "$driver: and nothing of them stays"
	stop_daemon
	start_daemon --storage-driver=$driver; ok "$driver: starts again"
	is "$(docker images -q --no-trunc busybox)" "$id" "$driver: images outlive a restart"
	for i in $(docker images -q | sort -u); do docker rmi -f "$i" >/dev/null || break; done; ok "$driver: all removed"
	is "$(find "$WORK/root/image" -path '*layerdb/sha256/*' -type d | wc -l)" 0 "$driver: no layer stays"
	stop_daemon
	rm -rf "$WORK/root"
done
done_testing
