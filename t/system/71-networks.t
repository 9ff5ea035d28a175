#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Networks of users: what /networks takes, answers and tells, by version; and what goes over them, between containers, to the
# host and to the world.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
need python3

start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
# status and message of a refused request
said() { # METHOD PATH BODY
	curl -sS --max-time $((60 * DKD_SLOW)) -w ' %{http_code}' -X "$1" --unix-socket "$SOCK" -H 'Content-Type: application/json' -d "$3" "http://d$2" | tr -d '\n'
}
create() { said POST /networks/create "$1"; }
field() { docker network inspect -f "$2" "$1"; }
names() { docker network ls --format '{{.Name}}' "$@" | sort | paste -sd ' '; }
now() { date +%s.%N; }
events() { curl -sS --max-time $((60 * DKD_SLOW)) --unix-socket "$SOCK" -G http://d/events --data-urlencode "since=$1" --data-urlencode "until=$(now)" --data-urlencode 'filters={"type":["network"]}' |
	python3 -c 'import json, sys
for l in sys.stdin:
    e = json.loads(l); a = e["Actor"]["Attributes"]; print(e["Action"], a.get("name", "-"), a.get("type", "-"), sep=":")' | paste -sd ' '; }

# one with all of it
t0=$(now)
like "$(create '{"Name":"full","Driver":"bridge","Internal":false,"Attachable":true,"Labels":{"l":"1"},"Options":{"com.docker.network.driver.mtu":"1400"},
"IPAM":{"Driver":"default","Options":{"x":"y"},"Config":[{"Subnet":"10.55.0.0/24","IPRange":"10.55.0.128/25","Gateway":"10.55.0.254","AuxiliaryAddresses":{"a":"10.55.0.129"}}]}}')" \
	'^\{"Id":"[0-9a-f]{64}","Warning":""\} 201$' "create: the id, and no warning"
like "$(api GET /v1.47/networks/full | sed 's/"Created":"[^"]*"/T/; s/[0-9a-f]\{64\}/ID/')" '^\{"Name":"full","Id":"ID",T,"Scope":"local","Driver":"bridge","EnableIPv6":false,"IPAM":\{"Driver":"default","Options":\{"x":"y"\},"Config":\[\{"Subnet":"10.55.0.0/24","IPRange":"10.55.0.128/25","Gateway":"10.55.0.254","AuxiliaryAddresses":\{"a":"10.55.0.129"\}\}\]\},"Internal":false,"Attachable":true,"Ingress":false,"ConfigFrom":\{"Network":""\},"ConfigOnly":false,"Containers":\{\},"Options":\{"com.docker.network.driver.mtu":"1400"\},"Labels":\{"l":"1"\}\}$' "inspect, as before 1.48"
like "$(api GET /v1.48/networks/full)" '"Driver":"bridge","EnableIPv4":true,"EnableIPv6":false,' "since 1.48 it tells of IPv4, too"
id=$(field full '{{.Id}}')
is "$(docker network inspect -f '{{.Name}}' "$(echo "$id" | cut -c1-9)")" full "by the beginning of its id"
like "$(said GET "/networks/full?scope=swarm" '')" 'network full not found"\} 404' "not of another scope"
like "$(said GET "/networks/full?verbose=x" '')" 'invalid value for verbose: x: strconv.ParseBool: parsing .*"x.*": invalid syntax"\} 400' "verbose is a boolean"
like "$(said GET /networks/nonesuch '')" 'network nonesuch not found"\} 404' "one that is not there"
is "$(create '{"Name":"full"}')" '{"message":"network with name full already exists"} 409' "no name twice"
is "$(api_status POST /v1.41/networks/create -H 'Content-Type: application/json' -d '{"Name":"full"}')" 409 "for older clients neither"

# what is refused
refused() { like "$(create "$1")" "$2" "refused: $3"; }
refused '{"Name":""}' 'invalid name: "\} 400' "no name"
refused '{"Name":"bridge"}' 'operation is not permitted on predefined bridge network "\} 403' "a name of the daemon's"
refused '{"Name":"x","Driver":"nonesuch"}' 'plugin ."nonesuch." not found"\} 404' "no such driver"
refused '{"Name":"x","Driver":"host"}' 'only one instance of ."host." network is allowed"\} 403' "another host"
refused '{"Name":"x","Ingress":true}' 'Ingress network can only be global scope network"\} 403' "ingress"
refused '{"Name":"x","Scope":"swarm"}' 'cannot create a swarm scoped network when swarm is not active"\} 403' "scope swarm"
refused '{"Name":"x","ConfigFrom":{"Network":"zz"}}' 'configuration network ."zz." does not exist"\} 404' "no such configuration"
refused '{"Name":"x","IPAM":{"Driver":"nonesuch"}}' 'plugin ."nonesuch." not found"\} 404' "no such IPAM driver"
refused '{"Name":"x","IPAM":{"Config":[{"Subnet":"10.55.0.0/33"}]}}' 'invalid subnet 10.55.0.0/33: invalid CIDR block notation"\} 400' "no subnet"
refused '{"Name":"x","IPAM":{"Config":[{"Subnet":"10.56.0.0/24","IPRange":"10.57.0.0/25"}]}}' "invalid ip-range 10.57.0.0/25: parent subnet 10.56.0.0/24 doesn't contain ip-range\"\} 400" "a range elsewhere"
refused '{"Name":"x","IPAM":{"Config":[{"Subnet":"10.56.0.0/24","Gateway":"10.57.0.1"}]}}' "invalid gateway 10.57.0.1: parent subnet 10.56.0.0/24 doesn't contain this address\"\} 400" "a gateway elsewhere"
refused '{"Name":"x","IPAM":{"Config":[{"Subnet":"10.55.0.0/25"}]}}' 'Pool overlaps with other one on this address space"\} 403' "an overlapping subnet"
refused '{"Name":"x","Labels":[]}' '"\} 400' "labels that are none"
refused '{"Name":"x","EnableIPv6":"yes"}' '"\} 400' "a boolean that is none"
refused '{"Name":"x","IPAM":{"Config":[{"Subnet":5}]}}' '"\} 400' "a subnet that is a number"
is "$(names)" "bridge full host none" "nothing is left of those"

# configurations
create '{"Name":"cfg","ConfigOnly":true,"Labels":{"a":"b"},"IPAM":{"Config":[{"Subnet":"10.57.0.0/24"}]}}' >/dev/null
is "$(field cfg '{{.ConfigOnly}} {{.Driver}} {{range .IPAM.Config}}{{.Subnet}}{{end}}')" "true null 10.57.0.0/24" "a configuration"
docker network create --config-from cfg fromcfg >/dev/null
is "$(field fromcfg '{{.ConfigFrom.Network}} {{.Labels.a}} {{range .IPAM.Config}}{{.Subnet}}{{end}}')" "cfg b 10.57.0.0/24" "a network by it"
refused '{"Name":"x","ConfigFrom":{"Network":"cfg"},"Labels":{"q":"r"}}' 'user specified configurations are not supported if the network depends on a configuration network"\} 403' "more than the configuration says"
refused '{"Name":"x","ConfigOnly":true,"ConfigFrom":{"Network":"cfg"}}' 'a configuration network cannot depend on another configuration network"\} 403' "a configuration by another"
like "$(said DELETE /networks/cfg '')" 'configuration network ."cfg." is in use"\} 403' "it stays as long as it is used"
like "$(docker run --rm --network cfg busybox true 2>&1)" "cannot create endpoint on configuration-only network" "no container is on a configuration"
docker network rm fromcfg cfg >/dev/null; ok "both go, in this order"

# filters
docker network create --label l=2 --ipv6 --internal six >/dev/null
is "$(names --filter driver=bridge)" "bridge full six" "filter driver"
is "$(names --filter type=custom) / $(names --filter type=builtin)" "full six / bridge host none" "filter type"
is "$(names --filter label=l) / $(names --filter label=l=2)" "full six / six" "filter label"
is "$(names --filter name=ful) / $(names --filter "id=$(echo "$id" | cut -c1-12)")" "full / full" "filters name and id"
is "$(names --filter scope=local) / $(names --filter scope=swarm)" "bridge full host none six / " "filter scope"
is "$(names --filter dangling=true)" "full six" "filter dangling"
like "$(said GET '/networks?filters=%7B%22x%22%3A%5B%221%22%5D%7D' '')" 'invalid filter.*400' "an unknown filter"

# packets
docker run -d --name aa --network full busybox sleep 1000 >/dev/null
docker run -d --name bb --network full busybox sleep 1000 >/dev/null
docker run -d --name s1 --network six busybox sleep 1000 >/dev/null
docker run -d --name s2 --network six busybox sleep 1000 >/dev/null
ip_of() { docker inspect -f "{{(index .NetworkSettings.Networks \"$2\").${3:-IPAddress}}}" "$1"; }
is "$(ip_of aa full) $(ip_of bb full)" "10.55.0.128 10.55.0.130" "addresses of the range, without the one that is taken"
is "$(docker exec aa cat /sys/class/net/eth0/mtu)" 1400 "the MTU"
like "$(docker exec aa ip route)" "default via 10.55.0.254 dev eth0" "the gateway"
docker exec aa ping -c 1 -W 2 "$(ip_of bb full)" >/dev/null; ok "one reaches the other"
docker exec aa ping -c 1 -W 2 198.51.100.2 >/dev/null; ok "and the world"
! docker exec aa ping -c 1 -W 1 "$(ip_of s1 six)" >/dev/null; ok "but not one of another network"
docker exec s1 ping -c 1 -W 2 "$(ip_of s2 six)" >/dev/null; ok "internal: they reach each other"
soon "also by IPv6" docker exec s1 ping -6 -c 1 -W 2 "$(ip_of s2 six GlobalIPv6Address)"
! docker exec s1 ping -c 1 -W 1 198.51.100.2 >/dev/null 2>&1; ok "but not the world"
unlike "$(docker exec s1 ip route)" default "they have no default route"
is "$(field full '{{range .Containers}}{{.Name}}={{.IPv4Address}} {{end}}' | tr ' ' '\n' | sort | paste -sd ' ' | sed 's/^ //')" "aa=10.55.0.128/24 bb=10.55.0.130/24" "inspect tells of them"
like "$(api GET /networks)" '"Containers":\{\}' "lists do not"
like "$(api GET '/v1.27/networks?filters=%7B%22name%22%3A%5B%22full%22%5D%7D')" '"Containers":\{"[0-9a-f]{64}":\{"Name":"(aa|bb)"' "those of before 1.28 do"
is "$(names --filter dangling=true)" "" "nothing is dangling"
like "$(said DELETE /networks/full '')" "error while removing network: network full id $id has active endpoints.* 403" "one in use stays"
like "$(said DELETE /networks/bridge '')" 'bridge is a pre-defined network and cannot be removed"\} 403' "and those of the daemon"

like "$(events "$t0")" "^create:full:bridge create:cfg:null create:fromcfg:bridge destroy:fromcfg:bridge destroy:cfg:null create:six:bridge connect:full:bridge" "events of creations and removals"

# they outlive the daemon
stop_daemon KILL >/dev/null 2>&1
start_daemon --default-network-opt bridge=com.docker.network.driver.mtu=1234 --default-network-opt macvlan=parent=nosuch; ok "killed, and back"
is "$(field full '{{.Id}} {{.Labels.l}} {{len .Containers}}')" "$id 1 2" "the network is what it was"
docker exec aa ping -c 1 -W 2 "$(ip_of bb full)" >/dev/null; ok "and carries packets"
docker run --rm --network full busybox ping -c 1 -W 2 "$(ip_of aa full)" >/dev/null; ok "also of a new container"

like "$(said POST /networks/create '{"Name":"slip","Options":{"com.docker.network.mtu":"1400","com.docker.network.driver.mtu":"1400"}}')" \
	'"Warning":"the option com.docker.network.mtu is unknown to the network driver bridge: it has no effect"\} 201$' "an option that nobody reads is warned of"
docker network rm slip >/dev/null

# --default-network-opt
docker network create small >/dev/null
is "$(field small '{{json .Options}}')" '{"com.docker.network.driver.mtu":"1234"}' "a new network has its driver's default options"
is "$(docker run --rm --network small busybox cat /sys/class/net/eth0/mtu)" 1234 "in effect"
docker network create -o com.docker.network.driver.mtu=1300 own >/dev/null
is "$(docker run --rm --network own busybox cat /sys/class/net/eth0/mtu)" 1300 "its own go before"
is "$(docker run --rm busybox cat /sys/class/net/eth0/mtu)" 1500 "they are not the default bridge's"
like "$(docker network create -d macvlan lan 2>&1)" "invalid subinterface vlan name nosuch" "another driver has others"
docker network create --config-only -o com.docker.network.driver.mtu=1250 conf >/dev/null
docker network create --config-from conf its >/dev/null
is "$(field its '{{json .Options}}')" '{"com.docker.network.driver.mtu":"1250"}' "nor of one that has its configuration from another"
docker network rm small own its conf >/dev/null

# prune
docker rm -f aa bb s1 s2 >/dev/null
docker network create keep --label keep=1 >/dev/null
is "$(api POST '/networks/prune?filters=%7B%22until%22%3A%5B%2210m%22%5D%7D')" '{"NetworksDeleted":null}' "prune: none is that old"
is "$(docker network prune -f --filter label!=keep | sort | paste -sd ' ')" " Deleted Networks: full six" "prune: all but the labelled"
is "$(names)" "bridge host keep none" "which stays"
docker network rm keep >/dev/null; ok "rm"
like "$(events "$t0")" "disconnect:six:bridge .*create:keep:bridge prune:-:- destroy:(full:bridge destroy:six|six:bridge destroy:full):bridge prune:-:- destroy:keep:bridge$" "events of prunes"
gone 0 "no interface is left"
is "$(ip -n "$ME" -o link show type bridge | grep -c br-)" 0 "no bridge"
stop_daemon
done_testing
