#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Containers on networks of users: several at create, connect and disconnect of those that run and those that do not, addresses,
# names, the files that go with them, and what clients are told.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
need python3

start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
said() { # METHOD PATH BODY: answer and status
	curl -sS --max-time $((60 * DKD_SLOW)) -w ' %{http_code}' -X "$1" --unix-socket "$SOCK" -H 'Content-Type: application/json' -d "$3" "http://d$2" | tr -d '\n'
}
ep() { docker inspect -f "{{with index .NetworkSettings.Networks \"$2\"}}{{.$3}}{{end}}" "$1"; } # CONTAINER NETWORK FIELD
nets() { docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}' "$1"; }
addresses() { docker exec "$1" ip -o -4 addr show | awk '$2 != "lo" { print $2 "=" $4 }' | paste -sd ' '; }
lookup() { docker exec "$1" nslookup -type="${3:-a}" "$2" 2>&1 | awk '/^Name:/ { n = 1 } n && /^Address/ { print $NF } /name = / { print $NF }' | sort | paste -sd ' '; }
looks() { [ "$(lookup "$1" "$2")" = "$3" ]; }
now() { date +%s.%N; }
events() { curl -sS --max-time $((60 * DKD_SLOW)) --unix-socket "$SOCK" -G http://d/events --data-urlencode "since=$1" --data-urlencode "until=$(now)" |
	python3 -c 'import json, sys
for l in sys.stdin:
    e = json.loads(l); a = e["Actor"]["Attributes"]
    if e["Type"] == "network" or e["Action"] in ("start", "die", "stop"): print(e["Action"] + (":" + a["name"] if e["Type"] == "network" else ""))' | paste -sd ' '; }

docker network create --subnet 10.61.0.0/24 n1 >/dev/null
docker network create --subnet 10.62.0.0/24 --ipv6 --subnet fd62::/64 n2 >/dev/null
docker network create n3 >/dev/null

# several at create
t0=$(now)
docker run -d --name one --hostname hh --network name=n1,alias=al,ip=10.61.0.50 --network name=n2,ip=10.62.0.9,ip6=fd62::99,mac-address=02:42:0a:3e:00:77,gw-priority=5 \
	busybox sleep 1000 >/dev/null; ok "a container on two networks"
is "$(events "$t0")" "connect:n1 connect:n2 start" "events: both are joined before it starts"
is "$(addresses one)" "eth0=10.61.0.50/24 eth1=10.62.0.9/24" "the network of the mode is the first, addresses as asked for"
is "$(docker exec one cat /sys/class/net/eth1/address)" 02:42:0a:3e:00:77 "and the MAC"
like "$(docker exec one ip -6 addr show dev eth1)" "fd62::99/64" "IPv6, too"
like "$(docker exec one ip route)" "^default via 10.62.0.1 dev eth1" "the priority leads the default route"
is "$(ep one n1 IPAddress) $(ep one n1 Gateway) $(ep one n2 GlobalIPv6Address) $(ep one n2 IPv6Gateway) $(ep one n2 GwPriority) $(ep one n2 MacAddress)" \
	"10.61.0.50 10.61.0.1 fd62::99 fd62::1 5 02:42:0a:3e:00:77" "inspect"
id=$(docker inspect -f '{{slice .Id 0 12}}' one)
is "$(ep one n1 Aliases) $(ep one n1 DNSNames)" "[al] [one al $id hh]" "names and aliases"
is "$(api GET /v1.44/containers/one/json | python3 -c 'import json, sys; print(*json.load(sys.stdin)["NetworkSettings"]["Networks"]["n1"]["Aliases"])')" "al $id" "before 1.45 the id was an alias"
is "$(docker exec one cat /etc/hosts | sed 1,6d)" "10.61.0.50	hh
10.62.0.9	hh
fd62::99	hh" "hosts: a line for each address"
is "$(docker exec one cat /etc/resolv.conf | grep -v ^search)" "nameserver 127.0.0.11
options ndots:0" "resolv.conf: the sandbox's own resolver"
docker exec one ping -c 1 -W 2 198.51.100.2 >/dev/null; ok "the world answers"
BOTH='{"Image":"busybox","HostConfig":{"NetworkMode":"n1"},"NetworkingConfig":{"EndpointsConfig":{"n1":{},"n2":{}}}}'
like "$(said POST /v1.43/containers/create "$BOTH")" 'Container cannot be connected to network endpoints: n1, n2"\} 400' "before 1.44 one was all"

# names
docker run -d --name two --network n1 --network-alias al busybox sleep 1000 >/dev/null
a2=$(ep two n1 IPAddress)
soon "by name" looks two one 10.61.0.50
soon "by the short id" looks two "$id" 10.61.0.50
soon "by hostname" looks two hh 10.61.0.50
soon "an alias of two" looks one al "$(printf '%s\n' 10.61.0.50 "$a2" | sort | paste -sd ' ')"
docker rename two deux; ok "rename"
soon "the new name is known" looks one deux "$a2"
is "$(lookup one two)" "" "the old one is not"
docker rename deux two
docker run -d --name linked --network n1 --link two:friend busybox sleep 1000 >/dev/null
soon "a link is a name for one container" looks linked friend "$a2"
is "$(lookup one friend)" "" "and for no other"
docker rm -f linked >/dev/null

# an address that a container asked for which does not run
docker network create --subnet 10.65.0.0/29 tight >/dev/null
docker create --name asks --network tight --ip 10.65.0.2 busybox sleep 1000 >/dev/null
for i in 1 2 3; do docker run -d --name "t$i" --network tight busybox sleep 1000 >/dev/null; done
is "$(ep t1 tight IPAddress) $(ep t2 tight IPAddress) $(ep t3 tight IPAddress)" "10.65.0.3 10.65.0.4 10.65.0.5" "an address that somebody asked for is given to nobody else"
docker start asks >/dev/null; ok "he has it when he starts"
docker stop -t 0 asks >/dev/null
docker run -d --name t4 --network tight busybox sleep 1000 >/dev/null
docker run -d --name t5 --network tight busybox sleep 1000 >/dev/null; ok "until there is no other"
is "$(ep t4 tight IPAddress) $(ep t5 tight IPAddress)" "10.65.0.6 10.65.0.2" "then the last one gets it"
like "$(docker start asks 2>&1)" "Address already in use" "as with Docker he cannot start then"
docker rm -f asks t1 t2 t3 t4 t5 >/dev/null
docker network rm tight >/dev/null

# connect and disconnect of one that runs
t0=$(now)
docker network connect --alias x3 --ip 10.62.0.30 n2 two; ok "connect"
is "$(addresses two)" "eth0=$a2/24 eth1=10.62.0.30/24" "another interface"
like "$(docker exec two cat /etc/hosts | tail -n 2)" "^10.62.0.30	" "hosts has its address"
soon "its alias is known there" looks one x3 10.62.0.30
docker exec two ping -c 1 -W 2 10.62.0.9 >/dev/null; ok "packets go"
is "$(docker network inspect -f '{{len .Containers}}' n2)" 2 "the network knows it"
like "$(said POST /networks/n2/connect '{"Container":"two"}')" 'endpoint with name two already exists in network n2"\} 403' "not twice"
docker network disconnect n2 two; ok "disconnect"
is "$(addresses two) $(nets two)" "eth0=$a2/24 n1 " "it is gone"
unlike "$(docker exec two cat /etc/hosts)" "^10.62.0.30	" "from hosts as well"
is "$(events "$t0")" "connect:n2 disconnect:n2" "events"
like "$(said POST /networks/n2/disconnect '{"Container":"two"}')" 'container [0-9a-f]{64} is not connected to network n2"\} 500' "not twice either"
docker create --name still busybox true >/dev/null
like "$(said POST /networks/n2/disconnect '{"Container":"still"}')" 'container [0-9a-f]{64} is not connected to the network n2"\} 500' "nor one that does not run"
like "$(said POST /networks/n2/disconnect '{"Container":"nosuch","Force":true}')" 'endpoint nosuch not found"\} 404' "nor nobody by force"
docker rm still >/dev/null
docker run -d --name plain busybox sleep 1000 >/dev/null
before=$(docker exec plain cat /etc/resolv.conf)
docker network connect n1 plain; ok "from the default bridge to one with names"
is "$(docker exec plain grep -c 127.0.0.11 /etc/resolv.conf)" 1 "its resolver is the sandbox's now"
soon "which knows the others" looks plain one 10.61.0.50
like "$(docker exec plain ip route)" "^default via 172.17.0.1 dev eth0" "the way out stays: bridge comes before n1"
docker network disconnect bridge plain; ok "and off the default bridge"
like "$(docker exec plain ip route)" "^default via 10.61.0.1 dev eth1" "another network leads out"
docker exec plain ping -c 1 -W 2 198.51.100.2 >/dev/null; ok "the world answers"
docker network disconnect n1 plain; ok "and off the last"
is "$(addresses plain)$(nets plain)" "" "no network is left"
[ -n "$before" ] && docker rm -f plain >/dev/null

# refusals
connect() { like "$(said POST "/networks/$1/connect" "{\"Container\":\"$2\"${3:+,\"EndpointConfig\":$3}}")" "$4" "refused: $5"; }
connect nonesuch one "" 'network nonesuch not found"\} 404' "no such network"
connect n3 nonesuch "" 'No such container: nonesuch"\} 404' "no such container"
connect n3 "" "" 'invalid name or ID supplied: .".""\} 400' "no name"
connect n3 one '{"IPAMConfig":{"IPv4Address":"foo"}}' 'invalid IPv4 address: foo"\} 400' "no address"
connect n3 one '{"MacAddress":"foo"}' 'invalid MAC address"\} 400' "no MAC"
connect n3 one '{"IPAMConfig":{"IPv4Address":"10.99.0.1"}}' 'invalid endpoint settings:\\nno configured subnet or ip-range contain the IP address 10\.99\.0\.1"\} 400' "an address of elsewhere"
connect n3 one '{"IPAMConfig":{"IPv6Address":"fd99::1"}}' 'user specified IP address is supported only when connecting to networks with user configured subnets"\} 400' "of a family that the network has not"
docker create --name cold --network n3 busybox true >/dev/null
connect n1 cold '{"IPAMConfig":{"IPv4Address":"10.99.0.1"}}' 'contain the IP address 10\.99\.0\.1"\} 400' "to one that does not run"
docker rm cold >/dev/null
like "$(docker create --name cold --network n1 --ip 10.99.0.1 busybox true 2>&1 | paste -sd ' ')" \
	'invalid config for network n1: invalid endpoint settings: no configured subnet or ip-range contain the IP address 10\.99\.0\.1' "nor is one made with it"
unlike "$(docker ps -a)" cold "which leaves nothing"
connect n1 plain2 "" 'No such container' "a container that was never there"
connect bridge one '{"Aliases":["q"]}' 'network-scoped alias is supported only for containers in user defined networks"\} 400' "an alias on the default bridge"
connect host one "" 'container cannot be disconnected from host network or connected to host network"\} 400' "host"
connect none one "" 'container cannot be connected to multiple networks with one of the networks in private \(none\) mode"\} 400' "none"
docker run -d --name hosted --network host busybox sleep 1000 >/dev/null
docker run -d --name guest --network container:one busybox sleep 1000 >/dev/null
docker run -d --name lonely --network none busybox sleep 1000 >/dev/null
SHARED='container sharing network namespace with another container or host cannot be connected to any other network"\} 400'
connect n2 hosted "" "$SHARED" "one in the host's namespace"
connect n2 guest "" "$SHARED" "one in another's"
connect n2 lonely "" 'private \(none\) mode"\} 400' "one on none"
like "$(said POST /networks/host/disconnect '{"Container":"hosted"}')" 'cannot be disconnected from host network' "off the host's"
like "$(said POST /networks/n3/disconnect '{"Container":"nonesuch","Force":true}')" 'endpoint nonesuch not found"\} 404' "a container that is gone"
is "$(docker exec guest ip -o -4 addr show dev eth0 | tr -s ' ' | cut -d' ' -f4)" 10.61.0.50/24 "the guest has the other's interfaces"
is "$(nets guest)" "" "and no networks of its own"
is "$(nets one)" "n1 n2 " "none of it changed anything"
docker rm -f hosted guest lonely >/dev/null

# those that do not run
docker stop -t 0 one two >/dev/null
is "$(nets one) $(ep one n1 IPAddress)$(ep one n1 EndpointID)" "n1 n2  " "stopped: the networks stay, without addresses"
docker network connect --ip 10.61.0.77 n1 two; ok "connect of a stopped one changes its wishes"
docker network connect n3 two; ok "and adds a network"
docker network disconnect n2 one; ok "disconnect"
docker start one two >/dev/null; ok "they start"
is "$(addresses one)" "eth0=10.61.0.50/24" "one without, at its address of before"
like "$(addresses two)" "^eth0=10.61.0.77/24 eth1=172" "the other with"
docker restart -t 0 one >/dev/null
is "$(addresses one)" "eth0=10.61.0.50/24" "an address that was asked for stays over restarts"

# the daemon goes and comes back
docker network connect n2 one
was="$(addresses one) $(addresses two)"
record=$WORK/root/containers/$(docker inspect -f '{{.Id}}' one)/config.v2.json
stop_daemon KILL >/dev/null 2>&1
python3 - "$record" <<'EOF'
import json, sys
with open(sys.argv[1]) as f:
    r = json.load(f)
del r["NetworkSettings"]["Networks"]["n2"]
with open(sys.argv[1], "w") as f:
    json.dump(r, f)
EOF
start_daemon; ok "killed within a connect, and back"
is "$(addresses one) $(addresses two)" "$was" "the containers have what they had"
is "$(ep one n1 IPAddress) $(nets one)" "10.61.0.50 n1 n2 " "inspect, too, with the network that the record did not tell of"
docker exec two ping -c 1 -W 2 10.61.0.50 >/dev/null; ok "they are connected"
soon "names are known" looks two one 10.61.0.50
docker network disconnect n2 one; ok "disconnect of one that an earlier daemon connected"
is "$(addresses one)" "eth0=10.61.0.50/24" "the interface is gone"

# networks that go
docker stop -t 0 two >/dev/null
docker network rm n3 >/dev/null; ok "a network that only a stopped container knows can go"
like "$(docker start two 2>&1)" "network n3 not found" "which cannot start then"
is "$(docker inspect -f '{{.State.Running}}' two)" false "and does not run"
docker network create n3 >/dev/null
docker start two >/dev/null; ok "with another of that name it can"
like "$(docker run --rm --network nonesuch busybox true 2>&1)" "network nonesuch not found" "run on none"
docker rm -f two >/dev/null

# addresses on the networks of the daemon's choice
docker run -d --name fixed --ip 172.17.0.99 busybox sleep 1000 >/dev/null
is "$(docker exec fixed ip -o -4 addr show dev eth0 | tr -s ' ' | cut -d' ' -f4)" 172.17.0.99/16 "an address on the default bridge"
like "$(docker run --rm --ip 172.17.0.99 busybox true 2>&1)" "[Aa]ddress already in use" "no two have it"
docker rm -f fixed one >/dev/null
gone 0 "no interface is left"
stop_daemon
done_testing
