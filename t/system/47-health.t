#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Health checks: states, results, events, filters, time-outs, what ends them, the policy on-unhealthy.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc jq
find_docker
scratch
start_daemon
ok "the daemon is up" || done_testing
load_busybox > /dev/null
run() { docker run -d --network none "$@" > /dev/null; }
status() { docker inspect -f '{{.State.Health.Status}}' "$1"; }
until_status() { # container status
	for _i in $(seq $((30 * DKD_SLOW))); do [ "$(status "$1")" = "$2" ] && return 0; sleep 0.1; done
	return 1
}
health() { docker inspect -f "{{json .State.Health}}" "$1" | jq -r "$2"; }

since=$(date +%s)
run --name one --health-cmd 'echo said; echo also >&2; test -e /good' --health-interval 200ms --health-retries 2 busybox sleep 1000
run --name calm --health-cmd true --health-interval 1000s busybox sleep 1000
is "$(status calm)" starting "it begins as starting"
like "$(docker ps --format '{{.Status}}' -f name=calm)" '\(health: starting\)$' "which ps says"
docker rm -f calm > /dev/null
until_status one unhealthy
ok "two failures make it unhealthy"
[ "$(health one .FailingStreak)" -ge 2 ]
ok "the streak is counted"
is "$(health one '.Log[0] | .ExitCode')" 1 "a result has the exit code"
is "$(health one '.Log[0].Output' | sort | tr '\n' ' ')" " also said " "and the output of both streams"
like "$(docker ps --format '{{.Status}}' -f name=one)" '\(unhealthy\)$' "ps says so"
is "$(docker ps -q -f health=unhealthy | wc -l)" 1 "the filter finds it"
is "$(docker ps -q -f health=healthy | wc -l)" 0 "and no other value does"
docker exec one touch /good
until_status one healthy
ok "one success makes it healthy"
is "$(health one .FailingStreak)" 0 "the streak is over"
comes 5 health one '.Log | length'
is "$(health one '.Log | length')" 5 "five results are kept"
is "$(docker events --since "$since" --until "$(($(date +%s) + 1))" --filter event=health_status --format '{{.Action}}' | tr '\n' ,)" \
	"health_status: unhealthy,health_status: healthy," "an event for each change"
run --name long --health-cmd 'yes | head -c 5000' --health-interval 200ms busybox sleep 1000
comes 4099 health long '.Log[0].Output | length'
is "$(health long '.Log[0].Output | length') $(health long '.Log[0].Output[4090:]' | tr '\n' ' ')" "4099 y y y ... " "of a long output the first 4096 bytes"
docker rm -f long > /dev/null
docker pause one > /dev/null
is "$(status one)" unhealthy "paused: nothing is known, as in Docker"
docker unpause one > /dev/null
until_status one healthy
ok "unpaused: checked again"
stop_daemon KILL 2> /dev/null
start_daemon
is "$(status one)" healthy "the state outlives the daemon"
docker exec one rm /good
until_status one unhealthy
ok "and checks go on"
docker stop -t 0 one > /dev/null
is "$(status one)" unhealthy "stopped: unhealthy"
n=$(health one '.Log[-1].Start')
sleep 0.6
is "$(health one '.Log[-1].Start')" "$n" "and nothing is checked any more"
api POST '/containers/one/update' -H 'Content-Type: application/json' -d '{"Healthcheck":{"Test":["CMD","true"],"Interval":1000000000000}}' > /dev/null
docker start one > /dev/null
is "$(status one)" starting "started: starting"

# The next ones live at the same time.
make_with() { # name, probe as JSON, timeout in ms
	api POST "/containers/create?name=$1" -H 'Content-Type: application/json' -d '{"Image":"busybox","Cmd":["sleep","1000"],
		"HostConfig":{"NetworkMode":"none"},"Healthcheck":{"Test":'"$2"',"Interval":100000000,"Timeout":'"$3"'000000,"Retries":1}}' > /dev/null
	docker start "$1" > /dev/null
}
quiet() { # name, seconds, timeout in ms: a probe that closes its streams and goes on
	make_with "$1" '["CMD-SHELL","exec > /dev/null 2>&1; sleep '"$2"'"]' "$3"
}
run --name off --no-healthcheck busybox sleep 1000
is "$(docker inspect -f '{{.State.Health}}' off)" "<nil>" "no check, no state"
is "$(docker ps -q -f health=none | wc -l)" 1 "the filter none finds it"
make_with late '["CMD","sh","-c","echo slow; sleep 77"]' 2500
quiet hush 78 500
quiet brief 0.4 20000
run --name grace --health-cmd false --health-interval 100ms --health-start-period 600s --health-start-interval 100ms --health-retries 1 busybox sleep 1000
run --name noprog --health-cmd x --health-interval 100ms --health-retries 1 busybox sleep 1000
api POST '/containers/noprog/update' -H 'Content-Type: application/json' -d '{"Healthcheck":{"Test":["CMD","/no/such"],"Interval":100000000,"Retries":1}}' > /dev/null
run --name again --restart on-unhealthy:2 --health-cmd false --health-interval 100ms --health-retries 1 busybox sleep 1000
run --name fails --restart on-unhealthy:1 busybox sh -c 'exit 3'

until_status late unhealthy
ok "a probe that takes too long fails"
is "$(health late '.Log[0] | "\(.ExitCode) \(.Output)"')" "-1 Health check exceeded timeout (2.5s): slow" "with Docker's words and what it said"
sleep 0.3
docker top late > "$WORK/top"
like "$(cat "$WORK/top")" 'sleep 1000' "top answers"
[ "$(grep -c 'sh -c' "$WORK/top")" -le 1 ]
ok "no more than one probe at a time lives"

until_status hush unhealthy
is "$(health hush '.Log[0] | "\(.ExitCode) \(.Output)"')" "-1 Health check exceeded timeout (500ms)" "a probe without streams has no more time"
until_status brief healthy
ok "and is waited for"

for _i in $(seq $((30 * DKD_SLOW))); do [ "$(health grace '.Log | length')" -gt 1 ] && break; sleep 0.1; done
[ "$(health grace '.Log | length')" -gt 1 ]
ok "a start period: it is checked, at the start interval"
is "$(status grace)" starting "but failures do not count"
until_status noprog unhealthy
ok "a probe that cannot be run is a failure"

for _i in $(seq $((30 * DKD_SLOW))); do [ "$(docker inspect -f '{{.RestartCount}}' again)" = 2 ] && break; sleep 0.1; done
is "$(docker inspect -f '{{.RestartCount}}' again)" 2 "on-unhealthy restarts what is unhealthy"
until_status again unhealthy
sleep 0.5
is "$(docker inspect -f '{{.RestartCount}} {{.State.Status}}' again)" "2 running" "as often as asked for"
for _i in $(seq $((30 * DKD_SLOW))); do [ "$(docker inspect -f '{{.RestartCount}} {{.State.Status}}' fails)" = "1 exited" ] && break; sleep 0.1; done
is "$(docker inspect -f '{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}' fails)" "1 exited 3" "and what fails"
docker rm -f late hush brief grace noprog off again fails one > /dev/null
stop_daemon
start_daemon --shutdown-timeout $((40 * DKD_SLOW))
run --name hang --stop-timeout 0 --health-cmd 'sleep 1000' --health-timeout 1000s --health-interval 50ms busybox sleep 1000
for _i in $(seq $((30 * DKD_SLOW))); do [ "$(docker top hang | grep -c 'sleep 1000')" -gt 1 ] && break; sleep 0.1; done
t0=$(date +%s)
stop_daemon
[ $(($(date +%s) - t0)) -lt $((5 * DKD_SLOW)) ]
ok "a hanging probe does not keep the daemon from ending"
done_testing
