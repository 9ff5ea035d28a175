#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who comes to a network tells his neighbours.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
need python3

start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
fast="-o com.docker.network.advertise_addr_ms=100"
docker network create -o com.docker.network.bridge.name=br-heard --subnet 10.81.0.0/24 --ipv6 --subnet fd81::/64 $fast heard >/dev/null; ok "a network"
docker network create -o com.docker.network.bridge.name=br-quiet --subnet 10.82.0.0/24 -o com.docker.network.advertise_addr_nmsgs=0 quiet >/dev/null; ok "one that is quiet"
docker network create -o com.docker.network.bridge.name=br-once --subnet 10.83.0.0/24 -o com.docker.network.advertise_addr_nmsgs=1 once >/dev/null; ok "one that says it once"
docker network create -o com.docker.network.bridge.name=br-slow --subnet 10.84.0.0/24 -o com.docker.network.advertise_addr_ms=2000 slow >/dev/null
for n in heard quiet once slow; do
	here python3 "$top_srcdir/t/clients/announced.py" "br-$n" "$WORK/$n" &
	PIDS="${PIDS:-} $!"
done
trap 'kill $PIDS 2>/dev/null; cleanup; undo_networks' EXIT
for n in heard quiet once slow; do soon "somebody listens at $n" grep -q listening "$WORK/$n"; done
count() { grep -c "^$2\$" "$WORK/$1"; }
says_times() { [ "$(count "$1" "$2")" = "$3" ]; }
soon_times() { # description, file, line, times
	for _i in $(seq $((100 * DKD_SLOW))); do says_times "$2" "$3" "$4" && break; sleep 0.1; done
	is "$(count "$2" "$3")" "$4" "$1"
}
docker run -d --name short --network slow --ip 10.84.0.9 busybox sleep 100000 >/dev/null
docker rm -f short >/dev/null
short=$(count slow 'arp 10.84.0.9 .*') gone_at=$(date +%s)
# neighbours that remember somebody else
ip -n "$ME" neigh replace 10.81.0.7 lladdr 02:00:00:00:00:99 dev br-heard nud reachable
ip -n "$ME" neigh replace fd81::7 lladdr 02:00:00:00:00:99 dev br-heard nud reachable
docker run -d --name one --network name=heard,ip=10.81.0.7,ip6=fd81::7,mac-address=02:11:22:33:44:55 busybox sleep 100000 >/dev/null; ok "a container"
soon_times "three times for its IPv4 address" heard "arp 10.81.0.7 02:11:22:33:44:55" 3
soon_times "three times for its IPv6 address" heard "na fd81::7 02:11:22:33:44:55" 3
is "$(ip -n "$ME" neigh show 10.81.0.7 | grep -o 02:[0-9a-f:]*) $(ip -n "$ME" neigh show fd81::7 | grep -o 02:[0-9a-f:]*)" "02:11:22:33:44:55 02:11:22:33:44:55" "who remembered another one knows better"
nothing_held() { [ "$(docker exec one cat /proc/net/packet | wc -l)" = 1 ] && ! ls -l "/proc/$DPID/fd" | grep -q packet; }
soon "then nothing is kept of it" nothing_held
docker network connect --ip 10.83.0.9 once one; ok "another network"
soon_times "which it is told once" once "arp 10.83.0.9 $(docker exec one cat /sys/class/net/eth1/address)" 1
docker network connect --ip 10.82.0.9 quiet one; ok "a third"
docker exec one ping -c 1 -W 2 10.82.0.1 >/dev/null; ok "works"
docker run -d --name two --network heard --ip 10.81.0.8 busybox sleep 100000 >/dev/null
soon_times "another container" heard "arp 10.81.0.8 $(docker exec two cat /sys/class/net/eth0/address)" 3
is "$(grep -c 10.82 "$WORK/quiet")" 0 "the quiet network heard nothing"
is "$(count once 'arp 10.83.0.9 .*')" 1 "and the other no more"
says_times heard "arp 10.81.0.7 02:11:22:33:44:55" 3; ok "nor did the first"
unlike "$(cat "$WORK"/heard "$WORK"/once)" bad "all of it well formed"
docker rm -f two >/dev/null
docker run --rm --network once busybox true; ok "one that ends at once"
docker rm -f one >/dev/null
gone 0 "no namespace is kept by it"
while [ $(($(date +%s) - gone_at)) -lt 5 ]; do sleep 0.2; done
is "$(count slow 'arp 10.84.0.9 .*')" "$short" "who is gone says no more"

bad() { like "$(docker network create -o "com.docker.network.$1" bad 2>&1)" "$2" "$3"; }
bad advertise_addr_nmsgs=4 "com.docker.network.advertise_addr_nmsgs must be in the range 0 to 3" "too often"
bad advertise_addr_nmsgs=x 'value for option com.docker.network.advertise_addr_nmsgs "x" must be an integer' "no number"
bad advertise_addr_ms=99 "com.docker.network.advertise_addr_ms must be in the range 100 to 2000" "too fast"
bad advertise_addr_ms=2001 "com.docker.network.advertise_addr_ms must be in the range 100 to 2000" "too slow"
unlike "$(docker network ls)" bad "nothing is left of those"
kill $PIDS 2>/dev/null
docker network rm heard quiet once slow >/dev/null
done_testing
