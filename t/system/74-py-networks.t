#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# docker-py (Debian's python3-docker) and networks: t/clients/py-networks.py prints the checks.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc ip nft
PY=${PYTHON3:-/usr/bin/python3}
"$PY" -c 'import docker' 2>/dev/null || skip_all "python3-docker is not installed"
DOCKER=${DOCKER:-$(command -v docker || echo /bin/false)}
scratch
own_net
NETARGS=
start_daemon || { echo "1..1"; echo "not ok 1 - daemon starts"; exit 1; }
"$top_srcdir/t/tools/mkimage" busybox:latest > "$WORK/busybox.tar"
DOCKER_HOST=unix://$SOCK BUSYBOX_TAR=$WORK/busybox.tar "$PY" "$top_srcdir/t/clients/py-networks.py"
