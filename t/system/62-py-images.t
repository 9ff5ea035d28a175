#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# docker-py (Debian's python3-docker), what is not a container: images, volumes, networks, events, system, every API
# version. t/clients/py-images.py prints the checks.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc
PY=${PYTHON3:-/usr/bin/python3}
"$PY" -c 'import docker' 2>/dev/null || skip_all "python3-docker is not installed"
find_docker
scratch
start_daemon || { echo "1..1"; echo "not ok 1 - daemon starts"; exit 1; }
CONFIG_EXTRA='"Labels":{"checks":"py-images"}' "$top_srcdir/t/tools/mkimage" checks/images:1 > "$WORK/busybox.tar"
DOCKER_HOST=unix://$SOCK BUSYBOX_TAR=$WORK/busybox.tar "$PY" "$top_srcdir/t/clients/py-images.py"
