#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What containers get without asking: no-new-privileges of the daemon, masked and read-only paths, devices; and secrets of the daemon's settings.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc jq
find_docker
scratch
start_daemon --debug --no-new-privileges --http-proxy http://me:canary-secret@127.0.0.1:1 --https-proxy https://me:canary-secret@127.0.0.1:2/x
ok "a daemon" || done_testing
load_busybox > /dev/null
run() { docker run --rm --network none "$@"; }
privs() { "$@" grep NoNewPrivs /proc/self/status | tr -d '\t'; }
like "$(docker info -f '{{.SecurityOptions}}')" "name=no-new-privileges" "--no-new-privileges: info tells"
is "$(privs run busybox)" NoNewPrivs:1 "every container has it"
is "$(privs run --privileged busybox)" NoNewPrivs:1 "a privileged one, too"
is "$(privs run --security-opt no-new-privileges=false busybox)" NoNewPrivs:0 "but who says no"
docker run -d --name cc --network none busybox sleep 1000 > /dev/null
is "$(privs docker exec cc)" NoNewPrivs:1 "an exec"
is "$(privs docker exec --privileged cc)" NoNewPrivs:1 "a privileged one"

# facts of moby, daemon/pkg/oci/defaults.go (2026)
inspect() { docker inspect -f "{{json .HostConfig.$2}}" "$1"; }
want=$(jq -nc '$ARGS.positional' --args /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi /proc/timer_list \
	/proc/timer_stats /sys/devices/virtual/powercap /sys/firmware $(ls -d /sys/devices/system/cpu/cpu[0-9]*/thermal_throttle 2> /dev/null | sort -V))
is "$(inspect cc MaskedPaths)" "$want" "masked paths are Docker's newest"
is "$(inspect cc ReadonlyPaths)" '["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"]' "read-only ones, too"
config=$(find "$WORK/exec" -name config.json -path "*$(docker inspect -f '{{.Id}}' cc)*" | head -n 1)
is "$(jq -c .linux.maskedPaths "$config")" "$want" "the runtime masks them"
is "$(jq -r '.linux.resources.devices[] | "\(.allow) \(.type // "a") \(.major // "*"):\(.minor // "*") \(.access)"' "$config" | sort | tr '\n' ';')" \
	"false a *:* rwm;true c 1:3 rwm;true c 1:5 rwm;true c 1:7 rwm;true c 1:8 rwm;true c 1:9 rwm;true c 5:0 rwm;true c 5:1 rwm;" "devices: null, zero, full, random, urandom, tty, console, and no other"
is "$(docker exec cc sh -c 'for f in null zero full random urandom tty; do [ -c /dev/$f ] && echo $f; done' | tr '\n' ' ')" "null zero full random urandom tty " "which are there"
is "$(docker exec cc sh -c 'mknod /k c 1 11; mknod /d b 7 0; mknod /f c 10 229; for f in k d f; do (: < /$f) 2>&1 | grep -c "not permitted"; done' | tr '\n' ' ')" "1 1 1 " "others can be made and not opened"
docker run -d --name pp --network none --privileged busybox sleep 1000 > /dev/null
config=$(find "$WORK/exec" -name config.json -path "*$(docker inspect -f '{{.Id}}' pp)*" | head -n 1)
is "$(jq -c '[.linux.maskedPaths, .linux.readonlyPaths, .linux.seccomp, .process.apparmorProfile // ""] | map(. // "none")' "$config" | sed 's/"unconfined"/""/')" '["none","none","none",""]' \
	"a privileged container: nothing masked, nothing filtered"
docker rm -f cc pp > /dev/null

is "$(docker info -f '{{.HTTPProxy}} {{.HTTPSProxy}}')" "http://xxxxx:xxxxx@127.0.0.1:1 https://xxxxx:xxxxx@127.0.0.1:2/x" "info hides what proxies are told"
docker pull 127.0.0.1:3/none > /dev/null 2>&1
is "$(grep -c canary-secret "$WORK/log")" 0 "and so does the log"
is "$(docker events --since 1 --until "$(date +%s)" | grep -c canary-secret)" 0 "and so do events"
done_testing
