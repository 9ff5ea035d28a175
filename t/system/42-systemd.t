#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The control groups of systemd: a scope for each container, its limits as systemd knows them, slices as parents, and nothing left of them.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc jq systemctl
[ -d /run/systemd/system ] || skip_all "systemd does not run here"
[ -e /sys/fs/cgroup/cgroup.controllers ] || skip_all "the control groups are not v2 alone"
find_docker
scratch
GROUPARGS=
OPT="--exec-opt native.cgroupdriver=systemd"
start_daemon $OPT --debug
ok "a daemon" || done_testing
load_busybox > /dev/null
is "$(docker info -f '{{.CgroupDriver}} {{.CgroupVersion}}')" "systemd 2" "info names the driver"
unit() { systemctl show -P "$2" "docker-$1.scope"; }
gone() { # a scope's folder, within a moment
	for _i in $(seq $((50 * DKD_SLOW))); do [ -e "/sys/fs/cgroup/$1" ] || return 0; sleep 0.1; done
	return 1
}
id=$(docker run -d --name aa -m 64m --pids-limit 100 --cpus 0.5 --cpu-shares 512 busybox sleep 10000)
group=system.slice/docker-$id.scope
is "$(unit "$id" ActiveState) $(unit "$id" ControlGroup)" "active /$group" "a scope in system.slice"
is "$(unit "$id" MemoryMax) $(unit "$id" TasksMax) $(unit "$id" CPUQuotaPerSecUSec)" "67108864 100 500ms" "systemd knows its limits"
is "$(cat /sys/fs/cgroup/$group/{memory.max,pids.max,cpu.max} | xargs)" "67108864 100 50000 100000" "and so does the kernel"
is "$(docker exec aa cat /proc/self/cgroup)" "0::/" "an exec is in the group"
is "$(grep -c 'by the runtime' "$WORK/log")" 0 "without the runtime"
docker exec -d aa sleep 5000
is "$(wc -l < /sys/fs/cgroup/$group/cgroup.procs)" 2 "which counts it"
is "$(docker stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' aa | sed 's, .*/,,')" "2 64MiB" "stats reads it"
is "$(docker top aa -o pid | wc -l)" 3 "and so does top"
docker pause aa > /dev/null
is "$(cat /sys/fs/cgroup/$group/cgroup.freeze)" 1 "paused"
docker unpause aa > /dev/null
is "$(cat /sys/fs/cgroup/$group/cgroup.freeze)" 0 "and not"
docker update -m 128m --memory-swap 128m --pids-limit 50 --cpus 1 aa > /dev/null
is "$(unit "$id" MemoryMax) $(unit "$id" TasksMax) $(unit "$id" CPUQuotaPerSecUSec)" "134217728 50 1s" "an update is systemd's, too"
systemctl daemon-reload
is "$(cat /sys/fs/cgroup/$group/{memory.max,pids.max} | xargs)" "134217728 50" "so that it outlives a reload of systemd"
stop_daemon KILL
start_daemon $OPT
is "$(docker inspect -f '{{.State.Running}}' aa) $(docker exec aa echo x)" "true x" "a daemon that was killed: the next one has the container"
docker stop -t 1 aa > /dev/null
gone "$group"
ok "the scope ends with the container"
is "$(unit "$id" ActiveState)" inactive "and systemd knows it no more"
docker start aa > /dev/null
is "$(unit "$id" ActiveState) $(cat /sys/fs/cgroup/$group/memory.max)" "active 134217728" "another start, another scope"
docker rm -f aa > /dev/null
gone "$group"
ok "gone with its removal"
like "$(docker run --rm --cgroup-parent /foo busybox true 2>&1)" 'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"' "a parent that is no slice"
id=$(docker run -d --name bb --cgroup-parent dkdtest-inner.slice busybox sleep 10000)
is "$(unit "$id" ControlGroup)" "/dkdtest.slice/dkdtest-inner.slice/docker-$id.scope" "a slice of its own"
docker rm -f bb > /dev/null
docker run --name oo -m 48m --memory-swap 48m busybox sh -c 'x=$(head -c 100000000 /dev/zero | tr "\0" x); echo ${#x}' > /dev/null 2>&1
is $? 137 "out of memory"
is "$(docker inspect -f '{{.State.OOMKilled}}' oo)" true "as inspect tells"
docker rm oo > /dev/null
is "$(docker run --rm busybox sh -c 'exit 3'; echo $?)" 3 "--rm"
docker run -d --name pp --restart on-failure:1 busybox sh -c 'exit 4' > /dev/null
for _i in $(seq $((100 * DKD_SLOW))); do [ "$(docker inspect -f '{{.RestartCount}} {{.State.Running}}' pp)" = "1 false" ] && break; sleep 0.1; done
is "$(docker inspect -f '{{.RestartCount}} {{.State.ExitCode}} {{.State.Error}}' pp)" "1 4 " "restarted with the same scope's name"
docker rm pp > /dev/null
if command -v crun > /dev/null; then
	printf '{"runtimes":{"crun":{"path":"%s"}}}\n' "$(command -v crun)" > "$WORK/daemon.json"
	stop_daemon
	start_daemon $OPT
	id=$(docker run -d --name cc --runtime crun -m 64m busybox sleep 10000)
	is "$(unit "$id" ControlGroup) $(docker exec cc cat /sys/fs/cgroup/memory.max)" "/system.slice/docker-$id.scope 67108864" "crun"
	docker rm -f cc > /dev/null
fi
stop_daemon
start_daemon --exec-opt native.cgroupdriver=cgroupfs
is "$(docker info -f '{{.CgroupDriver}}')" cgroupfs "the other driver for who names it"
stop_daemon
start_daemon --cgroup-parent dkdtest.slice
is "$(docker info -f '{{.CgroupDriver}}')" systemd "this one for who does not"
id=$(docker run -d --name dd busybox sleep 10000)
is "$(unit "$id" ControlGroup)" "/dkdtest.slice/docker-$id.scope" "the daemon's own slice"
docker rm -f dd > /dev/null
gone "dkdtest.slice/docker-$id.scope"
is "$(systemctl list-units --all --no-legend 'docker-*.scope' | wc -l)" 0 "nothing is left with systemd"
done_testing
