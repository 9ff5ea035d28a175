#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# docker-compose (Debian's, which is version 1): a stack of three services on two networks, with names, a published port and an
# address of its own.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
need docker-compose
start_daemon; ok "starts" || done_testing
load_busybox > /dev/null
export COMPOSE_API_VERSION=1.44
mkdir "$WORK/stack"
cd "$WORK/stack" || exit 1
cat > docker-compose.yml <<'EOF'
version: "3.8"
services:
  store:
    image: busybox
    command: sh -c 'mkdir -p /w && echo stored > /w/index.html && exec httpd -f -p 81 -h /w'
    networks: {back: {ipv4_address: 10.82.0.10}}
    stop_grace_period: 0s
  app:
    image: busybox
    command: sh -c 'mkdir -p /w && echo app > /w/index.html && exec httpd -f -p 82 -h /w'
    networks: {back: {}, front: {aliases: [backend]}}
    depends_on: [store]
    stop_grace_period: 0s
  web:
    image: busybox
    command: sh -c 'mkdir -p /w && echo web > /w/index.html && exec httpd -f -p 80 -h /w'
    networks: [front]
    ports: ["8080:80"]
    stop_grace_period: 0s
networks:
  front: {}
  back:
    internal: true
    ipam: {config: [{subnet: 10.82.0.0/24}]}
EOF
compose() { DOCKER_HOST=unix://$SOCK COMPOSE_PROJECT_NAME=st COMPOSE_HTTP_TIMEOUT=$((60 * DKD_SLOW)) docker-compose --ansi never "$@" 2>&1; }
fetch() { docker exec "$1" sh -c "printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 3 $2 $3" | grep -qx "$4"; } # FROM ADDRESS PORT WORD
lookup() { docker exec "$1" nslookup -type=a "$2" 2>&1 | awk '/^Name:/ { n = 1 } n && /^Address/ { print $NF }' | head -n 1; }
ip_of() { docker inspect -f "{{(index .NetworkSettings.Networks \"st_$2\").IPAddress}}" "st_$1_1"; }
knows() { [ "$(lookup "st_$1_1" "$2")" = "$3" ]; }

out=$(compose up -d)
ok "up -d" || printf '%s\n' "$out" | sed 's/^/# /'
is "$(docker ps --format '{{.Names}}' | sort | xargs)" "st_app_1 st_store_1 st_web_1" "three services run"
is "$(docker network ls --format '{{.Name}}' --filter type=custom | sort | xargs)" "st_back st_front" "on two networks"
is "$(ip_of store back)" 10.82.0.10 "an address as asked for"
soon "app knows store by its service" knows app store 10.82.0.10
soon "web knows app by its service" knows web app "$(ip_of app front)"
soon "and by its alias" knows web backend "$(ip_of app front)"
is "$(lookup st_web_1 store)" "" "but not store, which is elsewhere"
soon "app reaches store" fetch st_app_1 10.82.0.10 81 stored
soon "web reaches app" fetch st_web_1 "$(ip_of app front)" 82 app
! docker exec st_web_1 ping -c 1 -W 1 10.82.0.10 >/dev/null 2>&1; ok "web does not reach store"
! docker exec st_store_1 ping -c 1 -W 1 198.51.100.2 >/dev/null 2>&1; ok "store does not reach the world"
docker exec st_app_1 ping -c 1 -W 2 198.51.100.2 >/dev/null; ok "app does, over the other network"
published() { outside curl -s -m 3 --noproxy '*' http://198.51.100.1:8080/ | grep -qx web; }
soon "the world reaches web" published
before=$(docker ps -q --no-trunc | sort | xargs)
compose up -d >/dev/null
is "$(docker ps -q --no-trunc | sort | xargs)" "$before" "up again changes nothing"
out=$(compose up -d --force-recreate web)
ok "up --force-recreate" || printf '%s\n' "$out" | sed 's/^/# /'
soon "the world reaches the new web" published
out=$(compose restart -t 0 app)
ok "restart" || printf '%s\n' "$out" | sed 's/^/# /'
soon "app is known again" knows web app "$(ip_of app front)"
out=$(compose down -t 0)
ok "down" || printf '%s\n' "$out" | sed 's/^/# /'
is "$(docker ps -aq)$(docker network ls -q --filter type=custom)" "" "no container and no network is left"
gone 0 "no interface either"
stop_daemon
done_testing
