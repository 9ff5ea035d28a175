#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# docker update: limits of running and stopped containers, the restart policy, what cannot go together, what is changed beyond.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc jq
find_docker
scratch
start_daemon
ok "the daemon is up" || done_testing
load_busybox > /dev/null
upd() { api POST "/containers/$1/update" -H 'Content-Type: application/json' -d "$2"; }
upd_status() { api_status POST "/containers/$1/update" -H 'Content-Type: application/json' -d "$2"; }
cg() { # container controller file of v1, file of v2
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then docker exec "$1" cat "/sys/fs/cgroup/$4"; else docker exec "$1" cat "/sys/fs/cgroup/$2/$3"; fi
}
id=$(docker run -d --name xx --network none -m 64m --memory-swap 128m busybox sleep 1000)
since=$(date +%s)
is "$(docker update -m 96m xx)" xx "docker update answers the name"
is "$(cg xx memory memory.limit_in_bytes memory.max)" 100663296 "the limit holds at once"
is "$(docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}' xx)" "100663296 134217728" "inspect shows it, the other stays"
docker update --pids-limit 7 xx > /dev/null
is "$(cg xx pids pids.max pids.max)" 7 "a limit of processes"
docker update --cpu-shares 512 xx > /dev/null
[ -e /sys/fs/cgroup/cgroup.controllers ] || is "$(cg xx cpu cpu.shares none)" 512 "shares of the CPU"
docker update --cpus 0.5 xx > /dev/null
[ -e /sys/fs/cgroup/cgroup.controllers ] || is "$(cg xx cpu cpu.cfs_quota_us none)" 50000 "and a part of it"
docker update --cpuset-cpus 0 xx > /dev/null
is "$(docker exec xx sh -c 'grep Cpus_allowed_list /proc/self/status' | tr -dc 0-9,-)" 0 "the set of CPUs"
is "$(upd xx '{}')" '{"Warnings":null}' "nothing to change is fine"
like "$(upd xx '{"Memory":1000}')" 'Minimum memory limit allowed is 6MB' "too little memory"
is "$(upd_status xx '{"Memory":1000}')" 400 "is a bad request"
is "$(upd xx '{"Memory":500000000}' | jq -r .message)" "Cannot update container $id: Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time" "memory beyond swap: Docker's words"
is "$(upd_status xx '{"Memory":500000000}')" 409 "and status"
is "$(upd xx '{"CpuPeriod":100000}' | jq -r .message)" "Cannot update container $id: Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set" "a period beside --cpus"
like "$(upd xx '{"CpusetCpus":"0-999"}')" 'Requested CPUs are not available' "CPUs that are not there"
is "$(upd_status xx '{"Memory":"1"}')" 400 "a text for a number"
is "$(upd_status nosuch '{}')" 404 "no such container"
is "$(cg xx memory memory.limit_in_bytes memory.max)" 100663296 "a refused update changes nothing"
like "$(docker update --restart sometimes xx 2>&1)" 'invalid restart policy' "no such policy"
docker update --restart on-failure:3 xx > /dev/null
is "$(docker inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' xx)" "on-failure 3" "the restart policy"
stop_daemon KILL 2> /dev/null
start_daemon
is "$(docker inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.Memory}}' xx)" "on-failure 100663296" "both outlive the daemon"
is "$(upd xx '{"Env":["NEW=1"],"Labels":{"a":"b"},"StopTimeout":0,"StopSignal":"KILL"}')" '{"Warnings":null}' "environment, labels, stop time-out and signal"
is "$(upd xx '{"Binds":["/a:/b"],"Mounts":[],"CgroupParent":"/x"}' | jq -rc '[.Warnings[] | split(" ")[0]]')" \
	'["Binds","CgroupParent"]' "what no update changes is told of"
is "$(docker inspect -f '{{index .Config.Labels "a"}} {{.Config.StopTimeout}} {{.Config.StopSignal}}' xx)" "b 0 KILL" "are set"
is "$(docker exec xx sh -c 'echo $NEW')" 1 "what is executed sees the environment"
docker restart xx > /dev/null
is "$(docker exec xx cat /proc/1/environ | tr '\0' '\n' | grep NEW)" NEW=1 "the next start has it"
is "$(cg xx pids pids.max pids.max)" 7 "and the limits"
upd xx '{"Env":["NEW"],"Labels":{"a":null}}' > /dev/null
is "$(docker inspect -f '{{json .Config.Env}} {{json .Config.Labels}}' xx | grep -c 'NEW\|"a"')" 0 "both can be taken away"
is "$(upd_status xx '{"Labels":{"a":1}}')" 400 "a label that is no text"
is "$(upd_status xx '{"Env":["=x"]}')" 400 "a variable without a name"
docker stop -t 0 xx > /dev/null
docker update -m 32m --memory-swap 64m xx > /dev/null
docker start xx > /dev/null
is "$(cg xx memory memory.limit_in_bytes memory.max)" 33554432 "a stopped container has its new limit from the start"
is "$(docker events --since "$since" --until "$(($(date +%s) + 1))" --filter event=update --format '{{.Action}}' | sort -u)" update "events"
docker rm -f xx > /dev/null
docker create --rm --name yy --network none busybox true > /dev/null
like "$(docker update --restart always yy 2>&1)" 'Restart policy cannot be updated because AutoRemove is enabled' "no policy for what removes itself"

# what ps says and cannot be kept is no shorter table
docker run -d --name wide --network none --stop-timeout 0 busybox sh -c \
	'x=$(head -c 120000 /dev/zero | tr "\0" x); i=0; while [ $i -lt 90 ]; do sh -c "sleep 1000; : $x" & i=$((i + 1)); done; touch /all; wait' > /dev/null
for _i in $(seq $((20 * DKD_SLOW))); do docker exec wide test -e /all && break; sleep 0.1; done
like "$(docker top wide -o pid,args 2>&1 | tail -c 200)" "Error running ps: its output is larger than 8 MiB: ask for fewer columns" "top of too long command lines"
is "$(docker top wide -o pid | wc -l | awk '{ print ($1 > 90) }')" 1 "fewer columns"
docker rm -f wide > /dev/null

# another log: what is written is read as it was, the next start has the new one
log() { docker inspect -f '{{.HostConfig.LogConfig.Type}} {{json .HostConfig.LogConfig.Config}}' "$1"; }
files() { (cd "$WORK/root/containers/$1" && ls -- *-json.log local-logs/container.log 2>/dev/null | sed 's/.*-json/json/; s,/.*,,' | tr '\n' ' '); }
lg=$(docker run -d --name lg --network none --log-opt max-size=3m --stop-timeout 0 busybox sh -c 'echo began; exec sleep 1000')
for _i in $(seq $((20 * DKD_SLOW))); do [ -n "$(docker logs lg)" ] && break; sleep 0.1; done
is "$(upd lg '{"LogConfig":{"Type":"nope"}}' | jq -r .message)" 'error looking up logging plugin nope: plugin "nope" not found' "a log driver that is not here"
like "$(upd lg '{"LogConfig":{"Type":"json-file","Config":{"max-size":"x"}}}')" "invalid size: 'x'" "a wrong option"
is "$(upd_status lg '{"LogConfig":{"Type":"local","Config":{"labels":"x"}}}')" 400 "another driver's option"
is "$(upd_status lg '{"LogConfig":"local"}')" 400 "no object"
is "$(log lg)" 'json-file {"max-size":"3m"}' "change nothing"
is "$(upd lg '{"LogConfig":{"Type":"local","Config":{"max-file":"2"}}}' | jq -rc .Warnings)" '["LogConfig has its effect from the container'"'"'s next start on."]' \
	"another driver, told when"
is "$(log lg)" 'local {"max-file":"2"}' "inspect shows it"
is "$(docker logs lg) $(files "$lg")" "began json.log " "the log that there is goes on"
stop_daemon KILL 2> /dev/null
start_daemon
is "$(log lg) $(docker logs lg)" 'local {"max-file":"2"} began' "both outlive the daemon"
docker stop lg > /dev/null
is "$(docker logs lg)" began "and the end of the run"
docker start lg > /dev/null
for _i in $(seq $((20 * DKD_SLOW))); do [ -n "$(docker logs lg)" ] && break; sleep 0.1; done
is "$(docker logs lg) $(files "$lg")" "began json.log local-logs " "the next start writes the other log"
is "$(docker inspect -f '{{.LogPath}}' lg)" "" "which has no file that Docker names"
is "$(upd lg '{"LogConfig":{"Config":{"max-file":"3"}}}' | jq '.Warnings | length') $(log lg)" '1 local {"max-file":"3"}' "without a driver it stays"
docker stop lg > /dev/null
is "$(upd lg '{"LogConfig":{"Type":"none"}}') $(docker logs lg)" '{"Warnings":null} began' "of one that does not run: nothing to tell"
docker start lg > /dev/null
like "$(docker logs lg 2>&1)" "does not support reading" "no log at all"
stop_daemon KILL 2> /dev/null
start_daemon
is "$(log lg)" "none {}" "and with the next daemon"
docker rm -f lg > /dev/null
docker rm yy > /dev/null
done_testing
