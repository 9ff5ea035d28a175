#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Networks of other drivers than the bridge through the daemon: macvlan on an interface of the host, and a plugin of Docker's protocol that is a
# process of its own and gives wires and addresses.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
need python3
mkdir "$WORK/sockets"
printf '[net.remote]\nsockets = %s\n[ipam.remote]\nsockets = %s\n' "$WORK/sockets" "$WORK/sockets" > "$WORK/d.ini"
nsenter "--net=$NETNS" python3 "$top_srcdir/t/clients/network-plugin.py" "$WORK/sockets/wires.sock" "$WORK/heard" &
PLUGIN=$!
trap 'kill $PLUGIN 2>/dev/null; cleanup; undo_networks' EXIT
start_daemon --config-file "$WORK/d.ini"
ok "the daemon is up" || done_testing
load_busybox >/dev/null
ip_on() { docker inspect -f "{{(index .NetworkSettings.Networks \"$2\").IPAddress}}" "$1"; }

docker network create -d macvlan --subnet 198.51.100.0/24 --gateway 198.51.100.2 --ip-range 198.51.100.64/26 -o parent=dkdv0 lan > /dev/null
ok "a macvlan network" || tail -2 "$WORK/log" | sed 's/^/# /'
like "$(docker network inspect lan)" '"parent": "dkdv0"' "its options"
docker run -d --name box --network lan busybox sleep 100000 > /dev/null; ok "a container on it" || tail -2 "$WORK/log" | sed 's/^/# /'
docker run -d --name tin --network lan --ip 198.51.100.99 busybox sleep 100000 > /dev/null; ok "another, with an address of its choice"
is "$(ip_on tin lan)" 198.51.100.99 "which it has"
like "$(ip_on box lan)" '^198\.51\.100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])$' "the first has one of the range"
soon "they meet" docker exec box ping -c 1 -W 2 198.51.100.99
soon "by name" docker exec box ping -c 1 -W 2 tin
soon "the wire's other end is a neighbour" docker exec box ping -c 1 -W 2 198.51.100.2
soon "which finds them, too" outside busybox ping -c 1 -W 2 198.51.100.99
like "$(docker exec box ip route)" 'default via 198\.51\.100\.2 dev eth0' "its way out"
like "$(docker network create -d macvlan -o parent=dkdv0 -o macvlan_mode=passthru --subnet 10.55.0.0/24 alone 2>&1)" "cannot use mode passthru" "passthru wants the interface alone"
like "$(docker network create -d macvlan -o parent=nosuch --subnet 10.55.0.0/24 none9 2>&1)" "invalid subinterface vlan name nosuch" "a parent that is not there"
unlike "$(docker network ls)" "alone|none9" "nothing is left of those"
kill -9 "$DPID"; wait "$DPID" 2>/dev/null; DPID=
start_daemon --config-file "$WORK/d.ini"; ok "the daemon starts again after kill -9"
soon "they meet still" docker exec box ping -c 1 -W 2 tin
docker network disconnect lan tin; ok "one is disconnected"
unlike "$(docker exec tin ip addr)" "198.51.100" "and has no address there"
docker network connect --ip 198.51.100.99 lan tin; ok "and connected"
soon "it is found again" docker exec box ping -c 1 -W 2 198.51.100.99
docker rm -f box tin > /dev/null
docker network rm lan > /dev/null; ok "the network goes"
here ip link show dkdv0 > /dev/null; ok "the interface stays"

# A network that its driver cannot have when the daemon comes back: who runs there stays whole, and keeps the address.
here ip link add dkdp0 type veth peer name dkdp1
here ip link set dkdp0 up
here ip link set dkdp1 up
docker network create -d macvlan --subnet 10.61.0.0/24 -o parent=dkdp0 lost > /dev/null
docker network create close > /dev/null
docker run -d --name other --network close busybox sleep 100000 > /dev/null
docker run -d --name stays --network lost busybox sleep 100000 > /dev/null
docker network connect close stays; ok "a container on a macvlan network and another"
kill -9 "$DPID"; wait "$DPID" 2>/dev/null; DPID=
here ip link set dkdp0 down
here ip link set dkdp0 name dkdq0
start_daemon --config-file "$WORK/d.ini"; ok "the daemon starts without the parent"
like "$(cat "$WORK/log")" "stays on network lost, of which its driver does not know" "and says so"
soon "the container has its resolver" docker exec stays ping -c 1 -W 2 other
soon "and its names" docker exec other ping -c 1 -W 2 stays
like "$(docker network inspect lost)" '"Name": "stays"' "it is on both networks"
like "$(docker run --rm --network lost busybox true 2>&1)" "network lost could not be brought back: invalid subinterface" "nobody else comes there"
here ip link set dkdq0 name dkdp0
here ip link set dkdp0 up
docker run -d --name late --network lost busybox sleep 100000 > /dev/null; ok "until the parent is back" || tail -2 "$WORK/log" | sed 's/^/# /'
is "$(ip_on stays lost) $(ip_on late lost)" "10.61.0.2 10.61.0.3" "each has an address of its own"
soon "they meet" docker exec late ping -c 1 -W 2 stays
docker network disconnect lost stays; ok "the first leaves"
unlike "$(docker exec stays ip addr)" "10\.61\.0" "and has no address there"
docker rm -f other stays late > /dev/null
docker network rm lost close > /dev/null; ok "all go"
here ip link del dkdp0

# Networks that lead nowhere: the daemon's own bridge network leads out.
docker network create -d macvlan --ipam-driver null -o parent=dkdv0 bare > /dev/null; ok "a network without addresses" || tail -2 "$WORK/log" | sed 's/^/# /'
docker network create --internal inner > /dev/null
docker run -d --name in --network inner busybox sleep 100000 > /dev/null
unlike "$(docker network ls)" docker_gwbridge "an internal network needs no way out"
docker run -d --name go --network bare -p 8088:80 busybox sh -c 'mkdir /w && echo hello > /w/index.html && exec httpd -f -p 80 -h /w' > /dev/null
ok "a container there" || tail -2 "$WORK/log" | sed 's/^/# /'
docker run -d --name gone --network bare busybox sleep 100000 > /dev/null; ok "and another"
hello() { [ "$(outside curl -s -m 3 --noproxy '*' http://198.51.100.1:8088/)" = hello ]; }
gw=$(docker exec go ip -4 -o addr show dev eth1 | awk '{ sub("/.*", "", $4); print $4 }')
like "$(docker exec go ip route)" "default via $(docker network inspect -f '{{(index .IPAM.Config 0).Gateway}}' docker_gwbridge) dev eth1" "the way out is by docker_gwbridge"
soon "packets go out" docker exec go ping -c 1 -W 2 198.51.100.2
soon "what is published comes in there" hello
like "$(docker port go)" "80/tcp -> 0.0.0.0:8088" "and is shown"
id=$(docker inspect -f '{{.Id}}' go)
is "$(docker network inspect -f "{{(index .Containers \"$id\").Name}} {{(index .Containers \"$id\").IPv4Address}}" docker_gwbridge)" \
	"gateway_${id:0:12} $gw/24" "the network shows it by a name of its own"
is "$(docker network inspect -f '{{index .Options "com.docker.network.bridge.enable_icc"}} {{index .Options "com.docker.network.bridge.name"}} {{.Driver}} {{.Scope}}' docker_gwbridge)" \
	"false docker_gwbridge bridge local" "as in Docker"
is "$(docker inspect -f '{{len .NetworkSettings.Networks}}' go)" 1 "the container does not"
unlike "$(docker exec go cat /etc/hosts)" "$gw" "nor do its files"
docker exec go ping -c 1 -W 1 "$(docker exec gone ip -4 -o addr show dev eth1 | awk '{ sub("/.*", "", $4); print $4 }')" > /dev/null; [ $? = 1 ]
ok "two containers do not meet there"
like "$(docker network disconnect docker_gwbridge go 2>&1)" "is not connected to" "nobody is disconnected from it"
like "$(docker network rm docker_gwbridge 2>&1)" "has active endpoints .*name:\"gateway_" "it is in use"
docker network create road > /dev/null
docker network connect road go; ok "a network that leads out comes"
unlike "$(docker network inspect docker_gwbridge)" "$id" "and the own way goes"
unlike "$(docker exec go ip -o addr)" "$gw" "with its interface"
like "$(docker exec go ip route)" "default via [0-9.]+ dev eth2" "there is another way out"
soon "the ports followed" hello
kill -9 "$DPID"; wait "$DPID" 2>/dev/null; DPID=
start_daemon --config-file "$WORK/d.ini"; ok "the daemon starts again after kill -9"
soon "who had the own way out has it still" docker exec gone ping -c 1 -W 2 198.51.100.2
docker network disconnect road go; ok "the network is left"
soon "the own way is back" docker exec go ping -c 1 -W 2 198.51.100.2
soon "with the ports" hello
docker network connect inner go
docker network disconnect bare go; ok "only an internal network is left"
unlike "$(docker exec go ip route)" default "which leads nowhere"
! hello; ok "and no port comes in"
docker network connect bare in; ok "a container of an internal network comes to one that could do with a way out"
soon "and gets it" docker exec in ping -c 1 -W 2 198.51.100.2
docker rm -f go gone in > /dev/null
docker network rm docker_gwbridge > /dev/null; ok "the way goes, too"
for i in 1 2 3 4; do docker create --name "m$i" --network bare busybox sleep 100000 > /dev/null; done
for i in 1 2 3 4; do docker start "m$i" > /dev/null & STARTS="${STARTS:-} $!"; done
# shellcheck disable=SC2086
wait $STARTS
is "$(docker network inspect -f '{{len .Containers}}' docker_gwbridge)" 4 "who comes at once gets it all the same"
is "$(docker network ls -q -f name=docker_gwbridge | wc -l)" 1 "the one that there is"
docker rm -f m1 m2 m3 m4 > /dev/null
docker network rm docker_gwbridge bare road inner > /dev/null; ok "all go"

docker network create -d wires --ipam-driver wires -o colour=blue foreign > /dev/null
ok "a network of a plugin" || tail -2 "$WORK/log" | sed 's/^/# /'
is "$(docker network inspect -f '{{.Driver}} {{.IPAM.Driver}} {{(index .IPAM.Config 0).Subnet}}' foreign)" "wires wires 10.66.1.0/24" "with its addresses"
docker run -d --name one --network foreign busybox sleep 100000 > /dev/null; ok "a container on it" || tail -2 "$WORK/log" | sed 's/^/# /'
docker run -d --name two --network foreign busybox sleep 100000 > /dev/null; ok "another"
like "$(docker exec one ip addr)" 'plug0' "its interface has the plugin's name"
mac=$(docker inspect -f '{{(index .NetworkSettings.Networks "foreign").MacAddress}}' one)
is "$(docker exec one cat /sys/class/net/plug0/address)" "$mac" "and the MAC that the plugin was told for the address"
like "$(grep RequestAddress "$WORK/heard")" "macaddress\": \"$mac" "as it wants to hear"
like "$(docker exec one ip route)" '10\.200\.0\.0/16 dev plug0' "and route"
soon "they meet" docker exec one ping -c 1 -W 2 "$(ip_on two foreign)"
soon "by name" docker exec one ping -c 1 -W 2 two
like "$(docker network rm foreign 2>&1)" "has active endpoints" "it is in use"
docker rm -f one two > /dev/null
docker network rm foreign > /dev/null; ok "it goes"
like "$(tail -3 "$WORK/heard")" 'IpamDriver.ReleasePool' "with its addresses"
like "$(docker network create -d wires -o fail=CreateNetwork bad 2>&1)" "remote: the plugin is told to fail" "a plugin's refusal"
docker network create -d wires --subnet 10.77.0.0/24 -o fail=Join half > /dev/null; ok "one whose plugin fails later"
like "$(docker run --rm --network half busybox true 2>&1)" "the plugin is told to fail" "a container is refused"
is "$(docker ps -qa | wc -l)" 0 "and nothing of it stays"
docker network rm half > /dev/null; ok "its network goes"
like "$(docker network create -d nosuch x9 2>&1)" 'plugin "nosuch" not found' "no plugin of that name"

# A plugin of addresses that comes later than the daemon, and knows nothing of before.
docker network create --ipam-driver wires later > /dev/null; ok "a bridge network with a plugin's addresses" || tail -2 "$WORK/log" | sed 's/^/# /'
docker run -d --name one --network later -p 8089:80 busybox sh -c 'mkdir /w && echo hello > /w/index.html && exec httpd -f -p 80 -h /w' > /dev/null; ok "a container there"
first=$(ip_on one later)
later() { [ "$(outside curl -s -m 3 --noproxy '*' http://198.51.100.1:8089/)" = hello ]; }
soon "its port is open" later
kill -9 "$DPID"; wait "$DPID" 2>/dev/null; DPID=
kill "$PLUGIN"; wait "$PLUGIN" 2>/dev/null
rm -f "$WORK/sockets/wires.sock"
start_daemon --config-file "$WORK/d.ini"; ok "the daemon starts without the plugin"
soon "the port stays open" later
nsenter "--net=$NETNS" python3 "$top_srcdir/t/clients/network-plugin.py" "$WORK/sockets/wires.sock" "$WORK/heard2" &
PLUGIN=$!
for _i in $(seq $((100 * DKD_SLOW))); do [ -S "$WORK/sockets/wires.sock" ] && break; sleep 0.05; done
docker run -d --name two --network later busybox sleep 100000 > /dev/null; ok "a container comes when the plugin is there" || tail -2 "$WORK/log" | sed 's/^/# /'
like "$(grep RequestAddress "$WORK/heard2" | head -n 2)" "\"Address\": \"$first\"" "the plugin heard of the first one's address"
[ "$(ip_on two later)" != "$first" ]; ok "and gave another"
soon "they meet" docker exec two ping -c 1 -W 2 one
soon "the port is open still" later
docker rm -f one two > /dev/null
docker network rm later > /dev/null; ok "it goes"
kill "$PLUGIN"; wait "$PLUGIN" 2>/dev/null
unlike "$(here ip -o link)" ': (np|nv|nf)' "no wires are left"
done_testing
