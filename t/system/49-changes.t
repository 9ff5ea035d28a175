#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Changes under way: updates beside checks, logs, execs and restarts of the same container; stops beside policies; many execs.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc jq
find_docker
scratch
start_daemon
ok "the daemon is up" || done_testing
load_busybox > /dev/null
json() { _p=$1; shift; api POST "$_p" -H 'Content-Type: application/json' "$@"; }
upd() { json "/containers/$1/update" -d "$2"; }
check() { docker inspect -f '{{json .Config.Healthcheck}}' "$1"; }

# a part of a health check
docker run -d --name part --network none --health-cmd true --health-interval 90s busybox sleep 1000 > /dev/null
is "$(docker inspect -f '{{json .State.Health}}' part)" '{"Status":"starting","FailingStreak":0,"Log":[]}' "no result yet: an empty list"
upd part '{"Healthcheck":{"Retries":7}}' > /dev/null
is "$(check part)" '{"Test":["CMD-SHELL","true"],"Interval":90000000000,"Retries":7}' "a member of a health check leaves the others"
upd part '{"Healthcheck":{}}' > /dev/null
is "$(check part)" '{"Test":["CMD-SHELL","true"],"Interval":90000000000,"Retries":7}' "none of them leaves all"
upd part '{"Healthcheck":{"Interval":9223372036854775807,"Timeout":9223372036854775807,"StartPeriod":9223372036854775807}}' > /dev/null
is "$(docker inspect -f '{{.State.Health.Status}}' part)" starting "checks centuries away"
upd part '{"Healthcheck":{"Test":["NONE"]}}' > /dev/null
is "$(docker inspect -f '{{.State.Health}}' part)" "<nil>" "NONE ends it"
like "$(upd part '{"Ulimits":[{"Name":"nofile","Soft":1,"Hard":1}],"Devices":[],"OomKillDisable":true}')" \
	'^\{"Warnings":\["OomKillDisable cannot be updated[^,]*","Ulimits cannot be updated[^,]*"\]\}$' "what cannot be updated is named"

# execs: those of checks are forgotten, and a client that makes many gets more
since=$(date +%s)
docker run -d --name probed --network none --health-cmd true --health-interval 100ms busybox sleep 1000 > /dev/null
for _i in $(seq $((100 * DKD_SLOW))); do [ "$(docker inspect -f '{{.State.Health.Status}}' probed)" = healthy ] && break; sleep 0.1; done
exec=$(docker events --since "$since" --until "$(($(date +%s) + 1))" --filter event=exec_die --format '{{.Actor.Attributes.execID}}' | head -1)
is "$(api_status GET "/exec/$exec/json")" 404 "the exec of a check is forgotten"
docker rm -f probed > /dev/null
first=$(json /containers/part/exec -d '{"Cmd":["true"]}' | jq -r .Id)
for _i in $(seq 11); do
	for _j in $(seq 100); do echo "next"; echo 'url = "http://d/containers/part/exec"'; echo "unix-socket = \"$SOCK\""; echo 'header = "Content-Type: application/json"'
		echo 'data = "{\"Cmd\":[\"true\"]}"'; echo 'output = "/dev/null"'; echo 'write-out = "%{http_code}\n"'; done | sed 1d | curl -s -K -
done | sort | uniq -c | tr -s ' ' > "$WORK/codes"
is "$(cat "$WORK/codes")" " 1100 201" "1,100 execs that nobody starts"
is "$(api_status GET "/exec/$first/json")" 404 "the first of them is forgotten"
docker exec part true
ok "and an exec runs"
docker rm -f part > /dev/null

# a stop while the policy restarts
docker run -d --name uu --network none --restart on-unhealthy --stop-timeout 4 --health-cmd false --health-interval 300ms --health-retries 1 \
	busybox sh -c 'trap "" TERM; while :; do sleep 1; done' > /dev/null
for _i in $(seq $((100 * DKD_SLOW))); do grep -q 'is unhealthy: it is restarted' "$WORK/log" && break; sleep 0.1; done
sleep 0.5
docker stop -t 0 uu > /dev/null
sleep 1.5
is "$(docker inspect -f '{{.State.Status}}' uu)" exited "who stops a container that its policy is restarting has it stopped"
docker rm -f uu > /dev/null

# everything at once
docker run -d --name xx --network none --health-cmd true --health-interval 5ms busybox sh -c 'trap exit TERM; while :; do echo x; sleep 0.05; done' > /dev/null
pids=
for _i in $(seq 60); do
	upd xx '{"StopSignal":"TERM","StopTimeout":1,"Env":["A=1"],"Labels":{"l":"1"},"Healthcheck":{"Test":["CMD","true"],"Interval":5000000}}'
	upd xx '{"StopSignal":"SIGTERM","Env":["A"],"Labels":{"l":null},"RestartPolicy":{"Name":"no"},"Healthcheck":{"Test":["NONE"]}}'
done > "$WORK/upd" & pids="$pids $!"
for _i in $(seq 120); do api GET '/containers/xx/logs?stdout=1&tail=1' | wc -c; done > "$WORK/logs" & pids="$pids $!"
for _i in $(seq 6); do docker restart -t 1 xx; docker pause xx; docker unpause xx; done > /dev/null 2>&1 & pids="$pids $!"
for _i in $(seq 20); do docker exec xx true; docker inspect xx; docker ps -a; done > /dev/null 2>&1 & pids="$pids $!"
for _i in $(seq 10); do docker kill -s TERM xx; docker start xx; docker stop -t 0 xx; docker start xx; done > /dev/null 2>&1 & pids="$pids $!"
wait $pids
kill -0 "$DPID"
ok "the daemon lives through updates, checks, logs, execs, restarts and stops at once"
is "$(grep -vc '^{"Warnings":null}$' "$WORK/upd")" 0 "every update was taken"
docker unpause xx > /dev/null 2>&1
docker rm -f xx > /dev/null
ok "and it can be removed"
left() { echo "$(shims | wc -l) $(grep -c "$WORK/" /proc/self/mountinfo) $(find "$WORK/exec/containers" "$WORK/root/containers" -mindepth 1 | wc -l)"; }
comes "0 0 0" left
is "$(left)" "0 0 0" "nothing is left"
done_testing
