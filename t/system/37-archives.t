#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who unpacks and with which rights; bombs, races, names, and code that lies in images. A canary beside the folders stays as it is.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 busybox runc setpriv
find_docker
scratch
mkdir -p "$WORK/canary/folder"
echo "the canary's secret" > "$WORK/canary/secret"
echo "mallory:x:0:0::/:/bin/sh" > "$WORK/canary/passwd"
chmod 640 "$WORK/canary/secret"
start_daemon --storage-driver="${DRIVER:=overlay2}" || { echo "1..1"; echo "not ok 1 - starts"; exit 1; }
load_busybox >/dev/null
python3 "$top_srcdir/t/clients/archives.py" "$SOCK" "$DPID" "$WORK/root" "$WORK/canary"
TAP_BAD=$?
stop_daemon || { echo "# the daemon ended with $DSTATUS"; TAP_BAD=1; }
exit $TAP_BAD
