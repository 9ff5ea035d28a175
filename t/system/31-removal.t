#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Images shown, filtered, removed, pruned, in use: each answer beside Docker's (t/clients/removal.py).
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need_apart
need curl python3 busybox runc
find_docker
scratch
# in memory, for the many loads; a disk that syncs shows nothing more here
mount -t tmpfs -o size=200m removal "${WORK:?}" && plugin_args
trap 'cleanup 2>/dev/null; umount -l "$WORK" && rm -rf "${WORK:?}"' EXIT
start_daemon --storage-driver="${DRIVER:=overlay2}" || { echo "1..1"; echo "not ok 1 - starts"; exit 1; }
load_busybox >/dev/null
python3 "$top_srcdir/t/clients/removal.py" "$SOCK"
TAP_BAD=$?
stop_daemon || { echo "# the daemon ended with $DSTATUS"; TAP_BAD=1; }
exit $TAP_BAD
