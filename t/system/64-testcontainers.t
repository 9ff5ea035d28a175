#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Testcontainers for Node.js, of the npm registry, as the client: t/clients/testcontainers.js prints the checks.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc nsenter nft
need_node testcontainers
find_docker
scratch
own_net
NETARGS=
start_daemon || { echo "1..1"; echo "not ok 1 - daemon starts"; exit 1; }
load_busybox > /dev/null
# its lock files and settings stay in the scratch folder
mkdir -p "$WORK/home" "$WORK/tmp"
HOME=$WORK/home TMPDIR=$WORK/tmp DOCKER_HOST=unix://$SOCK IMAGE=busybox:latest nsenter "--net=$NETNS" node "$top_srcdir/t/clients/testcontainers.js"
