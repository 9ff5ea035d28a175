#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The daemon inside of a privileged container of its own kind: what it needs there, a privileged container and its execs have.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc
find_docker
[ -d /usr/bin ] && [ -h /bin ] || skip_all "the host's programs are not all below /usr"
scratch
start_daemon; ok "the daemon" || done_testing
load_busybox >/dev/null
libs=
for d in /lib /lib64 /lib32; do [ -e "$d" ] && libs="$libs -v $d:$d:ro"; done
# shellcheck disable=SC2086
docker run -d --privileged --name outer --network none -v /usr:/usr:ro $libs -v "$top_srcdir:$top_srcdir:ro" -v "$top_builddir:$top_builddir:ro" \
	-v inner:/var/lib/docker busybox sleep 1000 >/dev/null; ok "a privileged container"
inside() { docker exec -i outer sh -c "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DOCKER_HOST=unix:///var/run/docker.sock; $1"; }
inside "mkdir -p /run /tmp; cd '$top_builddir' && exec '$DOCKERD' -b none > /tmp/log 2>&1" < /dev/null & outer=$!
comes OK inside 'curl -s --unix-socket /var/run/docker.sock http://d/_ping'
is "$(inside 'curl -s --unix-socket /var/run/docker.sock http://d/_ping')" OK "a daemon in it" || inside 'cat /tmp/log' | sed 's/^/# /'
like "$(inside "'$DOCKER' load -q" < "$WORK/busybox.tar" 2>&1)" '^Loaded image: busybox' "an image" || inside 'tail /tmp/log' | sed 's/^/# /'
is "$(inside "'$DOCKER' run --rm --network none busybox echo inner" 2>&1)" inner "a container in the container"
inside "'$DOCKER' run -d --name inner --network none busybox sleep 1000" >/dev/null 2>&1
is "$(inside "'$DOCKER' exec inner echo exec" 2>&1)" exec "and an exec in that"
inside "'$DOCKER' rm -f inner" >/dev/null 2>&1; ok "it goes"
inside 'kill "$(cat /var/run/docker.pid)"'
for _i in $(seq $((100 * DKD_SLOW))); do kill -0 $outer 2>/dev/null || break; sleep 0.1; done
wait $outer; is "$?" 0 "the inner daemon ends well"
docker rm -fv outer >/dev/null; ok "the outer container goes"
stop_daemon; is "$?" 0 "the daemon ends well"
done_testing
