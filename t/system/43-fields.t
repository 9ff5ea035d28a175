#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Fields of Config and HostConfig that 42-options does not reach: the kernel's value, seen from inside or in the control group.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc python3
find_docker
scratch
v2=; [ -f /sys/fs/cgroup/cgroup.controllers ] && v2=1
mkdir -p "$WORK/cdi" "$WORK/cdi2"
start_daemon --cdi-spec-dir "$WORK/cdi" --cdi-spec-dir "$WORK/cdi2" --default-ulimit nofile=333:444 --default-ulimit core=5120
ok "starts" || done_testing
load_busybox >/dev/null
run() { docker run --rm --network none "$@"; }
create() { api POST "/v1.50/containers/create?name=$1" -H 'Content-Type: application/json' -d "$2"; }
inspect() { docker inspect -f "$1" "$2"; }
refused() { # pattern what args
	_pat=$1 _what=$2
	shift 2
	_out=$(docker run --rm --network none "$@" 2>&1)
	[ $? -ge 125 ]; ok "$_what: refused"
	like "$_out" "$_pat" "$_what: in words"
}
# a loop device of the test's own
truncate -s 8m "$WORK/disk"
LOOP=$(losetup -f --show "$WORK/disk" 2>/dev/null)
undo_loop() { [ -z "$LOOP" ] || losetup -d "$LOOP"; }
trap 'undo_loop; cleanup' EXIT
nr=
[ -n "$LOOP" ] && nr=$(printf '%d:%d' "0x$(stat -c %t "$LOOP")" "0x$(stat -c %T "$LOOP")")

# control groups
group() { # CONTROLLER ID: its folder on the host
	if [ -n "$v2" ]; then echo "/sys/fs/cgroup/docker/$2"; else echo "/sys/fs/cgroup/$1/docker/$2"; fi
}
id=$(docker run -d --name lim --network none -m 64m --memory-swap 96m --memory-reservation 32m --pids-limit 55 --cpus 0.5 --cpuset-cpus 0 --cpuset-mems 0 \
	--blkio-weight 300 ${LOOP:+--device-read-bps "$LOOP:1mb" --device-write-bps "$LOOP:2mb" --device-read-iops "$LOOP:30" --device-write-iops "$LOOP:40"} \
	busybox sleep 1000 2>"$WORK/warnings")
[ -n "$id" ]; ok "a container with limits"
if [ -z "$v2" ]; then
	m=$(group memory "$id")
	is "$(cat "$m/memory.limit_in_bytes" "$m/memory.memsw.limit_in_bytes" "$m/memory.soft_limit_in_bytes" | tr '\n' ' ')" "67108864 100663296 33554432 " "memory, swap, reservation"
	c=$(group cpu "$id")
	is "$(cat "$c/cpu.cfs_period_us" "$c/cpu.cfs_quota_us" | tr '\n' ' ')" "100000 50000 " "cpus"
	s=$(group cpuset "$id")
	is "$(cat "$s/cpuset.cpus" "$s/cpuset.mems" | tr '\n' ' ')" "0 0 " "cpuset"
	b=$(group blkio "$id")
	if [ -e "$b/blkio.bfq.weight" ] || [ -e "$b/blkio.weight" ]; then
		is "$(cat "$b/blkio.bfq.weight" "$b/blkio.weight" 2>/dev/null | tr -dc 0-9)" 300 "I/O weight"
		unlike "$(cat "$WORK/warnings")" "Weight discarded" "without a warning"
	else
		like "$(cat "$WORK/warnings")" "Weight discarded" "no I/O weight here: a warning"
	fi
	if [ -n "$LOOP" ]; then
		is "$(cat "$b/blkio.throttle.read_bps_device" "$b/blkio.throttle.write_bps_device" "$b/blkio.throttle.read_iops_device" "$b/blkio.throttle.write_iops_device" | tr '\n' ';')" \
			"$nr 1048576;$nr 2097152;$nr 30;$nr 40;" "throttles, by the number of the disk"
	else
		skip "throttles, by the number of the disk" "no loop device"
	fi
	is "$(cat "$(group pids "$id")/pids.max")" 55 "pids"
else
	m=$(group memory "$id")
	is "$(cat "$m/memory.max" "$m/memory.swap.max" "$m/memory.low" | tr '\n' ' ')" "67108864 33554432 33554432 " "memory, swap, reservation"
	is "$(cat "$m/cpu.max")" "50000 100000" "cpus"
	is "$(cat "$m/cpuset.cpus" "$m/cpuset.mems" | tr '\n' ' ')" "0 0 " "cpuset"
	is "$(cat "$m/pids.max")" 55 "pids"
	[ -z "$LOOP" ] || like "$(cat "$m/io.max")" "$nr rbps=1048576 wbps=2097152 riops=30 wiops=40" "throttles, by the number of the disk"
fi
docker rm -f lim >/dev/null
if [ -z "$v2" ]; then
	id=$(docker run -d --name lim2 --network none -m 64m --memory-swappiness 7 --oom-kill-disable --cpu-shares 77 busybox sleep 1000 2>/dev/null)
	m=$(group memory "$id")
	is "$(cat "$m/memory.swappiness")" 7 "swappiness"
	like "$(cat "$m/memory.oom_control")" "oom_kill_disable 1" "OOM killer off"
	is "$(cat "$(group cpu "$id")/cpu.shares")" 77 "shares"
	docker rm -f lim2 >/dev/null
	if [ -e /sys/fs/cgroup/cpu/cpu.rt_period_us ]; then
		id=$(docker run -d --name rt --network none --cpu-rt-period 500000 busybox sleep 1000)
		is "$(cat "$(group cpu "$id")/cpu.rt_period_us")" 500000 "real-time period"
		docker rm -f rt >/dev/null
		docker create --name rtmore --network none --cap-add SYS_NICE --cpu-rt-runtime 4000 busybox sleep 1000 >/dev/null
		like "$(docker start rtmore 2>&1)" "cpu.rt_runtime_us" "more real time than the parent group has"
		docker rm rtmore >/dev/null
		RT=1
	else
		refused "kernel does not support CPU real-time scheduler" "real time" --cpu-rt-period 500000 busybox true
	fi
fi
like "$(docker create --name odd -m 64m --oom-kill-disable --kernel-memory 50m busybox true 2>&1)" "" "what is no more is warned about"
docker rm odd >/dev/null 2>&1
id=$(docker run -d --name par --network none --cgroup-parent "/dkd-test-$$/../dkd-test-$$/x" busybox sleep 1000)
like "$(cat "/proc/$(inspect '{{.State.Pid}}' par)/cgroup")" "/dkd-test-$$/x/$id" "a parent group, its path cleaned"
docker rm -f par >/dev/null
find /sys/fs/cgroup -depth -type d -path "*/dkd-test-$$*" -exec rmdir {} + 2>/dev/null
if [ -n "$LOOP" ] && grep -q '\[none\]\|\[mq-deadline\]\|\[kyber\]' "/sys/dev/block/$nr/queue/scheduler"; then
	out=$(docker run --rm --network none --blkio-weight-device "$LOOP:200" busybox echo ran 2>&1)
	like "$out" "^ran" "a weight for a disk that keeps none does not stop the start"
	like "$out" "scheduler of $LOOP is not bfq|Weight-device discarded" "and is warned about"
else
	skip "a weight for a disk that keeps none" "no such disk"
	skip "and is warned about" "no such disk"
fi
[ -z "$LOOP" ] || refused "is not a block device" "a throttle of what is no disk" --device-read-bps /dev/null:1mb busybox true
# limits of processes
is "$(run busybox sh -c 'ulimit -Sn; ulimit -Hn; ulimit -c' | tr '\n' ' ')" "333 444 10 " "the daemon's default limits"
is "$(run --ulimit nofile=11:22 busybox sh -c 'ulimit -Sn; ulimit -Hn; ulimit -c' | tr '\n' ' ')" "11 22 10 " "the container's own replace them by name"
# devices
ln -s /dev/full "$WORK/link"
is "$(run --device "$WORK/link:/dev/xfull:r" busybox stat -c '%t %T' /dev/xfull)" "1 7" "a device behind a link"
mkdir -p "$WORK/dev/sub" "$WORK/one"
mknod "$WORK/one/p" c 10 231
allowed() { # PATTERN what run's arguments: the kernel's own list of v1
	_pat=$1 _what=$2
	shift 2
	if [ -n "$v2" ]; then skip "$_what" "the kernel lists no devices with cgroup v2"; return; fi
	like "$(run "$@" busybox cat /sys/fs/cgroup/devices/devices.list)" "$_pat" "$_what"
}
allowed "^c 10:231 rm$" "with no more than was asked for" --device "$WORK/one/p:/dev/p:rm"
mknod "$WORK/dev/n1" c 1 3 && mknod "$WORK/dev/sub/n2" c 1 5 && touch "$WORK/dev/file"
is "$(run --device "$WORK/dev:/dev/mine" busybox sh -c 'ls /dev/mine /dev/mine/sub; head -c 3 /dev/mine/sub/n2 | wc -c' | tr '\n' ' ')" \
	"/dev/mine: n1 sub  /dev/mine/sub: n2 3 " "a folder of devices"
refused "not a device node" "a folder without devices" --device /etc:/dev/x busybox true
refused "no such file or directory" "a device that is not there" --device /dev/nosuch busybox true
is "$(run --privileged --device /dev/null:/dev/again busybox stat -c '%t %T' /dev/again)" "1 3" "a second name in a privileged container"
allowed "^c 1:11 rw$" "a device cgroup rule" --device-cgroup-rule "c 1:11 rw"
allowed "^b 8:\* r$" "of a whole kind" --device-cgroup-rule "b 8:* r"
# devices by name
cat > "$WORK/hook" <<EOT
#!/bin/sh
cat > "$WORK/hook.out"
echo "\$1 \$HOOKVAR" > "$WORK/hook.args"
EOT
chmod 755 "$WORK/hook"
echo from-host > "$WORK/lib.so"
cat > "$WORK/cdi/a.json" <<EOT
{"cdiVersion":"0.6.0","kind":"acme.example/widget","containerEdits":{"env":["ALL=widgets"],"mounts":[{"hostPath":"$WORK/lib.so","containerPath":"/opt/lib.so","options":["ro","nosuid","bind"]}]},
"devices":[{"name":"one","containerEdits":{"env":["ONE=1","PATH=/acme:/bin"],"deviceNodes":[{"path":"/dev/widget","hostPath":"/dev/zero"},{"path":"/dev/w2","type":"c","major":10,"minor":231,"fileMode":416,"uid":5,"gid":6,"permissions":"r"}],
"hooks":[{"hookName":"createRuntime","path":"$WORK/hook","args":["hook","word"],"env":["HOOKVAR=value"]}],"additionalGids":[4711]}},
{"name":"two","containerEdits":{"env":["TWO=first"]}},
{"name":"bad","containerEdits":{"deviceNodes":[{"path":"/dev/nosuch"}]}}]}
EOT
echo '{"cdiVersion":"0.6.0","kind":"acme.example/widget","devices":[{"name":"two","containerEdits":{"env":["TWO=second"]}}]}' > "$WORK/cdi2/b.json"
echo '{"cdiVersion":"0.6.0","kind":"no-class","devices":[]}' > "$WORK/cdi/broken.json"
echo 'cdiVersion: 0.6.0' > "$WORK/cdi/c.yaml"
printf 'cdiVersion: 0.6.0\nkind: x/y\ndevices: &a []\nb: *a\n' > "$WORK/cdi/d.yaml"
cat > "$WORK/cdi/e.yaml" <<EOT
---
cdiVersion: 0.5.0
kind: acme.example/yaml
# as a tool of a vendor writes it
containerEdits:
  env:
  - ALL=1
devices:
- name: 0
  containerEdits:
    deviceNodes:
    - {path: /dev/w0, type: c, major: 0xa, minor: 231, fileMode: 0640, uid: 5, gid: 6, permissions: "r"}
    mounts:
    - hostPath: "$WORK/lib.so"
      containerPath: /opt/lib.so
      options: [ro, nosuid, bind]
    additionalGids: [4711]
- name: 'all'
EOT
out=$(run --device acme.example/widget=one --device acme.example/widget=two busybox sh -c 'echo $ALL $ONE $TWO $PATH; head -c 2 /dev/widget | wc -c; cat /opt/lib.so; id -G; stat -c "%a %u %g %t %T" /dev/w2')
is "$(printf '%s' "$out" | tr '\n' '|')" "widgets 1 second /acme:/bin|2|from-host|0 4711|640 5 6 a e7" "CDI: variables, nodes, mount, group; a later folder wins"
allowed "^c 10:231 r$" "its permissions" --device acme.example/widget=one
is "$(cat "$WORK/hook.args" 2>/dev/null)" "word value" "its hook ran"
like "$(cat "$WORK/hook.out" 2>/dev/null)" '"status":"creat' "with the container's state"
refused "CDI device injection failed: unresolvable CDI devices acme.example/widget=three, x.y/zz=a" "names nobody defines" --device acme.example/widget=three --device x.y/zz=a busybox true
refused "failed to stat CDI host device" "a node that the host does not have" --device acme.example/widget=bad busybox true
like "$(cat "$WORK/log")" "broken.json is left out: invalid kind" "a broken file is left out, in words"
like "$(cat "$WORK/log")" "c.yaml is left out: .*kind" "so is YAML without what it needs"
like "$(cat "$WORK/log")" "d.yaml is left out: yaml: line 4: aliases are not supported" "or with aliases"
is "$(run --device acme.example/yaml=0 --device acme.example/yaml=all busybox sh -c 'echo $ALL; cat /opt/lib.so; id -G; stat -c "%a %u %g %t %T" /dev/w0' | tr '\n' '|')" "1|from-host|0 4711|640 5 6 a e7|" "CDI in YAML"
is "$(api GET /v1.50/info | python3 -c 'import json,sys; j=json.load(sys.stdin); print(j["CDISpecDirs"] == sys.argv[1:3], [d["ID"] for d in j["DiscoveredDevices"]])' "$WORK/cdi" "$WORK/cdi2")" \
	"True ['acme.example/widget=bad', 'acme.example/widget=one', 'acme.example/widget=two', 'acme.example/yaml=0', 'acme.example/yaml=all']" "info lists folders and devices"
refused 'could not select device driver "" with capabilities: \[\[gpu\]\]' "GPUs where there are none" --gpus all busybox true
refused 'could not select device driver "nosuch" with capabilities: \[\[x gpu\]\]' "a driver of devices that is not here" --gpus 'driver=nosuch,capabilities=x' busybox true
# security
is "$(run --security-opt no-new-privileges busybox grep NoNewPrivs /proc/self/status | tr -d '\t')" "NoNewPrivs:1" "no-new-privileges"
is "$(run --security-opt no-new-privileges:false busybox grep NoNewPrivs /proc/self/status | tr -d '\t')" "NoNewPrivs:0" "no-new-privileges:false"
is "$(run --security-opt seccomp=unconfined busybox grep 'Seccomp:' /proc/self/status | tr -d '\t')" "Seccomp:0" "seccomp=unconfined"
is "$(run --security-opt seccomp=builtin busybox grep 'Seccomp:' /proc/self/status | tr -d '\t')" "Seccomp:2" "seccomp=builtin"
echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}' > "$WORK/seccomp.json"
like "$(run --security-opt "seccomp=$WORK/seccomp.json" busybox mkdir /x 2>&1)" "Function not implemented" "seccomp=FILE"
is "$(run --security-opt systempaths=unconfined busybox sh -c 'grep -cE " /proc/(kcore|sys|keys) " /proc/mounts')" 0 "systempaths=unconfined"
like "$(run busybox sh -c 'grep -E " /proc/(kcore|sys) " /proc/mounts | wc -l')" "^[12]$" "masked and read-only without"
run --cgroupns private --security-opt writable-cgroups=true busybox sh -c 'mkdir /sys/fs/cgroup/'"${v2:+./}${v2:-memory/}"'sub' ; ok "writable-cgroups"
run --cgroupns private busybox sh -c 'mkdir /sys/fs/cgroup/'"${v2:+./}${v2:-memory/}"'sub' 2>/dev/null; [ $? -ne 0 ]; ok "read-only without"
create paths '{"Image":"busybox","Cmd":["sh","-c","cat /etc/passwd | wc -c; (echo > /etc/group) 2>&1 | grep -c Read-only"],"HostConfig":{"NetworkMode":"none","MaskedPaths":["/etc/passwd"],"ReadonlyPaths":["/etc/group"]}}' >/dev/null
is "$(docker start -a paths | tr '\n' ' ')" "0 1 " "MaskedPaths, ReadonlyPaths"
docker rm paths >/dev/null
is "$(run --cap-drop ALL --cap-add CAP_NET_ADMIN busybox grep CapPrm /proc/self/status | tr -d '\t')" "CapPrm:0000000000001000" "cap-drop ALL, cap-add with CAP_"
like "$(run --security-opt label=type:x busybox true 2>&1)" "SELinux is not enabled" "a label without SELinux is warned about"
# namespaces
is "$(run --userns host busybox readlink /proc/self/ns/user)" "$(readlink /proc/self/ns/user)" "--userns host"
like "$(docker create --ipc container:nosuch busybox true 2>&1)" "No such container: nosuch" "--ipc of a container that is not there"
like "$(docker create --pid container:nosuch busybox true 2>&1)" "No such container: nosuch" "--pid of a container that is not there"
id=$(docker create --name donor --network none --ipc shareable busybox sleep 1000)
like "$(docker run --rm --ipc container:donor busybox true 2>&1)" "can't join IPC of container $id: container $id is not running" "--ipc of one that does not run"
like "$(docker run --rm --pid container:donor busybox true 2>&1)" "container $id is not running" "--pid of one that does not run"
docker create --name guest --network none --ipc container:donor --pid container:donor busybox sh -c 'pidof sleep >/dev/null && echo seen' >/dev/null
is "$(inspect '{{.HostConfig.IpcMode}} {{.HostConfig.PidMode}}' guest)" "container:$id container:$id" "the mode keeps the id"
docker start donor >/dev/null; docker rename donor other
is "$(docker start -a guest)" seen "through a change of names"
docker rm -f other guest >/dev/null
create sys '{"Image":"busybox","Cmd":["cat","/proc/sys/kernel/msgmax","/proc/sys/kernel/domainname"],"HostConfig":{"NetworkMode":"none","Sysctls":{"kernel/msgmax":"4321","kernel.domainname":"from.sysctl"}}}' >/dev/null
is "$(docker start -a sys | tr '\n' ' ')" "4321 from.sysctl " "sysctls with slashes, of the UTS namespace"
docker rm sys >/dev/null
like "$(create sys '{"Image":"busybox","HostConfig":{"UTSMode":"host","Sysctls":{"kernel.domainname":"x"}}}')" "host's UTS namespace" "kernel.domainname of the host is refused"
refused "host ipc" "kernel.msgmax of the host" --ipc host --sysctl kernel.msgmax=1 busybox true
# users
is "$(run -u 1234:5 --group-add 7 busybox id)" "uid=1234 gid=5 groups=5,7" "numbers"
refused "unable to find user nosuch: no matching entries in passwd file" "a user that is not in the image" -u nosuch busybox true
refused "Unable to find group nosuch: no matching entries in group file" "a group that is not" --group-add nosuch busybox true
# the rest
is "$(create stored '{"Image":"busybox","Cmd":["true"],"Shell":["/bin/a"],"OnBuild":["RUN x"],"ArgsEscaped":true,"AttachStdin":true,"StdinOnce":true,"OpenStdin":true,"NetworkDisabled":true,"StopTimeout":-1,"StopSignal":"RTMIN+3","HostConfig":{"NetworkMode":"none","Annotations":{"a.b":"c"},"Isolation":"default","CpuCount":2,"CpuPercent":3}}' | tr -d '\n' | sed 's/.*Warnings/Warnings/')" \
	'Warnings":["linux does not support CPU percent. Percent discarded.","linux does not support CPU count. Count discarded."]}' "Windows' own are warned about"
is "$(inspect '{{json .Config.Shell}} {{json .Config.OnBuild}} {{.Config.ArgsEscaped}} {{.Config.StdinOnce}} {{.Config.StopTimeout}} {{.Config.StopSignal}} {{.HostConfig.Isolation}}' stored)" \
	'["/bin/a"] ["RUN x"] true true -1 RTMIN+3 default' "what is only kept"
docker rm stored >/dev/null
docker run -d --name ann --network none --annotation a.b=c busybox sleep 1000 >/dev/null
is "$(python3 -c 'import json,glob,sys; print(json.load(open(glob.glob(sys.argv[1])[0]))["annotations"])' "$WORK/exec/containers/*/config.json")" "{'a.b': 'c'}" "annotations reach the runtime"
docker rm -f ann >/dev/null
is "$(printf 'in\n' | run -i busybox cat)" in "StdinOnce: the end of what is typed is the container's"
if [ -n "$(docker info -f '{{.InitBinary}}')" ] && command -v docker-init >/dev/null; then
	is "$(run --init busybox sh -c 'tr "\0" " " < /proc/1/cmdline')" "/sbin/docker-init -- sh -c tr \"\\0\" \" \" < /proc/1/cmdline " "--init"
else
	skip "--init" "docker-init is not installed"
fi
# the daemon's own
timeout -k 5 30 "$DOCKERD" --exec-opt native.cgroupdriver=systemd -b none --data-root "$WORK/root2" --exec-root "$WORK/exec2" --pidfile "$WORK/pid2" -H "unix://$WORK/s2" > "$WORK/log2" 2>&1 &
_pid=$!
if [ -d /run/systemd/system ]; then
	kill "$_pid"
	skip "the driver systemd without systemd" "it runs here"
else
	wait "$_pid"
	like "$(cat "$WORK/log2")" "systemd does not run on this host" "the driver systemd without systemd"
fi
if [ -n "${RT:-}" ]; then
	stop_daemon
	start_daemon --cpu-rt-runtime 20000 --cgroup-parent "/dkd-rt-$$/sub"
	id=$(docker run -d --name rt --network none --cpu-rt-runtime 4000 busybox sleep 1000)
	is "$(cat "/sys/fs/cgroup/cpu/dkd-rt-$$/cpu.rt_runtime_us" "/sys/fs/cgroup/cpu/dkd-rt-$$/sub/$id/cpu.rt_runtime_us" | tr '\n' ' ')" "20000 4000 " "--cpu-rt-runtime of the daemon gives the parent groups some"
	docker rm -f rt >/dev/null
	find /sys/fs/cgroup -depth -type d -path "*/dkd-rt-$$*" -exec rmdir {} + 2>/dev/null
fi
# names, platforms, and limits that no kernel has any more
like "$(docker inspect -f '{{.Name}}' "$(docker create --network none busybox true)")" '^/[a-z]+_[a-z]+[0-9]?$' "a name is made up"
platform() { api POST "/v1.41/containers/create?platform=$1" -H 'Content-Type: application/json' -d '{"Image":"busybox"}'; }
other=linux/arm64
[ "$(uname -m)" != aarch64 ] || other=linux/amd64
like "$(platform "$other")" "does not match the specified platform[ :(]+(wanted )?$other" "another platform than the image's"
like "$(platform x/y/z/w)" "cannot parse platform specifier|unknown operating system or architecture" "one that is none"
old=$(api POST /v1.41/containers/create -H 'Content-Type: application/json' -d '{"Image":"busybox","HostConfig":{"KernelMemory":8388608,"KernelMemoryTCP":1000}}')
like "$old" '"Warnings":\["[^"]*kernel memory' "a limit of the kernel's memory is warned about"
# what came with later versions of the API, and what was the rule before
since() { # version, fields, template
	_id=$(api POST "/v$1/containers/create" -H 'Content-Type: application/json' -d "{\"Image\":\"busybox\"$2}" | sed -n 's/.*"Id":"\([0-9a-f]*\)".*/\1/p')
	docker inspect -f "$3" "$_id"
}
is "$(since 1.39 '' '{{.HostConfig.IpcMode}}') $(since 1.40 '' '{{.HostConfig.IpcMode}}')" "shareable private" "others join the IPC namespace of a container that a client of API 1.39 makes"
is "$(since 1.39 ',"HostConfig":{"IpcMode":"private"}' '{{.HostConfig.IpcMode}}')" private "unless it says otherwise"
probe=',"Healthcheck":{"Test":["CMD","true"],"StartInterval":2000000000}'
is "$(since 1.43 "$probe" '{{.Config.Healthcheck.StartInterval}}') $(since 1.44 "$probe" '{{.Config.Healthcheck.StartInterval}}')" "0s 2s" "StartInterval is of API 1.44"
foreign=',"HostConfig":{"Mounts":[{"Type":"tmpfs","Target":"/t","VolumeOptions":{"NoCopy":true}},{"Type":"volume","Target":"/v","TmpfsOptions":{"SizeBytes":4096}}]}'
is "$(since 1.41 "$foreign" '{{range .HostConfig.Mounts}}{{.Target}} {{.VolumeOptions}} {{.TmpfsOptions}} {{end}}')" "/t <nil> <nil> /v <nil> <nil> " \
	"options of another type of mounts are left out before 1.42"
like "$(api POST /v1.42/containers/create -H 'Content-Type: application/json' -d "{\"Image\":\"busybox\"$foreign}")" "field VolumeOptions must not be specified" "and refused since"
mac=',"NetworkingConfig":{"EndpointsConfig":{"none":{"MacAddress":"02:42:00:00:00:07"}}},"HostConfig":{"NetworkMode":"none"}'
is "$(since 1.43 "$mac" '{{.Config.MacAddress}}')" "" "an endpoint has no MAC address of its own before 1.44"
is "$(since 1.44 "$mac" '{{.Config.MacAddress}}')" 02:42:00:00:00:07 "it has one since"
old=',"MacAddress":"02:42:00:00:00:08"'
is "$(since 1.43 "$mac$old" '{{.Config.MacAddress}}')" 02:42:00:00:00:08 "that of the container counts before"
warned() { api POST "/v$1/containers/create" -H 'Content-Type: application/json' -d "{\"Image\":\"busybox\"$old}" | grep -c 'container-wide MacAddress field is now deprecated'; }
is "$(warned 1.43) $(warned 1.44)" "0 1" "and is warned about since"
for c in $(docker ps -aq); do docker rm -f "$c" > /dev/null; done
is "$(docker ps -aq | wc -l)" 0 "no container is left"
stop_daemon; start_daemon --default-cgroupns-mode private
is "$(since 1.40 '' '{{.HostConfig.CgroupnsMode}}') $(since 1.41 '' '{{.HostConfig.CgroupnsMode}}')" \
	"$([ -e /sys/fs/cgroup/cgroup.controllers ] && echo private || echo host) private" "before 1.41 containers are in the host's cgroup namespace, on cgroup v1"
docker ps -aq | while read -r c; do docker rm "$c"; done > /dev/null
stop_daemon; is "$DSTATUS" 0 "stops"
done_testing
