#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# N containers over the death of their daemon (AWAY seconds without one), over its SIGTERM with --live-restore, and without.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc
find_docker
scratch
: "${WORK:?}"
N=${N:-12} AWAY=${AWAY:-1}
now() { date +%s%N; }
begin() { # what, daemon's arguments: starts, soon
	_what=$1
	shift
	_t=$(now)
	start_daemon "$@"
	ok "$_what: starts" || done_testing
	_t=$((($(now) - _t) / 1000000))
	echo "# answered after $_t ms"
	[ "$_t" -lt $((1000 * DKD_SLOW)) ]
	ok "$_what: within a second"
}
# the state of each, its process, and whether that lives
facts() {
	docker ps -aq --no-trunc | xargs "$DOCKER" -H "unix://$SOCK" inspect -f '{{.Name}} {{.State.Status}} {{.State.Pid}}' | sort
}
alive() { while read -r _ _ _p; do [ "$_p" -gt 0 ] && kill -0 "$_p" 2>/dev/null && echo "$_p"; done | wc -l; }
start_daemon
ok "starts" || done_testing
load_busybox > /dev/null
# four of them talk, without a pause that a dead daemon would see
for i in 1 2 3 4; do
	docker run -d --name "talks$i" --stop-timeout 1 --network none busybox sh -c 'i=0; while :; do i=$((i + 1)); echo $i; usleep 20000; done' > /dev/null
done
seq $((N - 5)) | xargs -P 4 -I{} "$DOCKER" -H "unix://$SOCK" run -d --name m{} --stop-timeout 1 --network none busybox sleep 1000 > /dev/null
docker run -d --name held --stop-timeout 1 --network none busybox sleep 1000 > /dev/null
docker pause held > /dev/null
was=$(facts)
is "$(printf '%s\n' "$was" | wc -l) $(printf '%s\n' "$was" | alive)" "$N $N" "$N run"
if [ -z "$SANITIZED" ]; then
	pss=$(for p in $(shims); do awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup"; done | awk '{ n += $1 } END { print int(n / NR) }')
	[ "$pss" -le 600 ]
	ok "their monitors take at most 0.6 MB each"
	echo "# $pss kB"
fi
goes_on() { # what
	is "$(diff <(printf '%s\n' "$was") <(facts))" "" "$1: all are what they were, the paused one, too"
	is "$(docker exec talks1 echo in)" in "$1: exec"
	bad=
	for i in 1 2 3 4; do
		docker logs "talks$i" > "$WORK/log.$i"
		awk 'NR != $1 { exit 1 }' "$WORK/log.$i" || bad="$bad $i"
		for _i in $(seq $((100 * DKD_SLOW))); do
			[ "$(docker logs "talks$i" | wc -l)" -gt "$(wc -l < "$WORK/log.$i")" ] && continue 2
			sleep 0.1
		done
		bad="$bad $i stands"
	done
	is "$bad" "" "$1: no line is lost"
}
stop_daemon KILL 2> /dev/null
sleep "$AWAY"
begin "killed" --live-restore
goes_on "killed"
stop_daemon
is "$DSTATUS" 0 "live-restore: ends"
sleep "$AWAY"
begin "live-restore"
goes_on "live-restore"
_t=$(now)
stop_daemon
is "$DSTATUS" 0 "SIGTERM: ends"
_t=$((($(now) - _t) / 1000000))
echo "# after $_t ms"
[ "$_t" -le $(((4000 + 50 * N) * DKD_SLOW)) ]
ok "SIGTERM: within their time-out, and what so many ends take"
is "$(printf '%s\n' "$was" | alive) $(shims | wc -l)" "0 0" "SIGTERM: none lives, nor a shim"
begin "SIGTERM"
is "$(facts | grep -vc ' exited 0$')" 0 "SIGTERM: all are said to have ended"
is "$(grep -c "$WORK/root/.*/merged" /proc/self/mountinfo) $(find "$WORK/exec/containers" "$WORK/exec/runtime" -mindepth 1 | wc -l)" "0 0" "SIGTERM: nothing is left"
stop_daemon
done_testing
