#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The public headers beside those of the version that is frozen (t/abi/1.0): what a driver that was built from these relies on
# is where it was. Tables and structs may only grow at their end.
src=${top_srcdir:-.}
frozen=$src/t/abi/1.0
now=$src/plugins/include
n=0
failed=0
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
ok() { # status description
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; failed=1; [ ! -s "$tmp/log" ] || sed 's/^/# /' "$tmp/log"; fi
}
if ! command -v cc >/dev/null || ! command -v abidw >/dev/null; then
	echo "1..0 # SKIP no cc or no abidw (package abigail-tools)"
	exit 0
fi
shapes() { # include-folder result
	cc -std=gnu99 -g -fno-eliminate-unused-debug-types -fPIC -shared -fvisibility=hidden "-I$1" "$src/t/abi/shapes.c" -o "$2"
}
compare() { # old new
	abidw --no-show-locs "$1" >"$tmp/old.xml" && abidw --no-show-locs "$2" >"$tmp/new.xml" &&
		python3 -B "$src/t/abi/shapes.py" "$tmp/old.xml" "$tmp/new.xml" >"$tmp/log" 2>&1
}
# Names of constants and their values; versions are what they are.
constants() { # include-folder
	for h in driver authz graph ipam log net volume; do echo "#include <dockerd/$h.h>"; done | cc -E -dM "-I$1" -x c - |
		grep -E '^#define DKD_[A-Z0-9_]+ .' | grep -vE '_MINOR |DKD_EXPORT ' | LC_ALL=C sort
}

shapes "$frozen" "$tmp/frozen.so"; ok $? "the frozen headers compile"
shapes "$now" "$tmp/now.so"; ok $? "today's headers compile"
compare "$tmp/frozen.so" "$tmp/now.so"; ok $? "nothing in them moved, went or changed its type"
constants "$frozen" >"$tmp/a"; constants "$now" >"$tmp/b"
LC_ALL=C comm -23 "$tmp/a" "$tmp/b" >"$tmp/log"; [ -s "$tmp/a" ] && [ ! -s "$tmp/log" ]; ok $? "no constant went or changed its value"

# The check itself: what is allowed passes, what is not does not.
changed() { # sed-script: headers with one change in graph.h
	rm -rf "$tmp/inc"
	cp -r "$now" "$tmp/inc"
	chmod -R u+w "$tmp/inc"
	sed -i "$1" "$tmp/inc/dockerd/graph.h"
	! cmp -s "$now/dockerd/graph.h" "$tmp/inc/dockerd/graph.h" && shapes "$tmp/inc" "$tmp/changed.so"
}
refused() { # sed-script: what the check says of it, once
	changed "$1" && ! compare "$tmp/now.so" "$tmp/changed.so" && [ "$(wc -l <"$tmp/log")" = "${2:-1}" ]
}
changed '/^	int32_t (\*sync_layer)/a\	int32_t (*later)(struct dkd_graph *g);' && compare "$tmp/now.so" "$tmp/changed.so"; ok $? "an operation at the end is allowed"
changed '/^	int32_t userns; /,/^};/s/^	uint32_t pad;/&\n	uint64_t later;/' && compare "$tmp/now.so" "$tmp/changed.so"; ok $? "and so is a member"
refused 's/(\*put)(const struct dkd_call \*call, struct dkd_graph \*g, const char \*id)/(*put)(const struct dkd_call *call, struct dkd_graph *g, char id)/'
ok $? "another argument is not"
refused 's/(\*exists)(/(*exists)(int32_t one, /'; ok $? "nor one more"
refused '/^	uint32_t flags;                 \/\* DKD_GRAPH_RW/s/flags/others/' 2; ok $? "nor another name"
refused '/^	int32_t (\*remove)/{h;d}; /^	int32_t (\*exists)/G' 2; ok $? "nor another order"
echo "1..$n"
exit $failed
