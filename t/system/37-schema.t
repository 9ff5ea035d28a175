#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every operation of the official schema (DKD_SWAGGER) with faults in its requests: CASES of them each from SEED, ONLY="POST /auth" for one.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 runc
[ -n "${DKD_SWAGGER:-}" ] || skip_all "DKD_SWAGGER does not name the folder of the API schemas"
PY=${PYTHON3:-/usr/bin/python3}
"$PY" -c 'import yaml' 2>/dev/null || skip_all "python3-yaml is not installed"
find_docker
scratch
own_net
# what is freed goes back to the kernel, so that growth shows
export MALLOC_MMAP_THRESHOLD_=65536 MALLOC_TRIM_THRESHOLD_=65536
start_daemon || { echo "1..1"; echo "not ok 1 - starts"; exit 1; }
load_busybox >/dev/null
"$PY" "$top_srcdir/t/clients/schema-mutate.py" "$SOCK" "$DPID" "$DKD_SWAGGER" "${CASES:-18}" "${SEED:-1}" "${ONLY:-}"
TAP_BAD=$?
stop_daemon || { echo "# the daemon ended with $DSTATUS"; TAP_BAD=1; }
[ -z "$SANITIZED" ] || [ -z "$(san_reports)" ] || { san_reports | sed 's/^/# /'; TAP_BAD=1; }
exit $TAP_BAD
