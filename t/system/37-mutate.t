#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Requests with faults in them, at random: RUNS of them from SEED, out of seeds of their own and the official schemas (DKD_SWAGGER).
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 busybox
find_docker
scratch
own_net
start_daemon || { echo "1..1"; echo "not ok 1 - starts"; exit 1; }
load_busybox >/dev/null
docker create --name probe --network none busybox:latest true >/dev/null
python3 "$top_srcdir/t/clients/mutate.py" "$SOCK" "$DPID" "${RUNS:-1500}" "${SEED:-1}" "${DKD_SWAGGER:-}"
TAP_BAD=$?
stop_daemon || { echo "# the daemon ended with $DSTATUS"; TAP_BAD=1; }
exit $TAP_BAD
