#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Managed plugins of each kind: what they serve is reached, they are not taken away from who needs them, and one that collects figures gets them.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
need python3 jq
need_apart
. "$(dirname "$0")/managedlib.sh" || exit 1
start_daemon; ok "the daemon is up" || done_testing
load_busybox > /dev/null
for k in tell:logdriver judge:authz figures:metricscollector; do
	plugin_folder "$WORK/${k%:*}" "${k#*:}" && docker plugin create "me/${k%:*}" "$WORK/${k%:*}" > /dev/null && docker plugin enable "me/${k%:*}" > /dev/null
	ok "a plugin of type ${k#*:}"
done
plugin_folder "$WORK/wires" networkdriver ipamdriver
cp "$top_srcdir/t/clients/network-plugin.py" "$WORK/wires/rootfs/plugin.py"
plugin_change "$WORK/wires" '.Network.Type = "host" | .Entrypoint[3] = "/state/heard" | .Linux.Capabilities = ["CAP_NET_ADMIN"]'
docker plugin create me/wires "$WORK/wires" > /dev/null && docker plugin enable me/wires > /dev/null; ok "one of networks and addresses"
used() { like "$(docker plugin disable "$1" 2>&1)" "plugin $1:latest is in use" "$2: not disabled"; like "$(docker plugin rm "$1" 2>&1)" "plugin $1:latest is in use" "nor removed"; }

docker network create -d me/wires --ipam-driver me/wires --subnet 10.66.0.0/24 n > /dev/null; ok "a network of it"
docker run -d --name box --network n busybox sleep 1000 > /dev/null; ok "a container on it" || tail -3 "$WORK/log" | sed 's/^/# /'
like "$(docker exec box ip addr)" 'plug0' "with a wire of its name"
used me/wires "one with a network"
docker rm -f box > /dev/null; docker network rm n > /dev/null
docker network create --ipam-driver me/wires --subnet 10.67.0.0/24 m > /dev/null; used me/wires "one that gives a network's addresses"
docker network rm m > /dev/null; docker plugin disable me/wires > /dev/null; ok "it is when they are gone"

docker create --name idle --network none --log-driver me/tell busybox true > /dev/null
docker run -d --name talks --network none --log-driver me/tell busybox sh -c 'echo spoken; sleep 1000' > /dev/null; ok "a container logs to one" || tail -3 "$WORK/log" | sed 's/^/# /'
soon "which hears it" grep -q spoken "$(plugin_state me/tell)/logged"
used me/tell "one that is logged to"
docker rm -f talks > /dev/null; docker plugin disable me/tell > /dev/null; ok "it is when nobody does that runs"
docker rm idle > /dev/null

S=$(plugin_state me/figures)
like "$(cat "$S/figures")" 'engine_daemon_engine_info' "figures come where they are collected"
is "$(jq -r .method "$S/requests" | tr '\n' ' ')" "MetricsCollector.StartMetrics " "it was told to start, and asked nothing else"
docker plugin disable me/figures > /dev/null
is "$(jq -r .method "$WORK/root/plugins/$(docker plugin inspect -f '{{.Id}}' me/figures)/propagated-mount/requests" | tail -n 1)" MetricsCollector.StopMetrics "and to stop"
rm "$S/figures"; docker plugin enable me/figures > /dev/null; like "$(cat "$S/figures")" 'engine_daemon_engine_info' "again"
rm "$S/figures"; stop_daemon

start_daemon --authorization-plugin me/judge; ok "the daemon starts with one that judges requests" || tail -3 "$WORK/log" | sed 's/^/# /'
like "$(cat "$S/figures")" 'engine_daemon_engine_info' "figures come after a start"
echo /images > "$(plugin_state me/judge)/deny"
like "$(docker images 2>&1)" 'authorization denied by plugin me/judge: the plugin says no to /images' "it is asked"
used me/judge "one that judges"
docker plugin disable -f me/judge > /dev/null; ok "by force it is"
docker images > /dev/null; ok "and judges no more"
docker plugin enable me/judge > /dev/null; kill -HUP "$DPID"
soon "but after the next reload" sh -c "$DOCKER -H unix://$SOCK images 2>&1 | grep -q 'says no to /images'"
docker plugin rm -f me/judge > /dev/null; ok "rm, by force"
plugin_folder "$WORK/shy" authz
plugin_change "$WORK/shy" '.Entrypoint = ["/bin/sh", "-c", "[ -e /state/tried ] || { : > /state/tried; exit 1; }; exec /usr/bin/python3 /plugin.py /run/docker/plugins/p.sock /state"]'
docker plugin create me/shy "$WORK/shy" > /dev/null
! docker plugin enable me/shy > /dev/null 2>&1; ok "one that fails the first time"
docker plugin enable me/shy > /dev/null; rm "$(plugin_state me/shy)/tried"
stop_daemon
start_daemon --authorization-plugin me/shy; ok "a daemon waits for one that fails the first time" || tail -3 "$WORK/log" | sed 's/^/# /'
docker plugin rm -f me/shy > /dev/null
stop_daemon
start_daemon --authorization-plugin me/judge; is "$?" 1 "no start with a judge who is not there"
like "$(tail -n 3 "$WORK/log")" 'me/judge.*not found' "in words"
done_testing
