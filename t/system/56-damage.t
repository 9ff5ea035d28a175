#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every kind of state file, damaged in every way: the daemon starts, nothing vanishes, it is said, and it can be removed.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need python3 mkfifo
find_docker
scratch
: "${WORK:?}" "${PLUGDIR:?}"
# in memory, for the many starts; a disk that syncs shows nothing more here
mount -t tmpfs -o size=300m damage "$WORK" && plugin_args
trap 'cleanup 2>/dev/null; umount -l "$WORK" && rm -rf "${WORK:?}"' EXIT
start_daemon -s overlay2
ok "a daemon to fill a data-root"
load_busybox >/dev/null
docker create --name ran busybox echo hello >/dev/null 2>&1
docker start -a ran > /dev/null
docker cp "$top_srcdir/t/system/lib.sh" ran:/lib.sh 2>/dev/null
docker commit ran top >/dev/null
mkdir "$WORK/bound"
docker volume create -o type=none -o o=bind -o device="$WORK/bound" bound >/dev/null
docker volume create plain >/dev/null
docker create --name made --ipc shareable top true >/dev/null 2>&1
id() { docker inspect -f '{{.Id}}' "$1" | sed 's/^sha256://'; }
printf '[{"Name":"ran","Id":"%s"},{"Name":"made","Id":"%s"},{"Name":"top","Id":"%s"},{"Name":"low","Id":"%s"}]\n' \
	"$(id ran)" "$(id made)" "$(id top)" "$(id busybox)" > "$WORK/facts.json"
stop_daemon
# dockerd --check on what is whole, then on damage
check() { "$DOCKERD" --check "$@" --config-file "$WORK/daemon.json" --data-root "$WORK/root" --exec-root "$WORK/exec" --plugin-dir "$PLUGDIR" 2>&1; }
out=$(check)
is $? 0 "--check: nothing to say of a whole data-root" || printf '%s\n' "$out" | sed 's/^/# /'
cp -a "$WORK/root" "$WORK/kept"
layer=$(ls "$WORK/root/image/overlay2/layerdb/sha256" | head -n 1)
: > "$WORK/root/image/overlay2/layerdb/sha256/$layer/size"
mkdir -p "$WORK/root/overlay2/$(printf '%064d' 5)/diff" "$WORK/root/containers/$(printf '%064d' 6)"
sum() { (cd "$WORK/root" && find . -printf '%p %y %s %T@\n' | grep -v '.dockerd.lock' | sort | sha1sum); }
before=$(sum)
out=$(check)
is $? 1 "--check: exit status 1 for damage and orphans"
like "$out" "repairable +layer" "--check: a layer's size"
like "$out" "orphan +layer +overlay2: layer 0+5 belongs to nothing" "--check: a layer of nobody"
like "$out" "orphan +container +the folder of container 0+ has no record" "--check: a folder of no container"
is "$(sum)" "$before" "--check: changes nothing"
out=$(check --repair)
is $? 0 "--check --repair: all is put right" || printf '%s\n' "$out" | sed 's/^/# /'
like "$out" "repaired +layer" "--repair: the size"
like "$out" "swept +layer" "--repair: the orphan"
check >/dev/null
is $? 0 "--check: and stays so"
file=$(find "$WORK/root/overlay2" -path '*/diff/bin/busybox' | head -n 1)
printf x | dd of="$file" bs=1 seek=1000 conv=notrunc 2>/dev/null
out=$(check)
is $? 1 "--check: content that is not what it was"
like "$out" "cannot be put together again: file integrity checksum failed" "--check: and which"
like "$("$DOCKERD" --repair --config-file "$WORK/daemon.json" 2>&1)" "repair goes with --check" "--repair alone is refused"
start_daemon >/dev/null
like "$(check)" "in use by another daemon" "--check: not while a daemon runs"
stop_daemon
rm -rf "${WORK:?}/root" && mv "$WORK/kept" "$WORK/root"
# all kinds
while read -r result text; do
	[ "$result" = PASS ]
	ok "$text"
done < <(python3 "$top_srcdir/t/clients/damage.py" "$WORK" "$WORK/root" -- "$DOCKERD" $NETARGS --config-file "$WORK/daemon.json" \
	--plugin-dir "$PLUGDIR" -s overlay2)
wait $!
ok "the client came to its end"
[ "$TAP_N" -gt 80 ]
ok "all kinds were tried" || tail -n 5 "$WORK/dlog" | sed 's/^/# /'
done_testing
