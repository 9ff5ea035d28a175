#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Networks of three hosts: three daemons, each in a network namespace of its own, on one wire with an etcd.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need busybox runc ip nsenter curl python3
ETCD_BIN=/usr/bin/etcd
[ -x "$ETCD_BIN" ] || ETCD_BIN=$top_builddir/etcd/usr/bin/etcd
[ -x "$ETCD_BIN" ] || skip_all "no etcd"
find_docker
scratch
ip link add "dkdx$$" type vxlan id 1 dstport 4789 2>/dev/null && ip link del "dkdx$$" || skip_all "the kernel has no VXLAN"
AT= BASE=$WORK HUB=dkd-$$-hub HOSTS="1 2 3" DPIDS=("" "" "" "") ETCD=
host_net() { echo "dkd-$$-h$1"; }
on() { # N: what follows is about that host
	[ -n "$AT" ] && DPIDS[$AT]=$DPID
	AT=$1 WORK=$BASE/h$1 SOCK=$BASE/h$1/docker.sock NETNS=/run/netns/$(host_net "$1") DPID=${DPIDS[$1]}
}
end_all() {
	for _h in $HOSTS; do
		on "$_h"
		[ -n "$DPID" ] && { docker ps -qa | xargs -r "$DOCKER" -H "unix://$SOCK" rm -f >/dev/null 2>&1; stop_daemon; }
	done
	[ -n "$ETCD" ] && kill -9 "$ETCD" 2>/dev/null
	for _h in $HOSTS; do on "$_h"; DPID=; cleanup; ip netns del "$(host_net "$_h")" 2>/dev/null; done
	ip netns del "$HUB" 2>/dev/null
	WORK=$BASE DPID=
	cleanup
}
trap end_all EXIT
ip netns add "$HUB" || skip_all "no network namespaces"
ip -n "$HUB" link add hub type bridge
ip -n "$HUB" addr add 10.1.0.100/24 dev hub
ip -n "$HUB" link set lo up
ip -n "$HUB" link set hub up
for h in $HOSTS; do
	ip netns add "$(host_net $h)"
	ip link add "dkdh$h" netns "$HUB" type veth peer name up0 netns "$(host_net $h)"
	ip -n "$HUB" link set "dkdh$h" master hub up
	ip -n "$(host_net $h)" addr add "10.1.0.$h/24" dev up0
	ip -n "$(host_net $h)" link set up0 up
	ip -n "$(host_net $h)" link set lo up
	mkdir "$BASE/h$h"
done
etcd_start() {
	nsenter "--net=/run/netns/$HUB" "$ETCD_BIN" --data-dir "$BASE/etcd" --listen-client-urls http://10.1.0.100:2379 --advertise-client-urls http://10.1.0.100:2379 \
		--listen-peer-urls http://10.1.0.100:2380 --initial-advertise-peer-urls http://10.1.0.100:2380 --initial-cluster default=http://10.1.0.100:2380 \
		--log-level fatal >/dev/null 2>&1 &
	ETCD=$!
	soon "etcd answers" nsenter "--net=/run/netns/$HUB" curl -sf --max-time 2 http://10.1.0.100:2379/health
}
soon() { # description, command
	_what=$1
	shift
	for _i in $(seq $((100 * DKD_SLOW))); do "$@" >/dev/null 2>&1 && break; sleep 0.1; done
	"$@" >/dev/null 2>&1
	ok "$_what"
}
daemon() { start_daemon -b none --cluster-store etcd://10.1.0.100:2379/test --cluster-advertise "10.1.0.$AT:2376" --cluster-store-opt discovery.ttl=5 "$@"; }
has_net() { docker network inspect "$1" >/dev/null 2>&1; }
lacks_net() { ! has_net "$1"; }
address() { docker inspect -f '{{(index .NetworkSettings.Networks "shared").IPAddress}}' "$1"; }
up() { docker run -d --network shared --name "$1" "${@:2}" busybox sleep 100000; }
reaches() { docker exec "$1" ping -c 1 -W 2 "$2"; }
lacks() { ! reaches "$@"; }

etcd_start
for h in $HOSTS; do
	on $h
	case $h in
	3) start_daemon -b none ;; # it is told of the store as it runs
	*) daemon ;;
	esac
	ok "a daemon on host $h" || { tail -3 "$WORK/log" | sed 's/^/# /'; done_testing; }
	load_busybox >/dev/null
done
on 1
docker network create -d overlay --subnet 10.90.0.0/24 shared >/dev/null
ok "a network of the cluster is made" || tail -3 "$WORK/log" | sed 's/^/# /'
is "$(docker network inspect -f '{{.Scope}} {{.Driver}}' shared)" "global overlay" "it is global"
id=$(docker network inspect -f '{{.Id}}' shared)
on 2
soon "host 2 has it" has_net shared
is "$(docker network inspect -f '{{.Id}} {{(index .IPAM.Config 0).Subnet}}' shared)" "$id 10.90.0.0/24" "the same"
like "$(docker network create -d overlay shared 2>&1)" "already exists" "its name is taken everywhere"
on 3
like "$(docker network create -d overlay x 2>&1)" "not a swarm manager" "host 3 knows of no store"
echo '{"cluster-store":"etcd://10.1.0.100:2379/test","cluster-advertise":"10.1.0.3:2376","cluster-store-opts":{"discovery.ttl":"5"}}' > "$WORK/daemon.json"
kill -HUP "$DPID"
soon "until it reads of one: it has the network" has_net shared
like "$(docker network create -d overlay --subnet 10.90.0.0/16 other 2>&1)" "Pool overlaps" "its subnet, too"

on 1
up one >/dev/null; ok "a container on host 1" || tail -3 "$WORK/log" | sed 's/^/# /'
on 2
up two --network-alias bee >/dev/null; ok "one on host 2"
b=$(address two)
on 1
isnt() { [ "$1" != "$2" ]; ok "$3"; }
isnt "$(address one)" "$b" "they have addresses of their own"
soon "packets go from host to host" reaches one "$b"
soon "by the name of a container there" reaches one two
soon "and out of the networks of the cluster" reaches one 10.1.0.100
like "$(docker network inspect -f '{{json .Containers}}' docker_gwbridge)" "\"Name\":\"gateway_$(docker ps -q -f name=one)\"" "by docker_gwbridge"
soon "and by its alias" reaches one bee
on 3
up three >/dev/null; ok "a container on host 3"
soon "it reaches host 1" reaches three one
soon "and host 2" reaches three two
like "$(docker run --rm --network shared --ip "$b" busybox true 2>&1)" "Address already in use" "an address of another host's container is refused"
like "$(docker network rm shared 2>&1)" "has active endpoints" "a network with containers stays"
docker rm -f three >/dev/null
like "$(docker network rm shared 2>&1)" "active endpoints on other hosts" "also when they are on other hosts"

kill -9 "$ETCD"; wait "$ETCD" 2>/dev/null
on 1
soon "the store dies, and packets flow" reaches one two
like "$(docker run --rm --network shared busybox true 2>&1)" "cluster store is out of reach" "nobody new comes"
like "$(docker network create -d overlay another 2>&1)" "cluster store is out of reach" "no network is made"
docker network ls | grep -q another; [ $? = 1 ]; ok "nothing is left of it"
kill -9 "$DPID"; wait "$DPID" 2>/dev/null; DPID=
daemon --live-restore
ok "a daemon starts without the store" || tail -3 "$WORK/log" | sed 's/^/# /'
is "$(docker inspect -f "{{.State.Running}}" one)" true "its container runs on"
soon "and is reached" reaches one "$b"
on 2
docker rm -f two >/dev/null; ok "a container leaves meanwhile"
etcd_start
on 1
soon "the store is back: who left is gone" lacks one "$b"
on 2
ran() { docker rm -f two2 >/dev/null 2>&1; up two2 --ip "$b"; }
soon "his address is free" ran
on 1
soon "and its new owner is found" reaches one two2

on 2
before=$(grep -c "store is out of reach" "$WORK/log")
ip -n "$HUB" link set dkdh2 down
soon "a host is cut off: its container runs" docker exec two2 true
on 1
soon "and is not reached" lacks one two2
on 2
cut_off() { [ "$(grep -c "store is out of reach" "$WORK/log")" -gt "$before" ]; }
soon "it gives the store up" cut_off
ip -n "$HUB" link set dkdh2 up
# made and removed while host 2 does not listen to the store again yet, as a rule
for _i in $(seq $((20 * DKD_SLOW))); do docker network create -d overlay late >/dev/null 2>&1 && break; sleep 0.2; done
has_net late; ok "the wire is whole: it makes networks"
on 3
soon "which others see" has_net late
docker network rm late >/dev/null; ok "and remove"
on 2
soon "for all" lacks_net late
on 1
soon "packets flow again" reaches one two2
on 2
docker network create -d overlay later >/dev/null
stop_daemon
on 3
soon "one is made, and its daemon ends" has_net later
docker network rm later >/dev/null; ok "another host removes it"
on 2
daemon
soon "it went when the daemon is back" lacks_net later
docker rm -f two2 >/dev/null

on 1
docker rm -f one >/dev/null
docker network rm shared >/dev/null; ok "the network is removed"
on 3
soon "everywhere" lacks_net shared
# a plugin whose networks are the cluster's
on 1
stop_daemon
mkdir "$WORK/sockets"
nsenter "--net=$NETNS" python3 "$top_srcdir/t/clients/network-plugin.py" "$WORK/sockets/agreed.sock" "$WORK/heard" global &
PLUGIN=$!
soon "a plugin listens" test -S "$WORK/sockets/agreed.sock"
printf '{"net.remote":{"sockets":"%s"}}' "$WORK/sockets" > "$WORK/daemon.json"
daemon
heard() { sed 's/.*"method": "NetworkDriver.\([A-Za-z]*\)".*/\1/' "$WORK/heard" | grep -E 'locate|FreeN|teNetwork' | paste -sd' '; }
id=$(docker network create -d agreed --subnet 10.95.0.0/24 far); ok "a network of a plugin's is the cluster's" || tail -3 "$WORK/log" | sed 's/^/# /'
is "$(docker network inspect -f '{{.Scope}}' far)" global "it is global"
docker network rm far > /dev/null
is "$(heard)" "AllocateNetwork CreateNetwork DeleteNetwork FreeNetwork" "what it allocated is freed when it goes"
is "$(grep FreeNetwork "$WORK/heard" | sed 's/.*"NetworkID": "\([0-9a-f]*\)".*/\1/')" "$id" "by its id"
: > "$WORK/heard"
! docker network create -d agreed -o fail=CreateNetwork --subnet 10.95.0.0/24 far > /dev/null 2>&1; ok "one that fails"
is "$(heard)" "AllocateNetwork CreateNetwork FreeNetwork" "is freed at once"
kill "$PLUGIN"; wait "$PLUGIN" 2> /dev/null
for h in $HOSTS; do
	on $h
	is "$(ls "$WORK/exec/overlay" 2>/dev/null | wc -l)" 0 "host $h has no wires left"
done
unlike "$(cat "$BASE"/h?/log)" "level=(fatal|panic)|Sanitizer" "no daemon stumbled"
done_testing
