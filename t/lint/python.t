#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A name that a client of the tests does not have is found here, not when a test gets to the line.
set -u
cd "${top_srcdir:-.}" || exit 99
command -v pyflakes3 >/dev/null || { echo "1..0 # SKIP pyflakes3 is not installed"; exit 0; }
found=$(pyflakes3 t/clients/*.py $(grep -rlE -m 1 '^#!.*python3' t bench 2>/dev/null) 2>&1)
if [ -z "$found" ]; then echo "ok 1 - the tests' Python has no unknown names and nothing unused"; else
	echo "not ok 1 - the tests' Python has no unknown names and nothing unused"
	printf '%s\n' "$found" | sed 's/^/# /'
fi
echo "1..1"
