#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The named limits, small: N containers at once, ATTACHES attachments, LISTENERS of the events of which STUCK never read; NETWORKS in turn;
# PS_MS is how long a list may take. In full: N=1000 ATTACHES=100 LISTENERS=200 STUCK=50 PS_MS=100, NETWORKS=none and NETWORKS=bridge.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
N=${N:-60} ATTACHES=${ATTACHES:-10} LISTENERS=${LISTENERS:-30} STUCK=${STUCK:-8} PS_MS=${PS_MS:-2000}
PY=${PYTHON3:-/usr/bin/python3}
left() {
	printf 'shims %s mounts %s ' "$(shims | wc -l)" "$(grep -c "$WORK/.*/merged\|$WORK/exec/netns/." /proc/self/mountinfo)"
	for _d in exec/containers exec/runtime exec/netns exec/sandboxes root/containers root/image/*/layerdb/mounts; do
		printf '%s ' "$(ls "$WORK"/$_d 2>/dev/null | wc -l)"
	done
}
start_daemon
ok "starts" || done_testing
load_busybox > /dev/null
docker run --rm busybox true
ok "a container runs"
none=$(left)
while IFS= read -r line; do
	case $line in
	"ok - "*) true; ok "${line#ok - }" ;;
	"not ok - "*) false; ok "${line#not ok - }" ;;
	*) echo "$line" ;;
	esac
	last=$line
done < <("$PY" -B "$top_srcdir/t/clients/limits.py" "$SOCK" "$DPID" "$N" "$ATTACHES" "$LISTENERS" "$STUCK" "${NETWORKS:-none bridge}" "$PS_MS" "$DKD_SLOW" 2>&1; echo "# status $?")
is "$last" "# status 0" "the client came to its end"
for _i in $(seq $((100 * DKD_SLOW))); do [ "$(left)" = "$none" ] && break; sleep 0.1; done
is "$(left)" "$none" "nothing is left of them"
gone 0 "nor an interface"
stop_daemon
is "$DSTATUS" 0 "ends"
done_testing
