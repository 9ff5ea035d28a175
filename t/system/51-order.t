#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The order in which the daemon starts containers again and stops them: joined namespaces, and what Compose says in its labels.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc
find_docker
scratch
start_daemon --shutdown-timeout 30
ok "the daemon is up" || done_testing
load_busybox > /dev/null
stopper='trap "sleep 0.3; exit 0" TERM; while :; do sleep 0.05; done'
service() { # name needs [options]
	_n=$1 _d=$2
	shift 2
	docker run -d --name "$_n" --network none --restart always --label com.docker.compose.project=shop \
		--label "com.docker.compose.service=$_n" --label "com.docker.compose.depends_on=$_d" "$@" busybox sh -c "$stopper" > /dev/null
}
ns() { date -d "$(docker inspect -f "{{.State.$2}}" "$1")" +%s%N; }
order() { # field names...: the names by that time
	_f=$1
	shift
	for _n in "$@"; do echo "$(ns "$_n" "$_f") $_n"; done | sort -n | awk '{ printf "%s ", $2 }'
}
up() { # names...: until they run
	for _n in "$@"; do
		for _i in $(seq $((200 * DKD_SLOW))); do [ "$(docker inspect -f '{{.State.Running}}' "$_n")" = true ] && break; sleep 0.1; done
	done
}
service web app:service_started:false,cache:service_started:true
service cache ''
service app db:service_healthy:false
service db '' --tmpfs /t --health-cmd '[ -e /t/good ] || { sleep 0.7; touch /t/good; }' --health-interval 100ms --health-start-period 30s
docker run -d --name side --network container:db --restart always busybox sh -c "$stopper" > /dev/null
up web cache app db side
before=$(ns web StartedAt)
stop_daemon
is "$(grep -c 'had to be killed' "$WORK/log")" 0 "it ends in time"
start_daemon
up db cache app web side
[ "$(ns web StartedAt)" -gt "$before" ]
ok "all run again"
is "$(order FinishedAt web app db)" "web app db " "stopped: who needs others ends first"
is "$(order FinishedAt side db)" "side db " "also who shares its network"
is "$(order StartedAt db app web)" "db app web " "started: who is needed comes first"
is "$(order StartedAt cache web)" "cache web " "each of those needed"
is "$(order StartedAt db side)" "db side " "and whose network is shared"
like "$(docker inspect -f '{{.State.Health.Status}}' db)" 'healthy' "which is checked"
[ $(($(ns app StartedAt) - $(ns db StartedAt))) -gt 700000000 ]
ok "the one that wants it healthy waited for that"
is "$(docker inspect -f '{{.State.Error}}' side)" "" "no start had to be tried twice"

# A circle, one that is not there, and nonsense hold up nothing.
docker rm -f web cache app side db > /dev/null
service one two:service_started:false
service two one:service_started:false,nobody:service_healthy:false
service odd ':,::::,'
up one two odd
stop_daemon KILL 2> /dev/null
for p in $(shims); do kill -KILL "$p" 2> /dev/null; done
start_daemon
up odd
is "$(docker inspect -f '{{.State.Running}}' odd)" true "labels that are nonsense"
docker rm -f one two odd > /dev/null
ok "those that need each other can be removed at once"
done_testing
