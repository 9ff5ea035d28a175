#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Readers of events, logs and attachments that do not read; more streams than there are descriptors.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 busybox runc
find_docker
scratch
start_daemon || { echo "1..1"; echo "not ok 1 - starts"; exit 1; }
load_busybox >/dev/null
# two clients' tests, one plan
run() {
	"$@" > "$WORK/tap" 2>&1 || TAP_BAD=$((TAP_BAD + 1))
	_n=$(grep -c '^\(not \)\{0,1\}ok ' "$WORK/tap")
	awk -v n="$TAP_N" '/^1\.\./ { next } match($0, /^(not )?ok [0-9]+/) { sub(/ok [0-9]+/, "ok " ++n) } { print }' "$WORK/tap"
	TAP_N=$((TAP_N + _n))
}
run python3 "$top_srcdir/t/clients/readers.py" "$SOCK" "$DPID"
stop_daemon
ok "the daemon ends" || echo "# with $DSTATUS"
printf '#!/bin/sh\nulimit -n 200\nexec "%s" "$@"\n' "$DOCKERD" > "$WORK/few"
chmod 755 "$WORK/few"
DOCKERD=$WORK/few
start_daemon
ok "with few descriptors it starts" || done_testing
cid=$(docker run -d --network none busybox:latest sleep 1000)
run python3 "$top_srcdir/t/clients/crowd.py" "$SOCK" "$DPID" "$cid"
docker rm -f "$cid" >/dev/null
stop_daemon
ok "it ends" || echo "# with $DSTATUS"
done_testing
