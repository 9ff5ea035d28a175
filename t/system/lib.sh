# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by the system tests: TAP, and a daemon of the test's own (data-root, exec-root, socket, pid file in a scratch
# folder). Everything is undone on exit, also on failure: processes by pid, mounts, namespaces, files.
set -u
: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}" "${top_builddir:=$PWD}"
DOCKERD=${DOCKERD:-$top_builddir/dockerd}
PLUGINS=${PLUGINS:-$top_builddir/plugins}
# "make distcheck" proves the build; its system tests run only when asked for.
case ${DKD_TESTS:-}:$top_builddir in
unit:* | :*/_build/sub) echo "1..0 # SKIP unit tests only (DKD_TESTS=all runs all)"; exit 0 ;;
esac
# Suites run beside each other and beside whatever the host does. Each has a mount namespace of its own, so that no other holds on to what
# it unmounts, and a network namespace, where no port and no interface is anybody else's.
if [ "${DKD_APART:-}" != $$ ] && [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
	_self=$(readlink -f "/proc/$$/exe") _do= _net=
	grep -q '^[0-9]* [0-9]* [^ ]* / / .* shared:' /proc/self/mountinfo && _do='mount --make-rshared / && '
	unshare -n ip link set lo up 2>/dev/null && _net=-n _do="${_do}ip link set lo up && "
	DKD_APART=$$ exec unshare -m $_net --propagation private sh -c "$_do"'exec "$@"' sh "$_self" "$0" "$@"
fi
# The suite has what it may mount over.
need_apart() { [ "${DKD_APART:-}" = $$ ] || skip_all "no mount namespaces"; }
TAP_N=0
TAP_BAD=0
# Not empty but unset until scratch(): "$WORK/..." before it is an error, not a path of the host.
unset WORK
DPID=

ok() { # description; the status of the command before decides: cmd; ok "..."
	_st=$?
	TAP_N=$((TAP_N + 1))
	if [ $_st -eq 0 ]; then echo "ok $TAP_N - $1"; else TAP_BAD=$((TAP_BAD + 1)); echo "not ok $TAP_N - $1"; fi
	return $_st
}
is() { # got want description
	[ "$1" = "$2" ]
	ok "$3" || { printf '#  got: %s\n# want: %s\n' "$1" "$2" | head -c 2000; echo; }
}
like() { # text pattern(grep -E) description
	printf '%s\n' "$1" | grep -Eq -- "$2"
	ok "$3" || printf '#  got: %s\n# want: %s\n' "$(printf '%s' "$1" | head -c 1000)" "$2"
}
unlike() {
	! printf '%s\n' "$1" | grep -Eq -- "$2"
	ok "$3" || printf '#  got: %s\n# must not: %s\n' "$(printf '%s' "$1" | head -c 1000)" "$2"
}
# As ok, of a bound on memory: builds with a sanitizer keep what is freed, and shadows of it.
small() {
	_st=$?
	[ $_st -eq 0 ] || [ -z "$SANITIZED" ] || { skip "$1" "memory of a build with a sanitizer says nothing"; return; }
	(exit $_st)
	ok "$1"
}
skip() { TAP_N=$((TAP_N + 1)); echo "ok $TAP_N - $1 # SKIP $2"; }
skip_all() { echo "1..0 # SKIP $1"; exit 0; }
done_testing() {
	[ -z "$SANITIZED" ] || { [ -z "$DPID" ] || { docker ps -aq 2>/dev/null | xargs -r "$DOCKER" -H "unix://$SOCK" rm -f >/dev/null 2>&1; stop_daemon >/dev/null 2>&1; }
		is "$(san_reports)" "" "no report of a sanitizer"; }
	[ -z "${WORK:-}" ] || is "$(host_bridge)" "$HOST_BRIDGE" "the host's docker0 was left alone"
	echo "1..$TAP_N"
	exit $((TAP_BAD > 0))
}
# The index of docker0 where the suite runs; /sys would tell of another network namespace.
host_bridge() {
	command -v ip >/dev/null || { cat /sys/class/net/docker0/ifindex 2>/dev/null || echo none; return; }
	_i=$(ip -o link show docker0 2>/dev/null) && echo "${_i%%:*}" || echo none
}

need_root() { [ "$(id -u)" = 0 ] || skip_all "needs root"; }
need() { for _c in "$@"; do command -v "$_c" >/dev/null 2>&1 || skip_all "$_c is not installed"; done; }

# Packages that quickstart took from the npm registry, pinned by t/clients/node/package-lock.json.
need_node() {
	need node
	export NODE_PATH="${NODE_MODULES:-$top_builddir/clients/node_modules}"
	for _c in "$@"; do (cd / && node -e "require('$_c')") >/dev/null 2>&1 || skip_all "$_c is not installed (sudo ./quickstart test does)"; done
}

find_docker() {
	DOCKER=${DOCKER:-$(unset -f docker; command -v docker || true)}
	[ -n "$DOCKER" ] || skip_all "no docker CLI"
}
docker() { command "$DOCKER" -H "unix://$SOCK" "$@"; }
api() { # METHOD PATH [curl args]: body
	_m=$1 _p=$2
	shift 2
	curl -sS --max-time $((60 * DKD_SLOW)) -X "$_m" --unix-socket "$SOCK" "$@" "http://d$_p"
}
api_status() { # METHOD PATH [curl args]: status only
	_m=$1 _p=$2
	shift 2
	curl -sS --max-time $((60 * DKD_SLOW)) -o /dev/null -w '%{http_code}' -X "$_m" --unix-socket "$SOCK" "$@" "http://d$_p"
}

scratch() {
	HOST_BRIDGE=$(host_bridge)
	WORK=$(mktemp -d /tmp/dkd-test-XXXXXX) || exit 1
	SOCK=$WORK/docker.sock
	trap cleanup EXIT
	trap 'exit 130' INT TERM
	plugin_args
	sanitized
}
# Every bound of time in a test is multiplied by this: 3 on a machine that does nothing else, more with what waits for its processors.
: "${DKD_SLOW:=$(awk -v n="$(nproc)" '{ print 3 + int($1 / n) }' /proc/loadavg)}"
export DKD_SLOW
# Sanitizers of this build (--enable-asan, --enable-tsan) write here, for whichever process: done_testing counts.
SANITIZED=
sanitized() {
	grep -qaE '__(asan|tsan)_init' "$DOCKERD" 2>/dev/null || return 0
	export SANITIZED=1
	[ "$DKD_SLOW" -ge 10 ] || DKD_SLOW=10
	mkdir -p "$WORK/san"
	chmod 1777 "$WORK/san"
	export ASAN_OPTIONS="log_path=$WORK/san/asan:detect_stack_use_after_return=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
	export UBSAN_OPTIONS="log_path=$WORK/san/ubsan:print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
	export TSAN_OPTIONS="log_path=$WORK/san/tsan:suppressions=$top_srcdir/t/tsan.supp:second_deadlock_stack=1${TSAN_OPTIONS:+:$TSAN_OPTIONS}"
}
san_reports() {
	find "$WORK/san" -type f -size +0 -exec head -c 3000 {} + 2>/dev/null
	grep -h -m 5 -A 8 ': runtime error: ' "$WORK/log" 2>/dev/null # UBSan's beside ASan go to stderr
}
# The build tree's drivers, copied where the loader accepts them: owned by root, not writable by others.
plugin_args() {
	PLUGDIR=$WORK/plugins
	mkdir -p "$PLUGDIR"
	chmod 755 "$WORK" "$PLUGDIR"
	for _k in graph net volume authz log; do
		mkdir -p "$PLUGDIR/$_k"
		for _so in "$PLUGINS/$_k"/.libs/*.so; do
			[ -e "$_so" ] && cp -L "$_so" "$PLUGDIR/$_k/"
		done
	done
}
# Options of the network and a command before the daemon's: a test that wants the bridge takes the first away and names a
# network namespace of its own, so that no test touches the host's interfaces.
NETARGS="-b none"
NETNS=
# Suites look at groups by their paths: with systemd's own driver, which is the default where it can be, these are others.
GROUPARGS=
[ ! -d /run/systemd/system ] || GROUPARGS="--exec-opt native.cgroupdriver=cgroupfs"
# One with nothing in it but lo, for tests that make networks and look at no packets.
OWN_NET=
own_net() {
	command -v ip >/dev/null && ip netns add "dkd-$$" || skip_all "no network namespaces"
	OWN_NET=dkd-$$
	ip -n "$OWN_NET" link set lo up
	NETNS=/run/netns/$OWN_NET
}
# start_daemon [dockerd args]: waits until it answers; 1 when it ended or never answered
start_daemon() {
	[ -e "$WORK/daemon.json" ] || echo '{}' > "$WORK/daemon.json"
	${NETNS:+nsenter "--net=$NETNS"} "$DOCKERD" $NETARGS $GROUPARGS --config-file "$WORK/daemon.json" \
		"${ROOT_FLAG:---data-root}" "$WORK/root" --exec-root "$WORK/exec" \
		--pidfile "$WORK/docker.pid" -H "unix://$SOCK" --plugin-dir "$PLUGDIR" "$@" >> "$WORK/log" 2>&1 < /dev/null &
	DPID=$!
	for _i in $(seq $((300 * DKD_SLOW))); do
		[ "$(curl -s --max-time 5 --unix-socket "$SOCK" http://d/_ping 2>/dev/null)" = OK ] && return 0
		kill -0 "$DPID" 2>/dev/null || { wait "$DPID"; DSTATUS=$?; DPID=; return 1; }
		sleep 0.1
	done
	return 1
}
stop_daemon() { # [signal]: its exit status
	[ -n "$DPID" ] || return 0
	kill -"${1:-TERM}" "$DPID" 2>/dev/null
	for _i in $(seq $((300 * DKD_SLOW))); do kill -0 "$DPID" 2>/dev/null || break; sleep 0.1; done
	kill -KILL "$DPID" 2>/dev/null && echo "# daemon had to be killed"
	wait "$DPID" 2>/dev/null
	DSTATUS=$?
	DPID=
	return $DSTATUS
}
# pids of this test's shims: they hold files of its scratch folder
shims() {
	for _p in $(pgrep dockerd-shim); do
		ls -l "/proc/$_p/fd" 2>/dev/null | grep -q "$WORK/" && echo "$_p"
	done
	true
}
# Waits until a command prints that: comes WANT COMMAND...
comes() {
	_want=$1
	shift
	for _i in $(seq $((100 * DKD_SLOW))); do [ "$("$@" 2>/dev/null)" = "$_want" ] && return 0; sleep 0.1; done
	return 1
}
# Waits until a file has a line like that.
tells() { # file pattern
	for _i in $(seq $((100 * DKD_SLOW))); do grep -q -- "$2" "$1" 2>/dev/null && return 0; sleep 0.1; done
	return 1
}
listeners() { docker info -f '{{.NEventsListener}}'; }
# RUNTIME=crun: the suite's containers run with that. It refuses controllers of version 2 beside those of version 1: the suite does without the former.
with_runtime() {
	[ -n "${RUNTIME:-}" ] || return 0
	need "$RUNTIME"
	need_apart
	[ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ] || awk '$3 == "cgroup2" { print $2 }' /proc/mounts | while read -r _m; do umount -l "$_m"; done
	printf '{"default-runtime":"%s","runtimes":{"%s":{"path":"%s"}}}\n' "$RUNTIME" "$RUNTIME" "$(command -v "$RUNTIME")" > "$WORK/daemon.json"
}
# Waits until a container has said so. A signal that comes before ends what has no trap yet, or runc's init, with 2.
says() { # container text
	for _i in $(seq $((100 * DKD_SLOW))); do docker logs "$1" 2>&1 | grep -q -- "$2" && return 0; sleep 0.1; done
	return 1
}
load_busybox() { "$top_srcdir/t/tools/mkimage" busybox:latest > "$WORK/busybox.tar" && docker load -q -i "$WORK/busybox.tar"; }

cleanup() {
	trap - EXIT
	[ -n "${WORK:-}" ] || return
	if [ -n "$DPID" ]; then
		docker ps -aq 2>/dev/null | xargs -r "$DOCKER" -H "unix://$SOCK" rm -f >/dev/null 2>&1
		stop_daemon >/dev/null 2>&1
	fi
	[ "${TAP_BAD:-0}" -gt 0 ] && [ -f "$WORK/log" ] && { echo "# last lines of the daemon's log:"; tail -n 25 "$WORK/log" | cut -c1-300 | sed 's/^/# /'; }
	# what a killed daemon left: its shims and their containers (by the scratch folder in their arguments), then mounts
	for _p in /proc/[0-9]*; do
		_a=$( { tr '\0' ' ' < "$_p/cmdline"; } 2>/dev/null) || continue
		case $_a in
		*"$WORK/"*) kill -KILL "${_p#/proc/}" 2>/dev/null ;;
		*dockerd-shim*) ls -l "$_p/fd" 2>/dev/null | grep -q "$WORK/" && kill -KILL "${_p#/proc/}" 2>/dev/null ;;
		esac
	done
	for _d in "$WORK"/exec/runtime*; do
		[ -d "$_d" ] && for _c in "$_d"/*; do [ -d "$_c" ] && runc --root "$_d" delete -f "${_c##*/}" >/dev/null 2>&1; done
	done
	awk -v w="$WORK/" 'index($5, w) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r _m; do umount -l "$_m" 2>/dev/null; done
	[ -z "$OWN_NET" ] || ip netns del "$OWN_NET" 2>/dev/null
	[ -n "${KEEP:-}" ] && cp -r "$WORK/log" "/tmp/dkd-kept-log" 2>/dev/null
	rm -rf "$WORK"
}
