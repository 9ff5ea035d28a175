#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Images that do not fit on the disk: refused before it is full, with how much is free, and nothing stays of them.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox mkfs.ext4 fsfreeze
find_docker
scratch
mkdir -p "$WORK/root" "$WORK/a"
truncate -s 64M "$WORK/img" && mkfs.ext4 -q -m 0 -F "$WORK/img" && mount -o loop "$WORK/img" "$WORK/root" || skip_all "no loop device"
start_daemon --storage-driver=overlay2; ok "starts" || done_testing
held() { (cd "$WORK/root" && find . -xdev ! -name .dockerd.lock -printf '%p %y %b\n' | sort); }
free() { stat -f -c %a "$WORK/root"; }
archive() { # name MB
	head -c "$(($2 * 1048576))" /dev/urandom > "$WORK/a/f"
	tar -C "$WORK/a" -cf "$WORK/layer.tar" f
	_d=$(sha256sum < "$WORK/layer.tar" | cut -d' ' -f1)
	printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$_d" > "$WORK/config.json"
	printf '[{"Config":"config.json","RepoTags":["%s:1"],"Layers":["layer.tar"]}]' "$1" > "$WORK/manifest.json"
	tar -C "$WORK" -cf "$WORK/$1.tar" manifest.json config.json layer.tar
}
refused() { # what pattern command...: and nothing stays
	_before=$(held) _free=$(free) _what=$1 _want=$2
	shift 2
	_said=$("$@" 2>&1)
	[ $? -ne 0 ] && printf '%s' "$_said" | grep -Eq "$_want" && printf '%s' "$_said" | grep -q "No space left on device .*bytes are free in $WORK/root"
	ok "$_what: refused, with the disk's name" || printf '# %s\n' "$_said"
	is "$(held)" "$_before" "$_what: nothing stays"
	[ "$(free)" -ge $((_free - 16)) ]; ok "$_what: nor of its blocks"
}
load() { docker load -i "$WORK/$1.tar"; }
archive huge 100
refused "an archive larger than the disk" "spool 1048[0-9]+ bytes" load huge
# the rest is never sent: what its header says is enough
mkfifo "$WORK/pipe"
{ head -c 20480 "$WORK/huge.tar"; exec sleep 1000; } > "$WORK/pipe" & feeder=$!
curl -s --unix-socket "$SOCK" -X POST -H 'Expect:' -T "$WORK/pipe" http://d/images/load > /dev/null 2>&1 & client=$!
for _i in $(seq $((100 * DKD_SLOW))); do [ "$(grep -c 'error: spool 1048' "$WORK/log")" -ge 2 ] && break; sleep 0.1; done
is "$(grep -c 'error: spool 1048' "$WORK/log")" 2 "and before it was sent"
kill $feeder $client 2>/dev/null; wait $feeder $client 2>/dev/null
archive two 35
refused "one that fits but once" "load layers of 36[0-9]+ bytes" load two
refused "an import" "." docker import "$WORK/huge.tar" imported:1
archive small 8
load small >/dev/null; ok "what fits is loaded"
is "$(docker images --format '{{.Repository}}')" small "and it alone is there"
# two prunes at once, before a disk that hangs: one of them comes first, and waits
prune() { api POST '/images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D' -w '%{http_code}'; }
: > "$WORK/prune.1"; : > "$WORK/prune.2"
fsfreeze -f "$WORK/root"
prune > "$WORK/prune.1" 2>&1 & one=$!
prune > "$WORK/prune.2" 2>&1 & two=$!
for _i in $(seq $((100 * DKD_SLOW))); do grep -q '[0-9]' "$WORK/prune.1" "$WORK/prune.2" && break; sleep 0.1; done
is "$(cat "$WORK/prune.1" "$WORK/prune.2" | tr -d '\n')" '{"message":"a prune operation is already running"}409' "a second prune is refused"
fsfreeze -u "$WORK/root"
wait $one $two
like "$(cat "$WORK/prune.1" "$WORK/prune.2" | paste -sd" ")" 'Untagged":"small:1"' "the first one goes on"
is "$(docker images -q)" "" "and takes the image"
stop_daemon
umount "$WORK/root"; ok "the disk is let go"
done_testing
