#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Start and stop: sockets, locks, signals, what is on disk, the ping and version answers.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl
find_docker
scratch
start_daemon; ok "starts" || { sed 's/^/# /' "$WORK/log" | tail -20; done_testing; }
is "$(api GET /_ping)" OK "ping"
h=$(curl -sI --unix-socket "$SOCK" http://d/_ping)
like "$h" "^Api-Version: 1\.[0-9]+" "Api-Version"
like "$h" "^Ostype: linux" "Ostype"
like "$h" "^Server: Docker/" "Server"
like "$h" "^Docker-Experimental: false" "Docker-Experimental"
is "$(stat -c %a "$SOCK")" 660 "the socket is 0660"
is "$(stat -c %a "$WORK/root")" 710 "the data-root is 0710"
is "$(stat -c %a "$WORK/exec")" 700 "the exec-root is 0700"
is "$(cat "$WORK/docker.pid")" "$DPID" "pid file"
like "$(cat "/proc/$DPID/status")" "Umask:.*0000" "umask 0"
like "$(tr '\0' '\n' < "/proc/$DPID/environ"; grep -c . "$WORK/root/engine-id")" "1" "engine-id is there"
id=$(docker info -f '{{.ID}}')
[ -n "$id" ]; ok "an id"
like "$(docker version --format '{{.Server.APIVersion}} {{.Server.Os}}')" "1\.[0-9]+ linux" "docker version"
like "$(docker info --format '{{.Driver}}')" "overlay2|vfs" "docker info names the driver"
is "$(api GET /v1.10/info -o /dev/null -w '%{http_code}')" 400 "an old version is refused"
like "$(api GET /v1.99/info)" "client version 1.99 is too new. Maximum supported API version is 1\." "a new version is refused"
is "$(api GET /nope)" '{"message":"page not found"}' "page not found"
is "$(api_status PATCH /info)" 404 "a wrong method is 404"
like "$(docker node ls 2>&1)" "not a swarm manager" "docker node ls"
like "$(docker network ls --format '{{.Name}}' | sort | tr '\n' ' ')" "host none" "networks"
# a second daemon on the same root, then with the same pid file
"$DOCKERD" --config-file "$WORK/daemon.json" --data-root "$WORK/root" --exec-root "$WORK/exec2" --pidfile "$WORK/2.pid" \
	-H "unix://$WORK/2.sock" --plugin-dir "$PLUGDIR" -b none > "$WORK/log2" 2>&1 < /dev/null
[ $? -ne 0 ]; ok "a second daemon on the same data-root is refused"
"$DOCKERD" --config-file "$WORK/daemon.json" --data-root "$WORK/root2" --exec-root "$WORK/exec2" --pidfile "$WORK/docker.pid" \
	-H "unix://$WORK/2.sock" --plugin-dir "$PLUGDIR" -b none > "$WORK/log2" 2>&1 < /dev/null
[ $? -ne 0 ]; ok "a second daemon on the same pid file is refused"
is "$(api GET /_ping)" OK "the first one is well"
# reload
printf '{"debug":true,"labels":["a=1"]}' > "$WORK/daemon.json"
kill -HUP "$DPID"
for _i in $(seq $((10 * DKD_SLOW))); do
	docker events --since 0 --until "$(date +%s)" --filter type=daemon --format '{{.Action}} {{json .Actor.Attributes}}' > "$WORK/ev" 2>&1
	grep -q reload "$WORK/ev" && break
	sleep 0.5
done
like "$(cat "$WORK/ev")" "reload .*debug" "a reload event"
is "$(docker info --format '{{json .Labels}}')" '["a=1"]' "labels are reloaded"
printf '{"debug":' > "$WORK/daemon.json"
kill -HUP "$DPID"
sleep 0.5
is "$(docker info --format '{{json .Labels}}')" '["a=1"]' "a broken file keeps the old configuration"
echo '{}' > "$WORK/daemon.json"
stop_daemon; is "$DSTATUS" 0 "SIGTERM ends it with 0"
[ ! -e "$WORK/docker.pid" ]; ok "the pid file is gone"
# restart keeps the id
start_daemon; ok "starts again"
is "$(docker info -f '{{.ID}}')" "$id" "the id is kept"
stop_daemon KILL >/dev/null 2>&1
start_daemon; ok "starts at once after kill -9"
stop_daemon
DOCKER_MIN_API_VERSION=1.50 start_daemon; ok "DOCKER_MIN_API_VERSION"
like "$(api GET /v1.49/info)" "client version 1.49 is too old. Minimum supported API version is 1.50" "an older client is refused"
stop_daemon
start_daemon -H tcp://127.0.0.1:0 2>/dev/null || true
stop_daemon
DOCKER_DRIVER=vfs start_daemon; ok "DOCKER_DRIVER"
is "$(docker info -f '{{.Driver}}')" vfs "chooses the driver"
stop_daemon
DSTATUS=
start_daemon --rootless; [ -n "${DSTATUS:-}" ] && [ "$DSTATUS" != 0 ]; ok "what is not in this build is refused"
like "$(tail -3 "$WORK/log")" "rootless" "in words"
done_testing
