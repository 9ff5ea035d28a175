#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# dockerode, of the npm registry, as the client: t/clients/dockerode.js prints the checks.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc
need_node dockerode
find_docker
scratch
own_net
start_daemon || { echo "1..1"; echo "not ok 1 - daemon starts"; exit 1; }
"$top_srcdir/t/tools/mkimage" checks/busybox:latest > "$WORK/busybox.tar"
DOCKER_HOST=unix://$SOCK BUSYBOX_TAR=$WORK/busybox.tar node "$top_srcdir/t/clients/dockerode.js"
