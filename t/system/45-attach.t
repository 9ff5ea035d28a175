#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Attachments and execs as bytes on the wire: streams, ends of stdin, keys, framing, errors, fields of inspect, events.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 busybox runc
find_docker
scratch
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
timeout $((60 * DKD_SLOW)) python3 "$top_srcdir/t/clients/streams.py" "$SOCK" > "$WORK/tap" 2> "$WORK/err" || TAP_BAD=$((TAP_BAD + 1))
tail -3 "$WORK/err" | sed 's/^/# /'
awk -v n="$TAP_N" '/^1\.\./ { next } match($0, /^(not )?ok [0-9]+/) { sub(/ok [0-9]+/, "ok " ++n) } { print }' "$WORK/tap"
TAP_N=$((TAP_N + $(grep -c '^\(not \)\{0,1\}ok ' "$WORK/tap")))
stop_daemon; is "$DSTATUS" 0 "the daemon ends"
done_testing
