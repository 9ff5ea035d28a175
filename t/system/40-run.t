#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# docker run and its kin through the stock CLI, with each graph driver.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc
find_docker
scratch
for driver in overlay2 vfs; do
	start_daemon --storage-driver=$driver; ok "$driver: starts" || done_testing
	load_busybox >/dev/null; ok "$driver: image"
	is "$(docker run --rm --network none busybox echo hello)" hello "$driver: run"
	is "$(docker run --rm busybox sh -c 'echo out; echo err >&2' 2>/dev/null)" out "$driver: streams are kept apart"
	docker run --rm --network none busybox sh -c 'exit 7'; is $? 7 "$driver: exit code"
	out=$(docker run --rm --network none busybox /nope 2>&1); is $? 127 "$driver: no such command is 127"
	like "$out" "executable file not found|no such file" "$driver: with the runtime's words"
	docker run --rm --network none busybox /etc >/dev/null 2>&1; is $? 126 "$driver: a folder is 126"
	docker run --nosuchflag busybox >/dev/null 2>&1; is $? 125 "$driver: the CLI's own fault is 125"
	docker run --rm --network none nosuch true >/dev/null 2>&1; is $? 125 "$driver: no such image is 125"
	is "$(docker ps -aq | wc -l)" 0 "$driver: --rm removes"
	is "$(echo 'in and out' | docker run --rm -i --network none busybox cat)" "in and out" "$driver: stdin and its end"
	is "$(docker run --rm --network none -e A=1 -e B=two busybox sh -c 'echo $A$B')" 1two "$driver: -e"
	is "$(docker run --rm --network none -w /new/dir busybox pwd)" /new/dir "$driver: -w is made"
	is "$(docker run --rm --network none -u 1000:100 busybox id -u)" 1000 "$driver: -u"
	is "$(docker run --rm --network none -u nobody busybox id -un)" nobody "$driver: -u by name"
	like "$(docker run --rm --network none -u nosuch busybox id 2>&1)" "unable to find user nosuch: no matching entries in passwd file" "$driver: unknown user"
	is "$(docker run --rm --network none --entrypoint echo busybox hi)" hi "$driver: --entrypoint"
	is "$(docker run --rm --network none -h myhost busybox hostname)" myhost "$driver: -h"
	is "$(docker run --rm --network none --name named busybox hostname | wc -c)" 13 "$driver: the id is the host name"
	mkdir -p "$WORK/bind" && echo data > "$WORK/bind/f"
	is "$(docker run --rm --network none -v "$WORK/bind:/b:ro" busybox cat /b/f)" data "$driver: -v bind"
	docker run --rm --network none -v "$WORK/bind:/b:ro" busybox touch /b/x 2>/dev/null; [ $? -ne 0 ]; ok "$driver: read-only bind"
	docker run --rm --network none -v vol1:/v busybox sh -c 'echo kept > /v/f'; is "$(docker run --rm --network none -v vol1:/v busybox cat /v/f)" kept "$driver: a volume keeps"
	like "$(docker volume ls -q)" '^vol1$' "$driver: and is listed"
	docker run --rm --network none -v vol2:/etc busybox true; is "$(docker run --rm --network none -v vol2:/v busybox cat /v/passwd | head -1)" "root:x:0:0:root:/root:/bin/sh" "$driver: the image's content is copied up"
	docker volume rm vol1 vol2 >/dev/null; ok "$driver: volume rm"
	docker run --rm --network none --read-only busybox touch /x 2>/dev/null; [ $? -ne 0 ]; ok "$driver: --read-only"
	docker run --rm --network none --read-only --tmpfs /t:size=1m busybox touch /t/x; ok "$driver: --tmpfs"
	is "$(docker run --rm --network none busybox grep CapEff /proc/self/status | tr -d '\t ')" "CapEff:00000000a80425fb" "$driver: default capabilities"
	is "$(docker run --rm --network none --cap-drop ALL --cap-add chown busybox grep CapEff /proc/self/status | tr -d '\t ')" "CapEff:0000000000000001" "$driver: --cap-drop, --cap-add"
	is "$(docker run --rm --network none busybox grep Seccomp: /proc/self/status | tr -d '\t ')" "Seccomp:2" "$driver: seccomp"
	docker run --rm --network none busybox unshare -U true 2>/dev/null; [ $? -ne 0 ]; ok "$driver: no user namespaces inside"
	is "$(docker run --rm --network none busybox sh -c 'cat /proc/interrupts /proc/kcore | wc -c')" 0 "$driver: masked paths"
	docker run --rm --network none --privileged busybox mount -t tmpfs x /mnt 2>/dev/null || docker run --rm --network none --privileged busybox sh -c 'mkdir -p /mnt; mount -t tmpfs x /mnt'; ok "$driver: --privileged"
	is "$(docker run --rm --network none -m 64m busybox cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || docker run --rm -m 64m busybox cat /sys/fs/cgroup/memory.max)" 67108864 "$driver: -m"
	is "$(docker run --rm --network none --cpus 0.5 busybox cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null)" 50000 "$driver: --cpus"
	if command -v docker-init >/dev/null || command -v tini-static >/dev/null; then like "$(docker run --rm --network none --init busybox cat /proc/1/cmdline | tr '\0' ' ')" "docker-init" "$driver: --init"; else skip "$driver: --init" "no tini"; fi
	is "$(docker run --rm --network none busybox ls /proc/self/fd | tr '\n' ' ')" "0 1 2 3 " "$driver: no descriptor leaks in"
	is "$(docker run --rm --network none busybox ip -o link | grep -c .)" 1 "$driver: none has only lo"
	is "$(docker run --rm --network host busybox readlink /proc/self/ns/net)" "$(readlink /proc/self/ns/net)" "$driver: --network host"
	like "$(docker run --rm -d busybox true 2>&1)" "[0-9a-f]{64}" "$driver: without --network it runs"
	comes "" docker ps -q
	# the life of one container
	id=$(docker run -d --name life --network none -l k=v busybox sh -c 'trap "echo bye; exit 3" TERM; echo started; while :; do sleep 0.1; done')
	like "$id" '^[0-9a-f]{64}$' "$driver: run -d"
	is "$(docker ps -q --no-trunc)" "$id" "$driver: ps"
	is "$(docker ps -q --filter label=k=v --filter name=li --filter status=running | wc -l)" 1 "$driver: ps with filters"
	like "$(docker ps -q --filter foo=bar 2>&1)" "nvalid filter .?'foo'?" "$driver: an unknown filter"
	is "$(docker inspect -f '{{.State.Running}} {{.State.Status}} {{.Name}}' life)" "true running /life" "$driver: inspect"
	like "$(docker run --name life busybox 2>&1)" 'The container name "/life" is already in use by container' "$driver: a name is taken once"
	is "$(docker exec life sh -c 'echo $0; exit 5'; echo $?)" "sh
5" "$driver: exec"
	is "$(echo piped | docker exec -i life cat)" piped "$driver: exec -i"
	is "$(docker exec -e X=y -w /tmp -u nobody life sh -c 'echo $X $(pwd) $(id -un)')" "y /tmp nobody" "$driver: exec -e -w -u"
	docker exec life /nope >/dev/null 2>&1; is $? 127 "$driver: exec of no file is 127"
	docker exec life nope >/dev/null 2>&1; is $? 127 "$driver: exec of no command is 127"
	_pid=$(docker inspect -f '{{.State.Pid}}' life)
	docker exec -d life sleep 1234
	for _d in $(find /sys/fs/cgroup -type d -path "*$(docker inspect -f '{{.Id}}' life)"); do
		mkdir "$_d/own"
		[ ! -e "$_d/cpuset.cpus" ] || { cat "$_d/cpuset.cpus" > "$_d/own/cpuset.cpus"; cat "$_d/cpuset.mems" > "$_d/own/cpuset.mems"; } 2>/dev/null
		[ -s "$WORK/inner" ] || docker top life -eo pid,args | awk '/sleep 1234/ { print $1 }' > "$WORK/inner"
		head -n 1 "$WORK/inner" > "$_d/own/cgroup.procs"
	done
	is "$(docker top life -eo pid,args | grep -c 'sleep 1234') $(docker top life -eo pid,args | awk -v p="$_pid" '$1 == p' | wc -l)" "1 1" "$driver: top shows groups below the container's"
	docker run -d --name crowd --network none busybox sh -c 'x=$(head -c 100000 /dev/zero | tr "\\0" x); for i in 1 2 3; do sh -c "sleep 1000; : $x" & done; wait' > /dev/null
	talkers() { docker top crowd -eo pid,args | grep -c 'xxxxx$'; }
	comes 3 talkers
	is "$(docker top life -eo pid,args | grep -c 'sleep 1234') $(docker top crowd -eo pid,args | grep -c 'xxxxx$')" "1 3" "$driver: whatever others say on their command lines"
	docker rm -f crowd > /dev/null
	sleep 0.3
	is "$(docker logs life)" started "$driver: logs"
	docker stop -t 5 life >/dev/null; ok "$driver: stop"
	is "$(docker inspect -f '{{.State.ExitCode}} {{.State.Status}}' life)" "3 exited" "$driver: its exit code"
	is "$(docker logs --tail 1 life)" bye "$driver: logs of the dead"
	like "$(docker ps -a --format '{{.Status}}')" "^Exited \(3\) " "$driver: status text"
	like "$(docker exec life true 2>&1)" "[iI]s not running" "$driver: no exec in the dead"
	_id=$(docker inspect -f '{{.Id}}' life)
	is "$(api POST /containers/life/kill)" "{\"message\":\"Cannot kill container: life: Container $_id is not running\"}" "$driver: no kill either, in Docker's words"
	is "$(api POST '/containers/life/kill?signal=99')" '{"message":"Cannot kill container: life: The linux daemon does not support signal 99"}' "$driver: a signal that is not there"
	is "$(api POST '/containers/life/kill?signal=foo') $(api_status POST '/containers/life/kill?signal=0')" '{"message":"Invalid signal: foo"} 400' "$driver: one that is none"
	is "$(api POST /containers/nosuch/kill) $(api_status POST /containers/nosuch/kill)" '{"message":"Cannot kill container: nosuch: No such container: nosuch"} 404' "$driver: of a container that is none"
	docker start life >/dev/null; ok "$driver: start again"
	like "$(docker rm life 2>&1)" "[cC]annot remove|You cannot remove a running container" "$driver: the running are not removed"
	docker restart -t 0 life >/dev/null; ok "$driver: restart"
	docker kill -s KILL life >/dev/null; ok "$driver: kill"
	is "$(docker wait life)" 137 "$driver: wait"
	docker rename life life2; is "$(docker ps -a --format '{{.Names}}')" life2 "$driver: rename"
	docker rm -f life2 >/dev/null; ok "$driver: rm -f"
	like "$(docker inspect life2 2>&1)" "No such (object|container)" "$driver: it is gone"
	is "$(find "$WORK/root/containers" -mindepth 1 -maxdepth 1 | wc -l)" 0 "$driver: no folder stays"
	is "$(ls "$WORK/exec/netns" 2>/dev/null | wc -l)" 0 "$driver: no namespace stays"
	is "$(grep -c "$WORK/root/.*/merged" /proc/self/mountinfo)" 0 "$driver: no mount stays"
	is "$(shims | wc -l)" 0 "$driver: no shim stays"
	stop_daemon; is "$DSTATUS" 0 "$driver: stops"
	rm -rf "$WORK/root"
done
done_testing
