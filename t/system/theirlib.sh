# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced behind lib.sh by suites that hand a data-root to Debian's dockerd and back. Debian's runs on the same $WORK/root.
# Installed, or unpacked by quickstart; DEBIAN_DOCKERD names another.
DEBIAN=${DEBIAN_DOCKERD:-/usr/sbin/dockerd}
[ -x "$DEBIAN" ] || DEBIAN=$top_builddir/debian/usr/sbin/dockerd
# dockerd starts programs beside it, like containerd
DEBIAN_PATH=$PATH:${DEBIAN%/*}:${DEBIAN%/sbin/*}/bin
need_theirs() {
	need_root
	need curl busybox runc jq
	[ -x "$DEBIAN" ] && PATH=$DEBIAN_PATH command -v containerd >/dev/null || skip_all "Debian's dockerd is not installed (package docker.io)"
	need_apart
	unshare -n true 2>/dev/null || skip_all "no network namespaces"
	find_docker
}
TPID=
# start_theirs [dockerd args]: waits until it answers; 1 when it ended or never answered
start_theirs() {
	echo '{}' > "$WORK/theirs.json"
	PATH=$DEBIAN_PATH "$DEBIAN" -H "unix://$WORK/theirs.sock" --data-root "$WORK/root" --exec-root "$WORK/theirs" -p "$WORK/theirs.pid" --config-file "$WORK/theirs.json" \
		--iptables=false --ip6tables=false "$@" > "$WORK/theirs.log" 2>&1 < /dev/null &
	TPID=$!
	for _i in $(seq $((100 * DKD_SLOW))); do
		curl -s --max-time 5 --unix-socket "$WORK/theirs.sock" http://d/_ping >/dev/null 2>&1 && return 0
		kill -0 $TPID 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}
stop_theirs() {
	kill $TPID 2>/dev/null
	wait $TPID 2>/dev/null
	TPID=
}
theirs() { "$DOCKER" -H "unix://$WORK/theirs.sock" "$@"; }
# The end of a suite that cannot go on without it.
no_theirs() { tail -n 5 "$WORK/theirs.log" | sed 's/^/# /'; done_testing; }
