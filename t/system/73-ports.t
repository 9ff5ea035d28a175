#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Published ports: from the host, from the world, from other containers; what lists and inspect show; conflicts; changes while a
# container runs; a daemon that goes and comes back.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
need python3

start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
# a server that answers with its word
SERVE='mkdir -p /w && echo "$WORD" > /w/index.html && exec httpd -f -p 80 -h /w'
serve() { # NAME WORD [args of run]
	_name=$1 _word=$2
	shift 2
	docker run -d --name "$_name" -e WORD="$_word" "$@" busybox sh -c "$SERVE" >/dev/null
}
get() { "$1" curl -s -m 3 --noproxy '*' "http://$2:$3/"; }
gets() { [ "$(get "$1" "$2" "$3")" = "$4" ]; }
gets_not() { [ -z "$(get "$1" "$2" "$3")" ]; }
ports() { docker inspect -f '{{json .NetworkSettings.Ports}}' "$1"; }
ps_ports() { docker ps --format '{{.Ports}}' --filter "name=^/$1\$"; }
port_of() { docker port "$1" "${2:-80/tcp}" | sed -n '1s/.*://p'; }
said() {
	curl -sS --max-time $((60 * DKD_SLOW)) -w ' %{http_code}' -X "$1" --unix-socket "$SOCK" -H 'Content-Type: application/json' -d "$3" "http://d$2" | tr -d '\n'
}
update() { said POST "/containers/$1/update" "{\"PortBindings\":$2}"; }

docker network create n1 >/dev/null
serve web yes --network n1 -p 8080:80 --expose 77
soon "from the world" gets outside 198.51.100.1 8080 yes
soon "from the host, by its address" gets here 198.51.100.1 8080 yes
soon "and by the loopback's" gets here 127.0.0.1 8080 yes
is "$(ports web)" '{"77/tcp":null,"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}]}' "inspect"
is "$(ps_ports web)" "77/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp" "ps"
is "$(docker port web | paste -sd ' ')" "80/tcp -> 0.0.0.0:8080 80/tcp -> [::]:8080" "port"
gateway=$(docker network inspect -f '{{range .IPAM.Config}}{{.Gateway}}{{end}}' n1)
docker run -d --name peer --network n1 busybox sleep 1000 >/dev/null
from_peer() { docker exec peer sh -c "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 $1 8080" | grep -q yes; }
soon "from a container of the same network, by the host's address" from_peer "$gateway"
is "$(docker ps -q --filter publish=8080 | wc -l) $(docker ps -q --filter publish=80 | wc -l) $(docker ps -q --filter expose=77 | wc -l) $(docker ps -q --filter expose=70-79/tcp | wc -l)" "1 0 1 1" "filters publish and expose"

# conflicts
like "$(docker run -d --name late --network n1 -p 8080:80 busybox sleep 1000 2>&1)" \
	'driver failed programming external connectivity on endpoint late \([0-9a-f]{64}\): Bind for 0.0.0.0:8080 failed: port is already allocated' "a port of another container"
is "$(docker inspect -f '{{.State.Running}} {{.NetworkSettings.Ports}}' late)" "false map[]" "it does not run"
docker rm -f late >/dev/null
nsenter "--net=$NETNS" busybox nc -l -p 8089 >/dev/null 2>&1 &
nc=$!
soon "a process of the host listens" sh -c "ip netns exec $ME busybox netstat -ltn | grep -q :8089"
like "$(docker run --rm --network n1 -p 8089:80 busybox true 2>&1)" "8089.*(address already in use|port is already allocated)" "a port of the host's"
kill "$nc" 2>/dev/null
wait "$nc" 2>/dev/null
soon "free again, it is published" docker run --rm --network n1 -p 8089:80 busybox true
docker run --rm --network n1 -p 127.0.0.1:8080:80 busybox true 2>/dev/null; is $? 125 "an address of all that are taken"

# forms
docker run -d --name forms --network n1 -p 127.0.0.1:9000-9002:9000-9002 -p 53/udp -p 9100-9105:80 busybox sleep 1000 >/dev/null; ok "ranges, a port of any number, one of several"
is "$(docker port forms 9001/tcp)" 127.0.0.1:9001 "one of a range"
is "$(port_of forms)" 9100 "the first of several"
like "$(port_of forms 53/udp)" '^[0-9]{5}$' "a port of the daemon's choice"
docker run -d --name forms2 --network n1 -p 9100-9105:80 busybox sleep 1000 >/dev/null
is "$(port_of forms2)" 9101 "the next of several"
docker rm -f forms forms2 >/dev/null
docker run -d --name all --network n1 -P --expose 81 --expose 82/udp busybox sleep 1000 >/dev/null
like "$(docker port all | grep -c '0.0.0.0:')" 2 "-P: all that are exposed"
docker rm -f all >/dev/null
refused() { like "$(said POST /containers/create "{\"Image\":\"busybox\",\"Cmd\":[\"true\"],\"HostConfig\":{\"NetworkMode\":\"n1\",\"PortBindings\":$1}}")" "$2" "refused: $3"; }
refused '{"80/tcp":[{"HostPort":"x"}]}' 'invalid port specification: ."x.""\} 400' "a port that is none"
refused '{"80/tcp":[{"HostPort":"99999"}]}' 'invalid port specification: ."99999.""\} 400' "one too high"
refused '{"foo/tcp":[{"HostPort":"80"}]}' 'invalid port specification: ."foo.""\} 400' "a container's port that is none"
refused '{"80-82/tcp":[{"HostPort":"80-82"}]}' 'invalid port specification: ."80-82.""\} 400' "a range of them"
refused '{"80/tcp":[{"HostIp":"foo","HostPort":"80"}]}' 'invalid host IP address of a port' "an address that is none"
refused '{"80/tcp":[{"HostPort":80}]}' 'expected a string"\} 400' "a number"
refused '{"80/tcp":{}}' 'expected an array"\} 400' "no list"
like "$(said POST /containers/create '{"Image":"busybox","Cmd":["true"],"HostConfig":{"NetworkMode":"host","PortBindings":{"80/tcp":[{"HostPort":"80"}]}}}')" \
	'Published ports are discarded when using host network mode' "on the host's network: a warning"

# while it runs
like "$(update web '{"80/tcp":[{"HostPort":"8080"},{"HostPort":"8081"}]}')" '"Warnings":null\} 200' "update: another port"
soon "answers" gets outside 198.51.100.1 8081 yes
soon "beside the first" gets outside 198.51.100.1 8080 yes
like "$(update web '{"80/tcp":[{"HostPort":"8081"}]}')" ' 200' "update: one less"
soon "it does not answer any more" gets_not outside 198.51.100.1 8080
is "$(docker port web | paste -sd ' ')" "80/tcp -> 0.0.0.0:8081 80/tcp -> [::]:8081" "what is left"
serve other no --network n1 -p 8082:80
like "$(update web '{"80/tcp":[{"HostPort":"8083"},{"HostPort":"8082"}]}')" 'port is already allocated"\} (409|500)' "update: one that is taken"
is "$(port_of web)" 8081 "all stays"
soon "and answers" gets outside 198.51.100.1 8081 yes
docker rm -f other >/dev/null
like "$(update web '{}')" ' 200' "update: none"
is "$(ports web)" '{"77/tcp":null,"80/tcp":null}' "there is none"
like "$(update web '{"80/tcp":[{"HostPort":""},{"HostPort":"8080"}]}')" ' 200' "update: one of any number"
any=$(docker port web 80/tcp | sed 's/.*://' | sort -nu | grep -v 8080)
soon "answers" gets outside 198.51.100.1 "$any" yes
docker network create n2 >/dev/null
docker network connect n2 web; ok "another network"
soon "its port stays" gets outside 198.51.100.1 "$any" yes
docker network disconnect n1 web; ok "off the first"
soon "the port leads over the other" gets outside 198.51.100.1 "$any" yes

# the daemon goes and comes back
stop_daemon KILL >/dev/null 2>&1
gets outside 198.51.100.1 8080 yes; ok "killed: the port answers"
start_daemon; ok "back"
soon "it answers" gets outside 198.51.100.1 "$any" yes
is "$(docker port web 80/tcp | sed 's/.*://' | sort -nu | paste -sd ' ')" "$(printf '%s\n' 8080 "$any" | sort -n | paste -sd ' ')" "inspect has the ports of before"
like "$(docker run --rm --network n1 -p 8080:80 busybox true 2>&1)" "port is already allocated" "which are taken"
docker stop -t 0 web >/dev/null
is "$(ports web)" '{}' "stopped: none"
soon "nothing answers" gets_not outside 198.51.100.1 8080
docker run --rm --network n1 -p 8080:80 busybox true; ok "and another may have them"
docker start web >/dev/null
soon "started again: it answers" gets outside 198.51.100.1 8080 yes
docker rm -f web peer >/dev/null

# whom the container sees
ip -n "$ME" addr add 2001:db8:1::1/64 dev dkdv0 nodad
ip -n "$OUT" addr add 2001:db8:1::2/64 dev dkdv1 nodad
docker network create --subnet 10.73.0.0/24 --ipv6 --subnet fd73::/64 both >/dev/null
docker network create --subnet 10.74.0.0/24 four >/dev/null
LOGS='mkdir -p /w && echo yes > /w/index.html && exec httpd -f -v -p 80 -h /w'
docker run -d --name both --network both -p 8060:80 busybox sh -c "$LOGS" >/dev/null
docker run -d --name four --network four -p 8040:80 busybox sh -c "$LOGS" >/dev/null
docker run -d --name inner --network four busybox sleep 1000 >/dev/null
last() { docker logs "$1" 2>&1 | grep -o '^\[[^]]*\]' | tail -n 1 | tr -d '[]' | sed 's/^::ffff://'; }
shows() { # description, container, command that asks it, what it sees
	_what=$1 _c=$2 _want=$4
	set -f # an address of IPv6 in brackets is no pattern of file names
	soon "$_what: it answers" $3
	set +f
	for _i in $(seq $((50 * DKD_SLOW))); do [ "$(last "$_c")" = "$_want" ] && break; sleep 0.1; done
	is "$(last "$_c")" "$_want" "$_what: it sees $_want"
}
from_inner() { docker exec inner sh -c "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 10.74.0.1 8040" | grep -q yes; }
shows "a client of the world" both "gets outside 198.51.100.1 8060 yes" 198.51.100.2
shows "one by IPv6" both "gets outside [2001:db8:1::1] 8060 yes" 2001:db8:1::2
shows "one by IPv6, and a container without" four "gets outside [2001:db8:1::1] 8040 yes" 10.74.0.1
shows "the world again" four "gets outside 198.51.100.1 8040 yes" 198.51.100.2
shows "the host by its loopback" four "gets here 127.0.0.1 8040 yes" 10.74.0.1
shows "the host by an address of its own" four "gets here 198.51.100.1 8040 yes" 198.51.100.1
shows "a container of the network" four from_inner 10.74.0.1
docker rm -f both four inner >/dev/null
gone 0 "no interface is left"
stop_daemon
done_testing
