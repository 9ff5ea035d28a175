#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Raw HTTP: framing that is refused, limits, keep-alive, hijacks, slow clients.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 busybox runc
find_docker
scratch
start_daemon || { echo "1..1"; echo "not ok 1 - starts"; exit 1; }
load_busybox >/dev/null
python3 "$top_srcdir/t/clients/raw-http.py" "$SOCK" "$DPID"
TAP_BAD=$?
stop_daemon || { echo "# the daemon ended with $DSTATUS"; TAP_BAD=1; }
exit $TAP_BAD
