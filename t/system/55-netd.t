#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A new daemon over sandboxes, names, ports and connections of the first dockerd-netd (t/abi/netd-1): today's program takes its place
# and nothing is cut.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
need python3
[ -x "$top_builddir/t/abi/netd-1/dockerd-netd" ] || skip_all "t/abi/netd-1 is not built"
# a daemon takes the program that stands beside it
mkdir "$WORK/old"
for p in "$top_builddir"/dockerd*; do [ ! -f "$p" ] || cp "$p" "$WORK/old/"; done
cp "$top_builddir/t/abi/netd-1/dockerd-netd" "$WORK/old/"; touch "$WORK/old/config.status"
netds() { pgrep -f "dockerd-netd [^ ]* [^ ]* $WORK/exec\$"; }
no_netd() { [ -z "$(netds)" ]; }
one_netd() { [ "$(netds | wc -l)" = 1 ] && [ "$(readlink "/proc/$(netds)/exe")" = "$1" ]; }
gets() { [ "$("$1" curl -s -m 3 --noproxy '*' "http://$2:$3/")" = "$4" ]; }
gets_not() { ! "$1" curl -s -m 3 --noproxy '*' "http://$2:$3/" >/dev/null; }
knows() { docker exec "$1" nslookup -type=a "$2" 127.0.0.11 2>/dev/null | grep -q "^Address: $3\$"; }
NEW=$DOCKERD DOCKERD=$WORK/old/dockerd
start_daemon; ok "starts beside the first dockerd-netd" || done_testing
load_busybox >/dev/null
docker network create --subnet 10.71.0.0/24 n1 >/dev/null
serve='mkdir -p /w && echo "$WORD" > /w/index.html && exec httpd -f -p 80 -h /w'
docker run -d --name web --network n1 --ip 10.71.0.9 --network-alias shop -e WORD=yes -p 8080:80 -p 7:7 -p 5353/udp busybox sh -c "nc -ll -p 7 -e cat & $serve" >/dev/null
docker run -d --name peer --network n1 --link web:friend busybox sleep 1000 >/dev/null
docker run -d --name six --network n1 -e WORD=six -p '[::1]:8081:80' busybox sh -c "$serve" >/dev/null
soon "its names" knows peer shop 10.71.0.9
soon "its ports, from the world" gets outside 198.51.100.1 8080 yes
soon "and through itself: IPv6 for a container without it" gets here '[::1]' 8081 six
soon "and for the loopback of IPv6" gets here '[::1]' 8080 yes
one_netd "$WORK/old/dockerd-netd"; ok "it is the first one that runs"
old=$(netds) pid=$(docker inspect -f '{{.State.Pid}}' peer)
udp=$(docker port web 5353/udp | sed -n '1s/.*://p')
# a connection through it that talks before, while and after
cat > "$WORK/talk.py" <<'P'
import os, socket, sys, time
s = socket.create_connection(("::1", 7), 60)
s.settimeout(60)
def round():
    s.sendall(b"x" * 1000)
    got = b""
    while len(got) < 1000:
        b = s.recv(1000)
        if not b: raise SystemExit("the connection was cut")
        got += b
round()
open(sys.argv[1] + "/talking", "w").close()
n = 0
while not os.path.exists(sys.argv[1] + "/enough"):
    round()
    n += 1
    time.sleep(0.01)
round()
print("talked")
P
soon "an echo" here sh -c 'echo x | busybox nc -w 3 ::1 7 | grep -q x'
here python3 "$WORK/talk.py" "$WORK" > "$WORK/talk" 2>&1 & talk=$!
for _i in $(seq $((50 * DKD_SLOW))); do [ -e "$WORK/talking" ] && break; sleep 0.1; done
stop_daemon KILL >/dev/null 2>&1
gets outside 198.51.100.1 8080 yes; ok "without a daemon the ports answer"
nsenter -t "$pid" -n busybox nslookup -type=a shop 127.0.0.11 | grep -q '^Address: 10.71.0.9$'; ok "and the names"
DOCKERD=$NEW
start_daemon; ok "a new daemon" || done_testing
soon "has today's program take over" one_netd "$(readlink -f "$top_builddir/dockerd-netd")"
ended() { ! kill -0 "$old" 2>/dev/null || grep -q '^State:.Z' "/proc/$old/status"; }
soon "the first one is gone" ended
like "$(cat "$WORK/log")" "dockerd-netd: took over [0-9]+ ports with [1-9][0-9]* connections, and [23] resolvers" "as the log tells"
: > "$WORK/enough"
wait "$talk"
is "$(cat "$WORK/talk")" talked "a connection went through it all"
soon "the ports answer" gets outside 198.51.100.1 8080 yes
soon "those for IPv6" gets here '[::1]' 8081 six
soon "the names" knows peer shop 10.71.0.9
soon "the links" knows peer friend 10.71.0.9
is "$(docker port web 5353/udp | sed -n '1s/.*://p')" "$udp" "a chosen port has its number"
like "$(docker run --rm --network n1 -p 8080:80 busybox true 2>&1)" "port is already allocated" "they are taken"
docker run -d --name late --network n1 --ip 10.71.0.10 busybox sleep 1000 >/dev/null; ok "a new container"
soon "whom the old ones know" knows peer late 10.71.0.10
docker rm -f web >/dev/null
soon "what is removed is free" gets_not here '[::1]' 8080
docker run --rm --network n1 -p 8080:80 busybox true; ok "for the next"
! knows peer shop 10.71.0.9; ok "and its names are gone"
docker rm -f late peer six >/dev/null
docker network rm n1 >/dev/null; ok "the network goes"
gone 0 "no interface is left"
stop_daemon
soon "nor a dockerd-netd" no_netd
done_testing
