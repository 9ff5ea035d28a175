#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The default bridge, in a network namespace of the test's own; others play the world outside.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1

start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
is "$(docker network ls --format '{{.Name}} {{.Driver}}' | sort | tr '\n' ' ')" "bridge bridge host host none null " "three networks"
is "$(docker network inspect -f '{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}' bridge)" "172.17.0.0/16 172.17.0.1" "the first default pool"
like "$(ip -n "$ME" addr show docker0)" "inet 172.17.0.1/16 brd 172.17.255.255" "docker0 has the gateway's address"
is "$(here cat /proc/sys/net/ipv4/ip_forward)" 1 "IP forwarding is on"
netid=$(docker network inspect -f '{{.Id}}' bridge)

# one container
is "$(docker run --rm busybox sh -c 'ip -o -4 addr show dev eth0 | tr -s " " | cut -d" " -f4')" 172.17.0.2/16 "the first address"
is "$(docker run --rm busybox cat /sys/class/net/eth0/address)" 02:42:ac:11:00:02 "the MAC follows from it"
like "$(docker run --rm busybox ip route)" "default via 172.17.0.1 dev eth0" "the gateway"
docker run --rm busybox ping -c 1 -W 2 172.17.0.1 >/dev/null; ok "the gateway answers"
like "$(docker run --rm -h foo.example.org busybox cat /etc/hosts)" "^172.17.0.[0-9]+	foo.example.org foo$" "hosts has the own name"
like "$(docker run --rm --add-host gw:host-gateway busybox cat /etc/hosts)" "^172.17.0.1	gw$" "host-gateway"
is "$(docker run --rm --dns 9.9.9.9 --dns-search a.b --dns-opt ndots:3 busybox cat /etc/resolv.conf)" "search a.b
nameserver 9.9.9.9
options ndots:3" "resolv.conf by options"
unlike "$(docker run --rm busybox cat /etc/resolv.conf)" "nameserver 127\." "no resolver of the host's loopback"
is "$(docker run --rm --network none busybox ls /sys/class/net)" lo "none is none"
gone 0 "no interface is left"

# two containers, and the world outside
docker run -d --name one busybox sleep 1000 >/dev/null
docker run -d --name two busybox sleep 1000 >/dev/null
a1=$(address one) a2=$(address two)
[ -n "$a1" ] && [ "$a1" != "$a2" ]; ok "each has its address: $a1 $a2"
docker exec one ping -c 1 -W 2 "$a2" >/dev/null; ok "they reach each other"
is "$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}} {{.IPPrefixLen}} {{.NetworkID}}{{end}}' one)" "$a1 172.17.0.1 16 $netid" "inspect"
is "$(docker network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}} {{end}}' bridge | tr ' ' '\n' | sort | grep .)" "$(printf '%s\n' one two "$a1/16" "$a2/16" | sort)" "network inspect"
is "$(docker info -f '{{json .FirewallBackend}}')" '{"Driver":"nftables"}' "info: who writes the rules"
is "$(docker ps -q --filter network=bridge | wc -l)" 2 "ps by network"
outside nft 'add table ip t; add chain ip t in { type filter hook input priority 0; }
add rule ip t in ip saddr 198.51.100.1 icmp type echo-request counter; add rule ip t in ip saddr 172.16.0.0/12 counter'
docker exec one ping -c 2 -W 2 198.51.100.2 >/dev/null; ok "the world answers"
like "$(outside nft list table ip t | tr -s ' \t\n' ' ')" "echo-request counter packets 2 .*172.16.0.0/12 counter packets 0 " "and sees the host's address, not the container's"
outside ip route add 172.17.0.0/16 via 198.51.100.1
! outside busybox ping -c 1 -W 1 "$a1" >/dev/null; ok "nobody outside reaches a container"
here busybox ping -c 1 -W 1 "$a1" >/dev/null; ok "the host does"

# the daemon goes and comes back
stop_daemon KILL >/dev/null 2>&1
here busybox ping -c 1 -W 1 "$a1" >/dev/null; ok "killed: the container is still there"
ip -n "$ME" link add veth0123456789a type veth peer name dkdpeer
ip -n "$ME" link set veth0123456789a master docker0
start_daemon; ok "comes back"
is "$(docker network inspect -f '{{.Id}}' bridge)" "$netid" "the network has its id again"
is "$(address one) $(address two)" "$a1 $a2" "the containers have their addresses"
docker exec one ping -c 1 -W 2 "$a2" >/dev/null; ok "and are connected"
docker exec one ping -c 1 -W 2 198.51.100.2 >/dev/null; ok "also to the world"
! ip -n "$ME" link show veth0123456789a >/dev/null 2>&1; ok "an interface that is nobody's is swept"
is "$(docker run --rm busybox sh -c 'ip -o -4 addr show dev eth0 | tr -s " " | cut -d" " -f4')" 172.17.0.4/16 "a new one gets another address"
docker stop -t 0 one >/dev/null
is "$(docker inspect -f '[{{.NetworkSettings.IPAddress}}{{range .NetworkSettings.Networks}}{{.IPAddress}}{{.EndpointID}}{{end}}]' one)" "[]" "stopped: inspect shows no address"
docker start one >/dev/null; ok "starts again"
docker exec two ping -c 1 -W 2 "$(address one)" >/dev/null; ok "and is reached"
docker rm -f one two >/dev/null
gone 0 "no interface is left"

docker run -d --name three busybox sleep 1000 >/dev/null
stop_daemon KILL >/dev/null 2>&1
ip -n "$ME" link del docker0
start_daemon; ok "starts without its bridge"
docker exec three ping -c 1 -W 2 198.51.100.2 >/dev/null; ok "which is made anew around the running containers"
docker rm -f three >/dev/null
gone 0 "no interface is left"

# many at a time
mkdir "$WORK/out"
for i in $(seq 20); do docker run --rm busybox sh -c 'ip -o -4 addr show dev eth0 | tr -s " " | cut -d" " -f4; sleep 2; ping -c 1 -W 2 172.17.0.1 >/dev/null && echo pong' > "$WORK/out/$i" 2>&1 & pids="${pids:-} $!"; done
for p in $pids; do wait "$p"; done
is "$(cat "$WORK"/out/* | grep -c pong)" 20 "20 in parallel, each with a network"
is "$(cat "$WORK"/out/* | grep /16 | sort -u | wc -l)" 20 "each with an address of its own"
gone 0 "no interface is left"
is "$(docker ps -aq | wc -l)" 0 "and no container"
stop_daemon; is "$DSTATUS" 0 "stops"
ip -n "$ME" link show docker0 >/dev/null; ok "the bridge stays, as Docker's does"
like "$(here nft list tables)" "table ip dockerd-docker0" "and its rules"

# options
start_daemon --iptables=false --ip-masq=false; ok "--iptables=false"
is "$(here nft list tables)" "" "no rules"
stop_daemon
start_daemon --bip 10.77.0.1/24 --fixed-cidr 10.77.0.128/25 --mtu 1400 --default-gateway 10.77.0.254; ok "--bip, --fixed-cidr, --mtu, --default-gateway"
is "$(ip -n "$ME" -4 -o addr show docker0 | tr -s ' ' | cut -d' ' -f4)" 10.77.0.1/24 "docker0 has the new address alone"
is "$(docker run --rm busybox sh -c 'ip -o -4 addr show dev eth0 | tr -s " " | cut -d" " -f4; cat /sys/class/net/eth0/mtu; ip route | grep default' | tr '\n' ' ')" "10.77.0.128/24 1400 default via 10.77.0.254 dev eth0  " "all of it in the container"
is "$(docker network inspect -f '{{range .IPAM.Config}}{{.Subnet}} {{.IPRange}} {{.Gateway}} {{.AuxiliaryAddresses}}{{end}}' bridge)" "10.77.0.0/24 10.77.0.128/25 10.77.0.1 map[DefaultGatewayIPv4:10.77.0.254]" "and in inspect"
stop_daemon
start_daemon --bip 10.77.0.1/24 --icc=false; ok "--icc=false"
docker run -d --name one busybox sleep 1000 >/dev/null; docker run -d --name two busybox sleep 1000 >/dev/null
! docker exec one ping -c 1 -W 1 "$(address two)" >/dev/null; ok "they do not reach each other"
docker exec one ping -c 1 -W 2 198.51.100.2 >/dev/null; ok "but the world"
docker rm -f one two >/dev/null
stop_daemon
start_daemon -b br-none-such; is "$?" 1 "-b of no bridge"
like "$(tail -n 3 "$WORK/log")" "bridge device with non default name br-none-such must be created manually" "in Docker's words"
ip -n "$ME" link add br-mine type bridge
ip -n "$ME" addr add 10.88.0.9/24 dev br-mine
ip -n "$ME" addr add 10.89.0.9/24 dev br-mine
start_daemon -b br-mine; ok "-b br-mine"
like "$(docker run --rm busybox ip route)" "default via 10.88.0.9 dev eth0" "its address is the gateway"
is "$(ip -n "$ME" -4 -o addr show br-mine | wc -l)" 2 "its other address stays"
stop_daemon
start_daemon -b none; ok "-b none"
is "$(docker network ls --format '{{.Name}}' | sort | tr '\n' ' ')" "host none " "no network bridge"
is "$(docker run --rm busybox ls /sys/class/net)" lo "containers get none"
stop_daemon
done_testing
