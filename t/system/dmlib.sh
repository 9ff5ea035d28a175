# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced behind lib.sh by suites on devicemapper. What was there before is not theirs: the host may have such a Docker of its own.
DM_BEFORE=$(dmsetup ls 2>/dev/null | awk '{ print $1 }')
# dm_own [dmsetup ls options]: names of the engines' devices
dm_own() { dmsetup ls "$@" 2>/dev/null | awk '/^docker-[0-9t]|^dkdtest/ { print $1 }' | grep -vxF "${DM_BEFORE:-none}"; }
# In rounds: a pool goes behind its devices.
dm_remove_own() { for _i in 1 2 3 4 5; do dm_own | xargs -r -n 1 dmsetup remove 2>/dev/null; done; }
