#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Bridges that change, vanish, fill up or are somebody else's, and daemons that are killed over and over.
# ROUNDS: kills (8).
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
ROUNDS=${ROUNDS:-8}
here sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
subnet() { docker network inspect -f '{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}' bridge; }
bridge_address() { ip -n "$ME" -4 -o addr show "$1" | tr -s ' ' | cut -d' ' -f4 | tr '\n' ' '; }
files() { docker exec "$1" cat /etc/hostname /etc/hosts /etc/resolv.conf; }
count() { ls "$1" 2>/dev/null | wc -l; }
log_begin() { LOG_AT=$(wc -l < "$WORK/log"); }
log_since() { tail -n "+$((LOG_AT + 1))" "$WORK/log"; }

# a docker0 that another engine made
ip -n "$ME" link add docker0 type bridge
ip -n "$ME" addr add 172.30.0.1/16 dev docker0
start_daemon; ok "starts with a docker0 that is there" || done_testing
load_busybox >/dev/null
is "$(subnet)" "172.30.0.0/16 172.30.0.1" "its address is the gateway"
docker run --rm busybox ping -c 1 -W 2 198.51.100.2 >/dev/null; ok "a container on it reaches the world"

# files
docker run -d --name one --hostname me busybox sleep 1000 >/dev/null
is "$(files one)" "me
127.0.0.1	localhost
::1	localhost ip6-localhost ip6-loopback
fe00::0	ip6-localnet
ff00::0	ip6-mcastprefix
ff02::1	ip6-allnodes
ff02::2	ip6-allrouters
$(address one)	me
$(docker run --rm busybox cat /etc/resolv.conf)" "hostname, hosts and resolv.conf as Docker's"
docker exec one sh -c 'echo 192.0.2.1 mark >> /etc/hosts; echo "# mark" >> /etc/resolv.conf'
docker run -d --name two --network container:one busybox sleep 1000 >/dev/null
is "$(files two)" "$(files one)" "another container in its network has the same files"
like "$(files two)" "# mark" "with what was written to them"
is "$(docker exec two hostname)" me "and its name"
is "$(docker inspect -f '{{.HostsPath}} {{.ResolvConfPath}} {{.HostnamePath}}' two)" "$(docker inspect -f '{{.HostsPath}} {{.ResolvConfPath}} {{.HostnamePath}}' one)" "inspect names the same paths"
refused() { like "$(docker run --rm --network container:one "$@" busybox true 2>&1)" "conflicting options: $WHY" "not with $1"; }
WHY="hostname and the network mode" refused -h other
WHY="dns and the network mode" refused --dns 192.0.2.53
WHY="custom host-to-IP mapping and the network mode" refused --add-host a:192.0.2.1
WHY="port publishing and the container type network mode" refused -P
WHY="port exposing and the container type network mode" refused --expose 80
docker rm -f two >/dev/null
old=$(address one)
docker stop -t 0 one >/dev/null
docker run -d --name other busybox sleep 1000 >/dev/null
gone 1 "the port is gone"
is "$(address other)" "$old" "its address is another's"
docker start one >/dev/null
unlike "$(address one)" "^$old$" "so it starts with a new one"
like "$(docker exec one cat /etc/hosts)" "^$(address one)	me$" "which is in its hosts"
unlike "$(docker exec one cat /etc/hosts)" "^$old	" "and not the old one"
is "$(docker run --rm --ip 172.30.0.99 busybox sh -c 'ip -o -4 addr show dev eth0 | tr -s " " | cut -d" " -f4')" 172.30.0.99/16 "an address by wish"
docker rm -f other >/dev/null

# another subnet under running containers waits
net=$(docker network inspect -f '{{.Id}}' bridge)
stop_daemon KILL >/dev/null 2>&1
log_begin
start_daemon --bip 10.66.0.1/24; ok "another --bip under a running container"
like "$(log_since)" "containers run on the network bridge: it stays as it was, 172.30.0.0/16 on docker0" "waits, the log says"
is "$(subnet) $(bridge_address docker0)" "172.30.0.0/16 172.30.0.1 172.30.0.1/16 " "the network is what it was"
docker exec one ping -c 1 -W 2 198.51.100.2 >/dev/null; ok "the container reaches the world"
docker run --rm busybox ping -c 1 -W 2 "$(address one)" >/dev/null; ok "and a new one reaches it"
stop_daemon KILL >/dev/null 2>&1
start_daemon -b none; ok "-b none"
is "$(docker network ls -q --no-trunc --filter name=bridge)" "$net" "waits, too"
docker rm -f one >/dev/null
stop_daemon
start_daemon --bip 10.66.0.1/29; ok "without containers"
is "$(subnet) $(bridge_address docker0)" "10.66.0.0/29 10.66.0.1 10.66.0.1/29 " "it is there"

# no address left: 10.66.0.2 to 10.66.0.6
for i in 1 2 3 4 5; do docker run -d --name "c$i" busybox sleep 1000 >/dev/null; done
is "$(address c5)" 10.66.0.6 "the last address"
like "$(docker run --rm busybox true 2>&1)" "no available IPv4 addresses on this network's address pools: bridge" "no more addresses: Docker's words"
docker rm -f c3 >/dev/null
is "$(docker run --rm busybox sh -c 'ip -o -4 addr show dev eth0 | tr -s " " | cut -d" " -f4')" 10.66.0.4/29 "one that is given back is had again"

# a bridge that somebody deletes
ip -n "$ME" link del docker0
docker run --rm busybox ping -c 1 -W 2 198.51.100.2 >/dev/null; ok "a bridge that was deleted comes back with the next container"
is "$(bridge_address docker0)" "10.66.0.1/29 " "with its address"
docker exec c1 ping -c 1 -W 2 198.51.100.2 >/dev/null; ok "and with its older ports"
docker rm -f c1 c2 c4 c5 >/dev/null
gone 0 "no interface is left"

# a bridge that is full: 1023 ports
stop_daemon
ip -n "$ME" addr flush dev docker0
start_daemon; ok "default addresses again"
seq 512 | sed 's/.*/link add fa& type veth peer name fb&/' | ip -n "$ME" -batch -
{ seq 512 | sed 's/.*/link set fa& master docker0/'; seq 511 | sed 's/.*/link set fb& master docker0/'; } | ip -n "$ME" -batch -
like "$(docker run --rm busybox true 2>&1)" "to bridge docker0, which has all 1023 ports that it can have, failed: Exchange full" "the 1024th port: a clear error"
seq 512 | sed 's/.*/link del fa&/' | ip -n "$ME" -batch -
docker run --rm busybox true; ok "with room again it works"
gone 0 "nothing is left of it"

# pools
stop_daemon
ip -n "$ME" link del docker0
rm -rf "$WORK/root/network"
ip -n "$ME" route add 10.111.0.0/24 via 198.51.100.2
start_daemon --default-address-pool base=10.111.0.0/16,size=24; ok "--default-address-pool"
is "$(subnet)" "10.111.1.0/24 10.111.1.1" "the first that no route has"
is "$(docker info -f '{{json .DefaultAddressPools}}')" '[{"Base":"10.111.0.0/16","Size":24}]' "info: the pools"
stop_daemon
ip -n "$ME" link del docker0
rm -rf "$WORK/root/network"
log_begin
start_daemon --default-address-pool base=10.111.0.0/24,size=24; is $? 1 "a pool that has none"
like "$(log_since)" "could not find an available, non-overlapping IPv4 address pool among the defaults" "ends the start in Docker's words"

# two daemons
ip -n "$ME" link add br-two type bridge
ip -n "$ME" addr add 10.98.0.1/24 dev br-two
start_daemon; ok "a daemon"
docker run -d --name one busybox sleep 1000 >/dev/null
FIRST=$DPID FIRST_WORK=$WORK FIRST_SOCK=$SOCK
WORK=$FIRST_WORK/second SOCK=$FIRST_WORK/second/docker.sock
mkdir "$WORK"
start_daemon -b br-two; ok "another on a bridge of its own"
docker load -q -i "$FIRST_WORK/busybox.tar" >/dev/null
docker run -d --name one busybox sleep 1000 >/dev/null
is "$(address one)" 10.98.0.2 "its containers have its addresses"
SECOND=$DPID SECOND_WORK=$WORK SECOND_SOCK=$SOCK
WORK=$FIRST_WORK SOCK=$FIRST_SOCK DPID=$FIRST
stop_daemon KILL >/dev/null 2>&1
start_daemon; ok "the first is killed and comes back"
SOCK=$SECOND_SOCK
docker exec one ping -c 1 -W 2 198.51.100.2 >/dev/null; ok "the second's container is connected"
is "$(docker run --rm busybox ping -c 1 -W 2 "$(address one)" | grep -c ' 0% packet loss')" 1 "to its neighbours as well"
is "$(here nft list tables | sort | tr '\n' ' ')" "table ip dockerd-br-two table ip dockerd-docker0 " "each has its table"
docker rm -f one >/dev/null
kill "$SECOND"
wait "$SECOND"; is $? 0 "the second ends"
SOCK=$FIRST_SOCK
docker exec one ping -c 1 -W 2 198.51.100.2 >/dev/null; ok "the first's container is connected"
is "$(bridge_address br-two)" "10.98.0.1/24 " "the admin's bridge stays"
docker rm -f one >/dev/null
here nft delete table ip dockerd-br-two
rm -rf "$SECOND_WORK"

# kills amid starts and stops
for i in $(seq "$ROUNDS"); do
	for j in 1 2 3; do
		(for k in 1 2 3 4 5 6; do docker run -d --name "k$i$j$k" busybox sleep 1000; docker rm -f "k$i$j$k"; done) >/dev/null 2>&1 &
	done
	sleep "0.$((i * 7 % 10))$i"
	stop_daemon KILL >/dev/null 2>&1
	wait
	start_daemon || { ok "comes back"; break; }
done
ok "$ROUNDS kills amid starts and stops"
docker ps -aq | xargs -r "$DOCKER" -H "unix://$SOCK" rm -f >/dev/null 2>&1
gone 0 "no interface is left"
is "$(count "$WORK/exec/netns")" 0 "no namespace"
is "$(count "$WORK/exec/sandboxes")" 0 "no sandbox"
is "$(here nft list tables)" "table ip dockerd-docker0" "no table but the bridge's"
is "$(docker run --rm busybox sh -c 'ip -o -4 addr show dev eth0 | tr -s " " | cut -d" " -f4')" 172.17.0.2/16 "no address"
stop_daemon
done_testing
