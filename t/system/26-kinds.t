#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The conformance suites of all kinds but graph (26-conformance) on the drivers of the daemon and on the samples, which are then
# broken one line at a time: the suite says so.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need cc ip
scratch
mkdir "$WORK/disk"
so() { echo "$top_builddir/plugins/$1/.libs/$2.so"; }
check() { # driver, options
	"$top_builddir/dockerd-check-driver" --root "$WORK/disk" "${@:2}" "$1" > "$WORK/tap" 2>&1
}
# The suite's checks are summed up in one of this test's: what failed is shown.
passes() { # name of the check, file, options
	check "${@:2}"
	local status=$?
	if [ $status = 77 ]; then
		skip "$1" "$(sed -n 's/^1\.\.0 # SKIP //p' "$WORK/tap")"
		return
	fi
	[ $status = 0 ] && [ "$(grep -c '^ok' "$WORK/tap")" -gt 8 ] && grep -qx "1\.\.$(grep -cE '^(not )?ok' "$WORK/tap")" "$WORK/tap"
	ok "$1" || grep -vE '^ok' "$WORK/tap" | head -40 | sed 's/^/# /'
}
for n in none host overlay; do passes "net: $n" "$(so net $n)"; done
passes "net: macvlan" "$(so net macvlan)" --option parent=check0
if ip link add "dkd$$" type dummy 2> /dev/null; then
	ip link del "dkd$$"
	passes "net: ipvlan" "$(so net ipvlan)" --option parent=check0
else
	skip "net: ipvlan" "the kernel lacks it as it lacks other kinds of links"
fi
command -v nft > /dev/null && passes "net: bridge" "$(so net bridge)"
passes "volume: local" "$(so volume local)"
passes "authz: policy" "$(so authz policy)" --config authz.policy.default=allow
for n in syslog journald fluentd; do passes "log: $n" "$(so log $n)"; done
passes "log: gelf" "$(so log gelf)" --option gelf-address=udp://127.0.0.1:9
passes "log: tee" "$(so log tee)" --option drivers=syslog

umask 022
OPTIONS=
build() { # sample [sed-script]: $WORK/sample.so
	sed "${2:-}" "$top_srcdir/docs/samples/$1.c" > "$WORK/$1.c"
	[ -z "${2:-}" ] || ! cmp -s "$WORK/$1.c" "$top_srcdir/docs/samples/$1.c" || return 1
	cc -Wall -fPIC -shared -fvisibility=hidden -Wl,-z,defs "-I$top_srcdir/plugins/include" "$WORK/$1.c" -o "$WORK/$1.so" 2> "$WORK/cc.log"
	case $1 in
	cable) OPTIONS="--option bridge=check2" ;;
	append) OPTIONS="--option path=$WORK/lines" ;;
	*) OPTIONS= ;;
	esac
}
build append
"$DOCKERD" --config-file /dev/null --check-driver "$WORK/append.so" --data-root "$WORK/disk" --log-opt "path=$WORK/lines" > "$WORK/tap" 2>&1; ok "dockerd --check-driver hands --log-opt on"
for sample in copies cable shelf look append ladder; do
	build $sample
	# shellcheck disable=SC2086
	passes "the sample $sample" "$WORK/$sample.so" $OPTIONS
done
# A driver with one fault, and the words of the check that finds it.
finds() { # sample, case, fault, check that fails, sed-script
	local case=$2
	set -- "$1" "${@:3}"
	build "$1" "$4" || { ok "$1: $2 can be built in"; return; }
	# shellcheck disable=SC2086
	check "$WORK/$1.so" --case "$case" $OPTIONS
	is $? 1 "$1: $2: does not pass"
	like "$(grep '^not ok' "$WORK/tap")" "$3" "and the check is told"
}
finds copies layers "a layer that is removed stays" "removed" '/rename(path, gone) < 0/s/rename(path, gone)/0/'
finds cable endpoints "wires that stay when a container leaves" "no interface stays behind" '/\.leave = /d'
finds cable endpoints "an interface that is not there" "with an interface" '/done\.interface_name/s/far/"nosuch"/'
finds shelf volumes "unknown options are taken" "an option that nobody knows" '/unknown option/s/return .*/continue;/; s/^\(.*strcmp(create->options\[i\]\.key, "mode") != 0)\)$/\1/'
finds shelf volumes "a volume that is removed stays" "none of them is left" 's/if (nftw(/if (0 \&\& nftw(/'
finds look requests "a refusal without a reason" "denied with one reason" '/reason(to, /d'
finds append records "more is taken than there was" "records of each kind" 's/for (\*taken = 0; \*taken < len; ++\*taken)/*taken = len + 1; for (uint32_t i = 0; i < len; i++)/; s/&records\[\*taken\]/\&records[i]/'
finds append options "unknown options are taken" "an option that nobody knows" 's/strcmp(options\[i\]\.key, "path") != 0 \&\& /0 \&\& /'
finds ladder addresses "an address twice" "twice" 's/O_CREAT | O_EXCL/O_CREAT/'
finds ladder restart "what was taken is forgotten at the next start" "taken still" 's/^static int32_t ladder_open(.*/static int take_none;\n&/; s/if (take(i, pool, a) < 0)$/if (take_none)/'
is "$(find "$WORK/disk" -mindepth 1 | head -3)" "" "nothing stays behind"
done_testing
