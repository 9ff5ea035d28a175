#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The crash test, a few rounds of it; t/crash/crash.py says how to run more.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need python3 busybox runc ip nft unshare
unshare --pid --fork --net --mount nft list tables >/dev/null 2>&1 || skip_all "no namespaces, or no nftables in this kernel"
modes=kill
if command -v mkfs.ext4 >/dev/null && losetup -f >/dev/null 2>&1; then
	modes="kill powercut"
else
	skip "power cuts" "no mkfs.ext4, or no loop device"
fi
for mode in $modes; do
	[ $mode = kill ] && some="churn pull mixed" || some="squash volume mixed"
	out=$(MODE=$mode ROUNDS=${ROUNDS:-1} SEED=${SEED:-$$} WORKLOADS="${WORKLOADS:-$some}" \
		timeout -k 10 "${CRASH_TIMEOUT:-100}" python3 "$top_srcdir/t/crash/crash.py" 2>&1)
	printf '%s\n' "$out" | sed -n 's/^\(not ok\|ok\) - /\1 /p' > "${TMPDIR:-/tmp}/dkd-crash-$$"
	printf '%s\n' "$out" | grep -v -e '^ok' -e '^not ok' | sed 's/^#* */# /' | cut -c1-300
	while read -r result text; do
		case $result in not) false ;; *) true ;; esac
		ok "${text#ok }"
	done < "${TMPDIR:-/tmp}/dkd-crash-$$"
	grep -q 'addresses$' "${TMPDIR:-/tmp}/dkd-crash-$$"; ok "$mode: came to its end"
	rm -f "${TMPDIR:-/tmp}/dkd-crash-$$"
done
done_testing
