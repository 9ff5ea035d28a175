#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Wrong bodies of create, and right ones that look so: status and words are Docker's (t/clients/matrix.tsv).
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc python3
find_docker
scratch
start_daemon || { echo "1..1"; echo "not ok 1 - daemon starts"; exit 1; }
load_busybox >/dev/null
python3 "$top_srcdir/t/clients/matrix.py" "$SOCK" "$top_srcdir/t/clients/matrix.tsv"
