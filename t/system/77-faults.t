#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What goes wrong with networks: subnets that overlap, addresses of elsewhere, ports that others have, long names, bridges and namespaces
# that vanish. Each is refused in words or made good, and nothing is left behind: no interface, no rule, no address, no file, no port.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
need python3
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
said() { # METHOD PATH BODY
	curl -sS --max-time $((60 * DKD_SLOW)) -w ' %{http_code}' -X "$1" --unix-socket "$SOCK" -H 'Content-Type: application/json' -d "$3" "http://d$2" | tr -d '\n'
}
links() { ip -n "$ME" -o link show 2>/dev/null | sed 's/^[0-9]*: \([^:@]*\).*/\1/; s/^veth.*/veth/' | sort | paste -sd ' '; }
rules() { here nft list ruleset | grep -vE 'counter packets|^$' | sort | sha256sum; }
files() { (cd "$WORK/exec" && find netns sandboxes containers -mindepth 1 2>/dev/null | sort | sed 's/[0-9a-f]\{64\}/ID/g; s/[0-9a-f]\{12\}/SHORT/g' | paste -sd ' '); }
bound() { here busybox netstat -lnut | awk 'NR > 2 { print $1, $4 }' | sort | paste -sd ' '; }
# all that a refusal must leave as it was; links go a moment later
trace() { echo "$(links) / $(rules) / $(files) / $(bound) / $(docker network ls --format '{{.Name}}' | sort | paste -sd ' ') / $(docker ps -aq | wc -l)"; }
untouched() { [ "$(trace)" = "$BEFORE" ]; }
nothing_left() { soon "$1: nothing is left" untouched || printf '#  got: %s\n# want: %s\n' "$(trace)" "$BEFORE"; }
net() { docker network create "$@" 2>&1; }
run() { docker run --rm "$@" busybox true 2>&1; }
addr() { docker inspect -f "{{(index .NetworkSettings.Networks \"$2\").IPAddress}}" "$1"; }

docker network create --subnet 10.71.0.0/24 --ipv6 --subnet fd71::/64 n1 >/dev/null; ok "a network"
docker run -d --name web --network n1 --ip 10.71.0.9 -p 8080:80 -p 53:53/udp busybox sleep 1000 >/dev/null; ok "a container on it"
BEFORE=$(trace)

# subnets
like "$(net --subnet 10.71.0.0/24 x)" "Pool overlaps with other one on this address space" "the same subnet"
like "$(net --subnet 10.0.0.0/8 x)" "Pool overlaps with other one on this address space" "one around it"
like "$(net --subnet 10.71.0.128/25 x)" "Pool overlaps with other one on this address space" "one in it"
like "$(net --subnet 172.17.0.0/24 x)" "Pool overlaps with other one on this address space" "one in the default bridge's"
like "$(net --ipv6 --subnet fd71::/80 x)" "Pool overlaps with other one on this address space" "of IPv6"
like "$(net --subnet 10.72.0.0/24 --subnet 10.72.0.128/25 x)" "(conflicting|overlap|match)" "of one network"
like "$(net --ipv6 --subnet 10.72.0.0/24 --subnet fd71::/64 x)" "Pool overlaps" "the second of two"
docker network create --subnet 10.72.0.0/24 y >/dev/null; ok "the first of them is free"
docker network rm y >/dev/null
nothing_left "overlapping subnets"

# addresses
like "$(run --network n1 --ip 10.72.0.9)" "10.72.0.9" "an address of another subnet"
like "$(run --network n1 --ip 10.71.0.9)" "[Aa]ddress already in use" "another's address"
like "$(run --network n1 --ip 10.71.0.1)" "[Aa]ddress already in use" "the gateway's"
like "$(run --network n1 --ip 10.71.0.0)" "Address already in use" "the network's own"
like "$(run --network n1 --ip 10.71.0.255)" "Address already in use" "the broadcast address"
like "$(run --network n1 --ip6 fd72::9)" "fd72::9" "one of IPv6 from elsewhere"
like "$(run --network n1 --ip 300.1.1.1)" "(invalid|IPv4)" "none at all"
like "$(said POST /networks/n1/connect '{"Container":"web"}')" 'already exists in network n1"\} 403' "one that is there already"
nothing_left "foreign addresses"
for _a in 10.71.0.2 10.71.0.3; do
	is "$(docker run --rm --network n1 --ip "$_a" busybox ip -o -4 addr show dev eth0 | tr -s ' ' | cut -d' ' -f4)" "$_a/24" "$_a is free"
done

# ports
like "$(run --network n1 -p 8080:80)" "Bind for 0.0.0.0:8080 failed: port is already allocated" "a port of another container"
like "$(run --network n1 -p 127.0.0.1:8080:80)" "Bind for 127.0.0.1:8080 failed: port is already allocated" "of all addresses"
like "$(run --network n1 -p 9000:80 -p 9001:81 -p 8080:82)" "8080 failed: port is already allocated" "the last of three"
like "$(run --network n1 -p 9000-9010:9000-9010 -p 53:53/udp)" "53 failed: port is already allocated" "a datagram's behind a range"
nsenter "--net=$NETNS" python3 -c '
import socket, sys, time
t = socket.socket(); t.bind(("198.51.100.1", 8085)); t.listen(1)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 8086))
h = socket.socket(); h.bind(("0.0.0.0", 8087))
print("bound", flush=True)
time.sleep(1000)' > "$WORK/bound" & holder=$!
soon "a process of the host holds three ports" grep -q bound "$WORK/bound"
BEFORE=$(trace)
like "$(run --network n1 -p 8085:80)" "8085.*address already in use" "a port that a process listens to, at one address"
like "$(run --network n1 -p 8086:80/udp)" "8086.*address already in use" "of datagrams"
like "$(run --network n1 -p 8087:80)" "8087.*address already in use" "one that is only bound"
like "$(run --network n1 -p 8080-8090:80-90)" "80[0-9]+.*(port is already allocated|address already in use)" "amid a range"
docker create --name held --network n1 -p 8085:80 busybox sleep 1000 >/dev/null
like "$(docker start held 2>&1)" "8085.*address already in use" "one that is created does not start"
is "$(docker inspect -f '{{.State.Status}} {{.NetworkSettings.Ports}}' held)" "created map[]" "it stays created"
docker rm held >/dev/null
nothing_left "ports of others"
kill "$holder"
wait "$holder" 2>/dev/null
docker run -d --name held --network n1 -p 8085:80 -p 8086:80/udp -p 8087:80 busybox sleep 1000 >/dev/null; ok "free again, they are had"
docker rm -f held >/dev/null
soon "and given back" sh -c "! ip netns exec $ME busybox netstat -lnut | grep -qE ':808[567]'"

# names
BEFORE=$(trace)
long=$(printf 'n%.0s' $(seq 300))
like "$(said POST /networks/create "{\"Name\":\"$long\"}")" '"Id":"[0-9a-f]{64}".* 201' "a network's name of 300 characters"
like "$(docker run --rm --hostname "$(printf 'h%.0s' $(seq 63))" --network "$long" busybox hostname 2>&1)" '^h{63}$' "a container on it"
like "$(docker run --rm --name "$long" --network "$long" busybox true 2>&1)" "Invalid container name \(n{300}\)" "a container's name has an end"
docker network rm "$long" >/dev/null; ok "it goes"
like "$(run --network n1 --network-alias "$long")" "invalid network-scoped alias: n{64}$" "no alias is longer than a label of DNS"
like "$(said POST /networks/create '{"Name":"x","Options":{"com.docker.network.bridge.name":"'"$long"'"}}')" '(too long|out of range|invalid|at most).* (400|500)' "a bridge's name of 300"
like "$(said POST /networks/create '{"Name":"x","Driver":"'"$long"'"}')" 'not found.* 404' "a driver's"
like "$(said POST /networks/create '{"Name":"x","Options":{"com.docker.network.container_iface_prefix":"'"$long"'"}}' | cut -c1-200)" '(400|500|"Id")' "an interface's"
docker network rm x >/dev/null 2>&1
like "$(run --network n1 --hostname "$long")" "invalid hostname: n{300} is longer than 64 characters" "and a hostname"
like "$(said POST /networks/n1/connect '{"Container":"'"$long"'"}')" 'No such container.* 404' "a container that there is not"
like "$(said GET "/networks/$long" '')" 'not found.* 404' "a network that there is not"
nothing_left "long names"

# a bridge that somebody deletes
bridge=br-$(docker network inspect -f '{{.Id}}' n1 | cut -c1-12)
ip -n "$ME" link del "$bridge"
docker run -d --name two --network n1 busybox sleep 1000 >/dev/null; ok "a bridge that was deleted comes back with the next container"
soon "which reaches the older one" docker exec two ping -c 1 -W 2 10.71.0.9
soon "and the world" docker exec two ping -c 1 -W 2 198.51.100.2
soon "and by IPv6" docker exec two ping -6 -c 1 -W 2 "$(docker inspect -f '{{(index .NetworkSettings.Networks "n1").GlobalIPv6Address}}' web)"
ip -n "$ME" link del "$bridge"
docker network disconnect n1 two; ok "deleted again: a container can leave"
docker network connect n1 two; ok "and come"
soon "and be reached" docker exec web ping -c 1 -W 2 "$(addr two n1)"
ip -n "$ME" link del "$bridge"
docker rm -f two >/dev/null; ok "or be removed"
docker network create gone >/dev/null
ip -n "$ME" link del "br-$(docker network inspect -f '{{.Id}}' gone | cut -c1-12)"
docker network rm gone >/dev/null; ok "a network whose bridge is gone can be removed"
ip -n "$ME" link add dkdx0 type dummy 2>/dev/null || ip -n "$ME" link add dkdx0 type veth peer name dkdx1
like "$(net -o com.docker.network.bridge.name=dkdx0 x)" "dkdx0" "a bridge's name that another interface has"
ip -n "$ME" link del dkdx0
docker start web >/dev/null
docker restart -t 0 web >/dev/null; ok "a restart brings the bridge back"
nothing_left "bridges that vanish"

# a namespace that somebody takes away
docker run -d --name two --network n1 -p 8081:80 busybox sleep 1000 >/dev/null
key=$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' two)
old=$(addr two n1)
daemon_ns() { nsenter -t "$DPID" -m "$@"; }
daemon_ns umount -l "$key"; ok "its file is unmounted"
like "$(said POST /networks/bridge/connect '{"Container":"two"}')" '[45][0-9][0-9]$|200$' "a connect is answered"
docker network disconnect -f bridge two >/dev/null 2>&1
docker restart -t 0 two >/dev/null; ok "a restart makes another"
soon "which reaches the others" docker exec two ping -c 1 -W 2 10.71.0.9
key=$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' two)
daemon_ns umount -l "$key"
daemon_ns rm -f "$key"
docker stop -t 0 two >/dev/null; ok "its file is removed: it stops"
docker start two >/dev/null; ok "and starts"
kill -9 "$(docker inspect -f '{{.State.Pid}}' two)"
ended() { [ "$(docker inspect -f '{{.State.Running}}' two)" = false ]; }
soon "its process is killed, and the namespace with it" ended
docker start two >/dev/null; ok "it starts"
key=$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' two)
stop_daemon KILL >/dev/null 2>&1
umount -l "$key" 2>/dev/null
rm -f "$key"
start_daemon; ok "a namespace that goes while the daemon is away"
like "$(cat "$WORK/log")" "goes on without its networks: the network namespace of container .* is gone" "the log has it"
docker rm -f two >/dev/null; ok "its container can be removed"
nothing_left "namespaces that vanish"
is "$(docker run --rm --network n1 --ip "$old" -p 8081:80 busybox ip -o -4 addr show dev eth0 | tr -s ' ' | cut -d' ' -f4)" "$old/24" "its address and port are free"

# interfaces that somebody takes away
docker run -d --name two --network n1 busybox sleep 1000 >/dev/null
nsenter -t "$(docker inspect -f '{{.State.Pid}}' two)" -n ip link del eth0; ok "an interface is deleted inside"
docker network disconnect n1 two; ok "it can be disconnected"
docker network connect n1 two; ok "and connected"
soon "and is reached" docker exec web ping -c 1 -W 2 "$(addr two n1)"
docker rm -f two >/dev/null
nothing_left "interfaces that vanish"

docker rm -f web >/dev/null
docker network rm n1 >/dev/null; ok "the network goes"
gone 0 "no interface is left"
is "$(files)" "" "no file"
unlike "$(links)" "br-" "no bridge"
unlike "$(here nft list tables)" "br-" "no table of one"
stop_daemon; is "$DSTATUS" 0 "stops"
unlike "$(cat "$WORK/log")" "level=(fatal|panic)" "without stumbling"
done_testing
