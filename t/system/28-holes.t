#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Ways around authorization, against a driver that judges bodies; the chain's order and its change at SIGHUP.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 busybox
find_docker
scratch
[ -e "$top_builddir/t/abi/.libs/judge.so" ] || skip_all "no judge.so: make check builds it"
cp -L "$top_builddir/t/abi/.libs/judge.so" "$PLUGDIR/authz/"
chain() { # PLUGINS RULE
	printf '{"authorization-plugins":[%s],"authz.policy":{"rule":"%s"}}' "$1" "$2" > "$WORK/daemon.json"
}
chain '"judge"' 'allow * *'
start_daemon; ok "starts" || done_testing
python3 "$top_srcdir/t/clients/authz.py" "$SOCK" > "$WORK/tap"; st=$?
grep -E '^(not ok|#)' "$WORK/tap"
(exit $st); ok "ways around: $(grep -c '^ok' "$WORK/tap") checks"
asked() { api POST /volumes/create -H "Content-Type: application/json" -d "$1"; }
made() { api_status POST /volumes/create -H 'Content-Type: application/json' -d '{"Name":"vol"}'; }
text() { asked '{"Name":"vol","x":{"Privileged":true}}'; }
is "$(text)" '{"message":"authorization denied by plugin judge: privileged"}' "denied"
hup() { _n=$(grep -c 'reload configuration' "$WORK/log"); kill -HUP "$DPID"; comes $((_n + 1)) grep -c 'reload configuration' "$WORK/log"; }
# plugins come and go while the daemon runs
chain '' 'allow * *'; hup; comes 201 made; ok "SIGHUP: a plugin less"
is "$(asked '{"Name":"other","x":{"Privileged":true}}' | grep -c denied)" 0 "nobody denies"
chain '"policy","judge"' 'deny POST /volumes/create by rule'; hup
comes '{"message":"authorization denied by plugin policy: by rule"}' text; ok "SIGHUP: two, the first no counts"
is "$(docker info -f '{{json .Plugins.Authorization}}')" '["policy","judge"]' "docker info names both"
chain '"judge","policy"' 'deny POST /volumes/create by rule'; hup
comes '{"message":"authorization denied by plugin judge: privileged"}' text; ok "SIGHUP: in another order"
is "$(made)" 403 "both are asked"
chain '"judge","nosuch"' 'allow * *'; hup
tells "$WORK/log" 'Error reconfiguring the daemon: authorization plugin nosuch'; ok "one that is not there: said"
is "$(made)" 403 "and the chain stays"
stop_daemon; is "$DSTATUS" 0 "stops"
done_testing
