#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --metrics-addr: the format, figures that move with what happens, nothing but metrics on that port.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc python3
find_docker
scratch
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
start_daemon --metrics-addr "127.0.0.1:$port"
ok "the daemon is up" || done_testing
load_busybox > /dev/null
metrics() { curl -sS --max-time 20 "http://127.0.0.1:$port/metrics"; }
figure() { metrics | awk -v k="$1" 'index($0, k " ") == 1 { print $2 }'; }
like "$(curl -sSi --max-time 20 "http://127.0.0.1:$port/metrics" | tr -d '\r' | grep -i '^content-type')" 'text/plain; version=0.0.4' "the type"
metrics > "$WORK/m"
python3 - "$WORK/m" <<'PY'
import re, sys
known, seen = {}, set()
for line in open(sys.argv[1]):
    line = line.rstrip("\n")
    if line.startswith("# "):
        kind, name, rest = line[2:].split(" ", 2)
        if kind == "TYPE":
            assert name not in known, name
            known[name] = rest
        continue
    m = re.fullmatch(r'([a-z_]+)(\{[a-z_]+="(?:[^"\\]|\\.)*"(?:,[a-z_]+="(?:[^"\\]|\\.)*")*\})? (\S+)', line)
    assert m, line
    assert line.split(" ")[0] not in seen, line
    seen.add(line.rsplit(" ", 1)[0])
    float(m.group(3))
    name = m.group(1)
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    assert name in known or known.get(base) == "histogram", line
PY
ok "every line is well-formed, each series comes once"
is "$(grep -c '^engine_daemon_engine_info{.*graphdriver="overlay2"' "$WORK/m")" 1 "what it is"
is "$(figure 'engine_daemon_container_states_containers{state="running"}')" 0 "nothing runs"
while read -r name type; do
	is "$(grep "^# TYPE $name " "$WORK/m" | cut -d' ' -f4)" "$type" "a $type as Docker names it: $name"
done << 'EOF'
engine_daemon_container_actions_seconds histogram
engine_daemon_container_states_containers gauge
engine_daemon_engine_cpus_cpus gauge
engine_daemon_engine_info gauge
engine_daemon_engine_memory_bytes gauge
engine_daemon_events_subscribers_total gauge
engine_daemon_events_total counter
engine_daemon_health_checks_failed_total counter
engine_daemon_health_checks_total counter
engine_daemon_health_check_start_duration_seconds histogram
engine_daemon_host_info_functions_seconds histogram
engine_daemon_image_actions_seconds histogram
engine_daemon_network_actions_seconds histogram
logger_log_write_operations_failed_total counter
process_cpu_seconds_total counter
process_max_fds gauge
process_open_fds gauge
process_resident_memory_bytes gauge
process_start_time_seconds gauge
process_virtual_memory_bytes gauge
process_virtual_memory_max_bytes gauge
EOF
is "$(grep '^engine_daemon_engine_info' "$WORK/m" | grep -o '[a-z_]*=' | paste -sd' ')" \
	"architecture= commit= daemon_id= graphdriver= kernel= os= os_type= os_version= version=" "its labels"
is "$(figure 'engine_daemon_engine_cpus_cpus') $(figure engine_daemon_engine_memory_bytes)" \
	"$(docker info -f '{{.NCPU}} {{.MemTotal}}')" "as info says"
is "$(grep '^engine_daemon_engine_info' "$WORK/m" | grep -o 'os="[^"]*",os_type' )" "os=\"$(docker info -f '{{.OperatingSystem}}')\",os_type" "and its system"
[ "$(python3 -c "import time; print(abs(time.time() - $(ps -o etimes= -p "$DPID") - $(figure process_start_time_seconds)) < 5)")" = True ]
ok "since when it runs"
[ "$(figure 'engine_daemon_host_info_functions_seconds_count{function="os_version"}')" -ge 1 ]
ok "info asks for the system's version"
docker run --rm --network none busybox true
docker rm nosuch 2> /dev/null
is "$(figure 'engine_daemon_container_actions_seconds_count{action="delete"}') $(figure 'engine_daemon_container_actions_seconds_count{action="start"}')" \
	"1 1" "one ran and removed itself; what fails is not counted"
is "$(figure 'engine_daemon_network_actions_seconds_count{action="allocate"}') $(figure 'engine_daemon_network_actions_seconds_count{action="release"}')" \
	"1 1" "its network came and went"
docker run -d --name one --network none --health-cmd false --health-interval 200ms busybox sleep 1000 > /dev/null
docker run -d --name two --network none busybox sleep 1000 > /dev/null
docker pause two > /dev/null
is "$(figure 'engine_daemon_container_states_containers{state="running"}') $(figure 'engine_daemon_container_states_containers{state="paused"}')" "1 1" \
	"one runs, one is paused"
is "$(figure 'engine_daemon_container_actions_seconds_count{action="start"}')" 3 "two more starts"
is "$(figure 'engine_daemon_container_actions_seconds_bucket{action="create",le="+Inf"}')" 3 "two more creates"
[ "$(python3 -c "print(int($(figure 'engine_daemon_container_actions_seconds_sum{action="start"}') > 0.001))")" = 1 ]
ok "which took time"
for _i in $(seq $((50 * DKD_SLOW))); do [ "$(figure engine_daemon_health_checks_failed_total)" -gt 1 ] && break; sleep 0.1; done
[ "$(figure engine_daemon_health_checks_failed_total)" -gt 1 ]
ok "failed health checks are counted"
n=$(figure engine_daemon_events_total)
docker kill one > /dev/null
docker wait one > /dev/null
[ "$(figure engine_daemon_events_total)" -gt "$n" ]
ok "events, too"
docker run -d --name lost --network none --log-driver syslog --log-opt syslog-address=tcp://127.0.0.1:1 busybox echo hi > /dev/null
for _i in $(seq $((30 * DKD_SLOW))); do [ "$(figure logger_log_write_operations_failed_total)" -gt 0 ] && break; sleep 0.1; done
[ "$(figure logger_log_write_operations_failed_total)" -gt 0 ]
ok "so are log drivers that fail"
docker rm -f lost > /dev/null
n=$(figure dockerd_jobs_failed_total)
docker inspect nosuch > /dev/null 2>&1
[ "$(figure dockerd_jobs_failed_total)" -gt "$n" ]
ok "and jobs that failed"
n=$(figure dockerd_jobs_failed_total)
one="-sS --max-time $((20 * DKD_SLOW)) -o /dev/null -w %{num_connects}; --unix-socket $SOCK"
# shellcheck disable=SC2086
is "$(curl $one http://d/_ping --next $one http://d/containers/nosuch/json)" "1;0;" "two requests of one connection"
is "$(figure dockerd_jobs_failed_total)" $((n + 1)) "of which the second failed"
docker events > /dev/null &
listener=$!
for _i in $(seq $((50 * DKD_SLOW))); do [ "$(figure engine_daemon_events_subscribers_total)" = 1 ] && break; sleep 0.1; done
is "$(figure engine_daemon_events_subscribers_total)" 1 "somebody listens to events"
kill $listener
is "$(curl -sS --max-time 20 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/info")" 404 "nothing else is served there"
is "$(curl -sS --max-time 20 -o /dev/null -w '%{http_code}' -X POST "http://127.0.0.1:$port/containers/create")" 404 "least of all the API"
is "$(api_status GET /metrics)" 404 "nor are metrics on the API's socket"
docker rm -f one two > /dev/null
first=$DPID
(
	SOCK=$WORK/second.sock
	"$DOCKERD" $NETARGS --config-file "$WORK/daemon.json" --data-root "$WORK/root2" --exec-root "$WORK/exec2" --pidfile "$WORK/pid2" \
		-H "unix://$SOCK" --plugin-dir "$PLUGDIR" --metrics-addr "127.0.0.1:$port" > "$WORK/log2" 2>&1
)
is "$?" 1 "an address in use: the daemon does not start"
like "$(cat "$WORK/log2")" "metrics-addr.*127.0.0.1:$port.*in use" "and says why"
kill -0 "$first"
ok "the other goes on"
done_testing
