#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What a container asks of the default bridge: links to other containers, a MAC address, names of its own.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
need python3
start_daemon --host-gateway-ip 192.0.2.77
ok "starts" || done_testing
load_busybox >/dev/null
id=$(docker run -d --name db -e K=v -e HOME=/x -h dbhost --expose 82/udp --expose 82 --expose 81 --expose 80 --expose 100 busybox sleep 1000)
docker run -d --name web --link db:da-ta --link db busybox sleep 1000 >/dev/null; ok "a container with links"
ip=$(address db)
is "$(docker inspect -f '{{json .HostConfig.Links}}' web)" '["/db:/web/da-ta","/db:/web/db"]' "inspect names both"
is "$(docker exec web grep "$ip" /etc/hosts | tr '\t' ' ' | tr '\n' ';')" "$ip da-ta dbhost db;$ip db dbhost;" "/etc/hosts"
is "$(docker exec web env | grep -c '^DA_TA_')" 27 "variables"
is "$(docker exec web env | grep -E '^DA_TA_(PORT|NAME|ENV_K|ENV_HOME|PORT_80_TCP_START|PORT_80_TCP_PORT_START|PORT_80_UDP_END|PORT_82_UDP_ADDR|PORT_100_TCP_PROTO)=' | tr '\n' ' ')" \
	"DA_TA_PORT=tcp://$ip:80 DA_TA_PORT_80_TCP_START=tcp://$ip:80 DA_TA_PORT_80_TCP_PORT_START=80 DA_TA_PORT_80_UDP_END=udp://$ip:82 DA_TA_PORT_82_UDP_ADDR=$ip DA_TA_PORT_100_TCP_PROTO=tcp DA_TA_NAME=/web/da-ta DA_TA_ENV_K=v " "as Docker writes them"
docker exec web sh -c 'tr "\0" "\n" < /proc/1/environ' | grep -q '^DB_ENV_K=v$'; ok "the first process has them, too"
docker exec web ping -c 1 -W 2 da-ta >/dev/null; ok "the name leads there"
docker stop -t 0 db >/dev/null
for _i in $(seq $((50 * DKD_SLOW))); do [ "$(veths)" = 1 ] && break; sleep 0.1; done
docker run -d --name between busybox sleep 1000 >/dev/null
docker run -d --name between2 busybox sleep 1000 >/dev/null
docker start db >/dev/null
new=$(address db)
[ "$new" != "$ip" ]; ok "the linked container comes back with another address"
is "$(docker exec web grep da-ta /etc/hosts | tr '\t' ' ')" "$new da-ta dbhost db" "/etc/hosts follows"
docker rename db store
is "$(docker inspect -f '{{json .HostConfig.Links}}' web)" '["/store:/web/da-ta","/store:/web/db"]' "so do the names"
is "$(docker inspect -f '{{.Name}}' web/da-ta)" /store "a link is a name of the container behind it"
docker run -d --name once --link store:gone --link store:stays busybox sleep 1000 >/dev/null
is "$(docker rm --link once/gone)" once/gone "docker rm --link"
is "$(docker inspect -f '{{json .HostConfig.Links}}' once) $(docker exec once grep -c store /etc/hosts)" '["/store:/once/stays"] 1' "takes the link alone, also from /etc/hosts"
is "$(docker inspect -f '{{.State.Running}} {{.Name}}' once store | tr '\n' ' ')" "true /once true /store " "both run on"
is "$(api DELETE '/containers/once/gone?link=1')" '{"message":"No such container: once/gone"}' "a second time there is none"
is "$(api DELETE '/containers/store?link=1')" '{"message":"Conflict, cannot remove the default link name of the container"}' "a container's own name is no link"
is "$(api_status DELETE '/containers/store?link=1') $(api_status DELETE '/containers/nosuch/x?link=1')" "409 404" "statuses"
docker ps -q | xargs "$DOCKER" -H "unix://$SOCK" stop -t 0 >/dev/null
stop_daemon; start_daemon
is "$(docker inspect -f '{{json .HostConfig.Links}}' once)" '["/store:/once/stays"]' "the link that went stays away"
docker start store web >/dev/null
is "$(docker exec web grep -c "$(address store)" /etc/hosts)" 2 "links outlive the daemon"
docker stop -t 0 web store >/dev/null
like "$(docker start web 2>&1)" "Cannot link to a non running container: /store AS /web/da-ta" "a linked container has to run"
like "$(docker create --link nosuch:x busybox true 2>&1)" "could not get container for nosuch: No such container: nosuch" "and to be there"
like "$(docker create --network host --link store:x busybox true 2>&1)" "host type networking can't be used with links" "no links in the host's network"
like "$(api POST /containers/create -H 'Content-Type: application/json' -d '{"Image":"busybox","HostConfig":{"Links":["a:b:c"]}}')" "bad format for links: a:b:c" "words of a link"
like "$(docker run --rm --network none --link store:x busybox true 2>&1)" "Links have no effect" "without the bridge they are warned about"
docker rm -f once web store between between2 >/dev/null
# a MAC address
is "$(docker run --rm --mac-address 02:42:ac:11:00:99 busybox cat /sys/class/net/eth0/address)" 02:42:ac:11:00:99 "--mac-address"
docker run -d --name mac --mac-address 02:42:ac:11:00:98 busybox sleep 1000 >/dev/null
is "$(docker inspect -f '{{.Config.MacAddress}} {{.NetworkSettings.Networks.bridge.MacAddress}}' mac)" "02:42:ac:11:00:98 02:42:ac:11:00:98" "inspect knows it"
docker restart -t 0 mac >/dev/null
is "$(docker exec mac cat /sys/class/net/eth0/address)" 02:42:ac:11:00:98 "it is kept"
docker rm -f mac >/dev/null
is "$(api POST /v1.41/containers/create -H 'Content-Type: application/json' -d '{"Image":"busybox","MacAddress":"03:00:00:00:00:01"}')" '{"message":"address 03:00:00:00:00:01: invalid MAC address"}' "a group's address is refused"
# names
is "$(docker run --rm -h a.b.c --domainname dom busybox sh -c 'tail -1 /etc/hosts; cat /etc/hostname /proc/sys/kernel/domainname' | tr '\t\n' '  ' | cut -d' ' -f2-)" "a.b.c.dom a a.b.c dom " "a name with dots, and a domain"
gw=$(docker network inspect -f '{{(index .IPAM.Config 0).Gateway}}' bridge)
is "$(docker run --rm --add-host a:host-gateway --add-host 'b=[::1]' busybox grep -E '	(a|b)$' /etc/hosts | tr '\t\n' ' ;')" "$gw a;::1 b;" "host-gateway is the bridge's address"
stop_daemon; start_daemon --host-gateway-ip 192.0.2.77
is "$(docker run --rm --add-host a:host-gateway busybox grep '	a$' /etc/hosts | tr '\t' ' ')" "192.0.2.77 a" "or what the daemon was told"
stop_daemon
# where containers do not talk to each other, those that are linked do, on the ports that are exposed
start_daemon --icc=false; ok "--icc=false" || done_testing
serve='mkdir -p /w && echo yes > /w/index.html && httpd -p 80 -h /w && httpd -p 81 -h /w && exec sleep 1000'
docker run -d --name db --expose 80 --expose 90/udp busybox sh -c "$serve" >/dev/null
docker run -d --name web --link db busybox sleep 1000 >/dev/null
docker run -d --name other busybox sleep 1000 >/dev/null
inside() { _c=$1; shift; nsenter -t "$(docker inspect -f '{{.State.Pid}}' "$_c")" -n "$@"; }
asks() { [ "$(inside "$1" curl -s -m 2 --noproxy '*' "http://$(address "$2"):$3/")" = yes ]; } # FROM TO PORT
asks_not() { [ -z "$(inside "$1" curl -s -m 1 --noproxy '*' "http://$(address "$2"):$3/")" ]; }
# a datagram to port 90 that is answered
cat > "$WORK/udp.py" <<'P'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
if sys.argv[1] == "serve":
    s.settimeout(None)
    s.bind(("", 90))
    while True:
        d, a = s.recvfrom(100)
        s.sendto(d, a)
s.sendto(b"x", (sys.argv[1], 90))
s.recvfrom(100)
P
datagrams() { inside "$1" python3 "$WORK/udp.py" "$(address "$2")" 2>/dev/null; }
datagrams_not() { ! datagrams "$@"; }
soon "a linked container reaches an exposed port" asks web db 80
inside db python3 "$WORK/udp.py" serve & udp=$!
soon "also by datagrams" datagrams web db
[ "$(inside db curl -s -m 2 http://127.0.0.1:81/)" = yes ]; ok "there is another port"
asks_not web db 81; ok "no other port"
! docker exec web ping -c 1 -W 1 "$(address db)" >/dev/null; ok "nor the container itself"
asks_not other db 80; ok "one that is not linked reaches none"
docker exec -d web sh -c "$serve"
datagrams_not other db; ok "neither by datagrams"
kill "$udp"
wait "$udp" 2>/dev/null
soon "what is served in the other direction" inside web curl -s -m 2 http://127.0.0.1:80/
asks_not db web 80; ok "is not reached: a link has one direction"
docker restart -t 0 db >/dev/null
soon "it is reached after a restart" asks web db 80
was=$(address db)
docker stop -t 0 db >/dev/null
for _i in $(seq $((50 * DKD_SLOW))); do docker rm -f between >/dev/null 2>&1; docker run -d --name between --ip "$was" busybox sh -c "$serve" >/dev/null 2>&1 && break; sleep 0.1; done
soon "another has its address meanwhile" inside between curl -s -m 2 "http://$was:80/"
soon "and is not reached by it" asks_not web between 80
docker start db >/dev/null
soon "at its new address it is" asks web db 80
asks_not web db 81; ok "at that port alone"
asks_not other db 80; ok "by nobody else"
stop_daemon KILL >/dev/null 2>&1
start_daemon --icc=false; ok "killed, and back"
soon "the link is there" asks web db 80
asks_not web db 81; ok "for that port"
asks_not other db 80; ok "and that container"
docker network disconnect bridge other
docker network connect bridge other
asks_not other db 80; ok "one that leaves and comes is no better off"
docker network disconnect bridge db
docker network connect bridge db
soon "one that is linked to is reached again" asks web db 80
docker network disconnect bridge web
docker network connect bridge web
soon "and reaches again" asks web db 80
docker rm --link web/db >/dev/null
asks_not web db 80; ok "without the link nothing is reached"
docker rm -f db web other between >/dev/null
unlike "$(here nft list table ip dockerd-docker0)" "dport (80|90)|172\.17\.0\.[2-9] \. " "nothing of it is left among the rules"
is "$(docker ps -aq | wc -l)" 0 "no container is left"
gone 0 "nor an interface"
stop_daemon; is "$DSTATUS" 0 "stops"
done_testing
