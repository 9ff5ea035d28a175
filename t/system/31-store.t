#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The image store over the API: manifests, archives of other tools, shared layers, filters, squash (t/clients/store.py). DRIVER names
# another storage driver.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 zstd
scratch
start_daemon --storage-driver="${DRIVER:=overlay2}" || { echo "1..1"; echo "not ok 1 - starts"; exit 1; }
python3 "$top_srcdir/t/clients/store.py" "$SOCK" "$WORK/root"
TAP_BAD=$?
stop_daemon || { echo "# the daemon ended with $DSTATUS"; TAP_BAD=1; }
exit $TAP_BAD
