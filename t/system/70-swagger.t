#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every answer against the official API schema. DKD_SWAGGER names the folder with vX.Y.yaml (they are not part of this project).
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc
[ -n "${DKD_SWAGGER:-}" ] || skip_all "DKD_SWAGGER does not name the folder of the API schemas"
PY=${PYTHON3:-/usr/bin/python3}
"$PY" -c 'import yaml, jsonschema' 2>/dev/null || skip_all "python3-yaml and python3-jsonschema are not installed"
DOCKER=${DOCKER:-$(command -v docker || echo /bin/false)}
scratch
own_net
start_daemon || { echo "1..1"; echo "not ok 1 - daemon starts"; exit 1; }
"$top_srcdir/t/tools/mkimage" busybox:latest > "$WORK/busybox.tar"
curl -sS --unix-socket "$SOCK" -X POST -T "$WORK/busybox.tar" 'http://d/images/load?quiet=1' >/dev/null
"$PY" "$top_srcdir/t/clients/swagger.py" "$SOCK" "$DKD_SWAGGER" 1.41 1.50
