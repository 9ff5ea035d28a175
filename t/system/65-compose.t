#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# docker-compose (Debian's, which is version 1) as the client: a project of two services without a network of its own, a volume, a probe.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc docker-compose
find_docker
scratch
start_daemon || { echo "1..1"; echo "not ok 1 - daemon starts"; exit 1; }
load_busybox > /dev/null

# Version 1 looks for ContainerConfig in images, which answers from 1.45 on do not have.
export COMPOSE_API_VERSION=1.44
mkdir "$WORK/project"
cd "$WORK/project" || exit 1
cat > docker-compose.yml <<'EOF'
version: "3.8"
services:
  store:
    image: busybox
    network_mode: none
    command: sh -c 'echo stored > /data/file; touch /ready; echo store is up; exec sleep 600'
    volumes: ["data:/data"]
    healthcheck: {test: ["CMD", "test", "-f", "/ready"], interval: 1s, retries: 30}
    restart: unless-stopped
    stop_grace_period: 0s
    ulimits: {nofile: {soft: 100, hard: 200}}
  reader:
    image: busybox
    network_mode: none
    depends_on: [store]
    environment: {WHO: reader, LEVEL: "${LEVEL:-1}"}
    env_file: more.env
    command: sh -c 'echo reader is up; exec sleep 600'
    volumes: ["data:/data:ro", "./conf:/conf"]
    tmpfs: /scratch
    labels: {role: reader}
    stop_signal: SIGKILL
volumes:
  data: {}
EOF
echo MORE=yes > more.env
mkdir conf
echo setting > conf/file
compose() { DOCKER_HOST=unix://$SOCK COMPOSE_PROJECT_NAME=proj COMPOSE_HTTP_TIMEOUT=$((60 * DKD_SLOW)) docker-compose --ansi never "$@" 2>&1; }
id() { docker ps -aq --no-trunc --filter "label=com.docker.compose.service=$1"; }

out=$(compose up -d)
ok "up -d" || printf '%s\n' "$out" | sed 's/^/# /'
is "$(docker ps --format '{{.Names}}' | sort | xargs)" "proj_reader_1 proj_store_1" "two containers run"
is "$(docker volume ls -q)" proj_data "the volume of the project"
for _i in $(seq $((100 * DKD_SLOW))); do docker exec proj_store_1 test -f /ready && break; sleep 0.1; done
is "$(compose exec -T reader cat /data/file /conf/file)" "stored
setting" "exec, the volume and the folder"
like "$(compose exec -T reader env | sort | xargs)" "LEVEL=1 MORE=yes .*WHO=reader" "the environment"
compose exec -T reader sh -c 'exit 7' >/dev/null
is $? 7 "exit code of exec"
compose exec -T reader sh -c 'touch /data/no 2>/dev/null' >/dev/null
is $? 1 "the volume is read only there"
like "$(compose logs --tail=5)" "store_1 .* store is up" "logs"
like "$(compose top store)" "sleep 600" "top"
for _i in $(seq $((100 * DKD_SLOW))); do
	[ "$(docker inspect -f '{{.State.Health.Status}}' proj_store_1)" = healthy ] && break
	sleep 0.1
done
like "$(compose ps store)" "Up \(healthy\)" "the probe"
before=$(id reader) kept=$(id store)
like "$(compose up -d)" "proj_reader_1 is up-to-date" "up again changes nothing"
is "$(id reader)" "$before" "it is the same container"
export LEVEL=2
out=$(compose up -d)
ok "up with another setting" || printf '%s\n' "$out" | sed 's/^/# /'
[ "$(id reader)" != "$before" ] && [ "$(id store)" = "$kept" ]
ok "makes the one anew that it is about"
is "$(docker exec proj_reader_1 sh -c 'echo $LEVEL')" 2 "with the setting"
compose up -d --scale reader=3 >/dev/null
is "$(id reader | wc -l)" 3 "up --scale"
compose up -d --scale reader=1 >/dev/null
is "$(id reader | wc -l)" 1 "and back"
compose pause >/dev/null
like "$(compose ps)" "Paused" "pause"
compose unpause >/dev/null
ok "unpause"
compose restart -t 0 reader >/dev/null
ok "restart"
compose kill -s KILL reader >/dev/null
like "$(compose ps reader)" "Exit 137" "kill"
compose start reader >/dev/null
is "$(docker inspect -f '{{.State.Running}}' proj_reader_1)" true "start"
is "$(compose run --rm -T reader echo once | tail -n 1)" once "run --rm"
compose run --rm -T reader sh -c 'exit 5' >/dev/null
is $? 5 "exit code of run"
compose stop -t 0 >/dev/null
is "$(docker ps -q)" "" "stop"
timeout $((60 * DKD_SLOW)) sh -c "echo; $(command -v docker-compose) -H unix://$SOCK --ansi never -p proj up --abort-on-container-exit --exit-code-from reader" > up.log 2>&1 &
up=$!
for _i in $(seq $((200 * DKD_SLOW))); do grep -q "reader is up" up.log && break; sleep 0.1; done
like "$(cat up.log)" "reader_1 .* reader is up" "up in the foreground prints what they write"
docker kill proj_reader_1 >/dev/null
wait $up
is $? 137 "and ends with them"
out=$(compose down -v -t 0)
ok "down -v" || printf '%s\n' "$out" | sed 's/^/# /'
is "$(docker ps -aq; docker volume ls -q)" "" "leaves nothing"

cat > docker-compose.yml <<'EOF'
version: "3.8"
services:
  one: {image: busybox, command: sleep 600}
EOF
out=$(compose up -d)
[ $? -ne 0 ] || docker network inspect proj_default >/dev/null 2>&1
ok "a network of the project is made, or refused"
like "$out" "network|Network" "in words"
compose down -t 0 >/dev/null
done_testing
