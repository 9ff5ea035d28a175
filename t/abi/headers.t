#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The public headers: each compiles alone, as strict C99 and as C++, and holds to the ABI's rules; a driver is built from
# them alone and exports one symbol.
inc=${top_srcdir:-.}/plugins/include
n=0
failed=0
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT

check() { # description command...
	what=$1; shift
	n=$((n + 1))
	if "$@" >"$tmp/log" 2>&1; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		sed 's/^/# /' "$tmp/log"
		failed=1
	fi
}
skip() {
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}
alone() { # header compiler...
	echo "#include <dockerd/$1.h>" >"$tmp/alone.c"
	shift
	"$@" -Wall -Wextra -Werror -pedantic-errors -fsyntax-only "-I$inc" "$tmp/alone.c"
}
clean() { # header: nothing whose size a compiler chooses
	! sed 's,/\*.*\*/,,' "$inc/dockerd/$1.h" | grep -nwE 'bool|_Bool|enum|off_t|size_t|long|short' | grep -v '^[0-9]*: \*'
}
one_symbol() {
	[ "$(nm -D --defined-only "$1" | awk '{ print $3 }')" = dkd_driver_entry ]
}

for h in driver graph net volume authz log ipam; do
	if command -v cc >/dev/null; then
		check "$h.h compiles alone as C99" alone $h cc -std=c99 -x c
		check "$h.h compiles alone as C11" alone $h cc -std=c11 -x c
	else
		skip "$h.h as C" "no cc here"
	fi
	if command -v g++ >/dev/null; then
		check "$h.h compiles alone as C++98" alone $h g++ -std=c++98 -x c++
		check "$h.h compiles alone as C++17" alone $h g++ -std=c++17 -x c++
	else
		skip "$h.h as C++" "no g++ here"
	fi
	check "$h.h has no type of an open size" clean $h
	check "$h.h is headed by its changes" grep -q '^ \* Changes$' "$inc/dockerd/$h.h"
done
if command -v cc >/dev/null; then
	check "a driver is built from the headers alone" cc -std=gnu99 -Wall -Wextra -Werror -fPIC -shared -fvisibility=hidden -Wl,-z,defs \
		"-I$inc" -DNAME=stranger "${top_srcdir:-.}/t/abi/fixture.c" -o "$tmp/stranger.so"
	check "and exports one symbol" one_symbol "$tmp/stranger.so"
	for f in "${top_srcdir:-.}"/docs/samples/*.c; do
		name=$(basename "$f" .c)
		check "the sample $name is built" cc -std=gnu99 -Wall -Wextra -Werror -pedantic -fPIC -shared -fvisibility=hidden -Wl,-z,defs \
			"-I$inc" "$f" -o "$tmp/$name.so"
		check "and exports one symbol" one_symbol "$tmp/$name.so"
	done
else
	skip "a driver built from the headers alone" "no cc here"
fi
for d in "${top_builddir:-.}"/plugins/*/.libs/*.so; do
	check "${d##*/} exports one symbol" one_symbol "$d"
done
echo "1..$n"
exit $failed
