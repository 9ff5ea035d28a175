#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Options of docker run, each seen from inside the container, or refused.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc
find_docker
scratch
v2=; [ -f /sys/fs/cgroup/cgroup.controllers ] && v2=1
printf '[daemon]\nruntimes = second=%s\n%s' "$(command -v runc)" "$(command -v crun >/dev/null && printf 'runtimes = crun=%s\n' "$(command -v crun)")" > "$WORK/d.ini"
start_daemon --config-file "$WORK/d.ini"; ok "starts" || done_testing
load_busybox >/dev/null
run() { docker run --rm --network none "$@"; }
fails() { # pattern what args: refused with that text, 125 and no container left
	_pat=$1 _what=$2
	shift 2
	_out=$(docker run --rm --network none "$@" 2>&1)
	[ $? -ge 125 ]; ok "$_what: refused"
	like "$_out" "$_pat" "$_what: in words"
}
inspect() { docker inspect -f "$1" "$2"; }
# limits
is "$(run --ulimit nofile=111:222 busybox sh -c 'ulimit -Sn; ulimit -Hn' | tr '\n' ' ')" "111 222 " "--ulimit"
is "$(run --ulimit core=0 busybox sh -c 'ulimit -c')" 0 "--ulimit with one value"
fails "soft.*(<=|greater|exceed)|ulimit" "a soft limit over the hard one" --ulimit nofile=5:2 busybox true
fails "invalid ulimit|nosuch" "an unknown limit" --ulimit nosuch=1 busybox true
is "$(run --oom-score-adj 123 busybox cat /proc/self/oom_score_adj)" 123 "--oom-score-adj"
fails "oom.score.adj|between -1000 and 1000|-1000, 1000" "a score out of range" --oom-score-adj 2000 busybox true
is "$(run --shm-size 3m busybox df -k /dev/shm | awk 'NR == 2 { print $2 }')" 3072 "--shm-size"
is "$(run busybox df -k /dev/shm | awk 'NR == 2 { print $2 }')" 65536 "64 MiB without"
cg() { if [ -n "$v2" ]; then echo "/sys/fs/cgroup/$2"; else echo "/sys/fs/cgroup/$1"; fi; }
is "$(run --pids-limit 37 busybox cat "$(cg pids/pids.max pids.max)")" 37 "--pids-limit"
is "$(run --cpuset-cpus 0 busybox sh -c 'grep Cpus_allowed_list /proc/self/status' | tr -d '\t')" "Cpus_allowed_list:0" "--cpuset-cpus"
fails "[Rr]equested CPUs are not available|cpuset" "a CPU that is not there" --cpuset-cpus 4000 busybox true
fails "cpuset|[Ii]nvalid value" "a set that makes no sense" --cpuset-cpus a-b busybox true
fails "4 ?MB|[Mm]inimum memory limit" "too little memory" -m 1m busybox true
fails "CPUs?|cpus" "more CPUs than there are" --cpus 4000 busybox true
if [ -z "$v2" ]; then
	is "$(run --cpu-shares 512 busybox cat /sys/fs/cgroup/cpu/cpu.shares)" 512 "--cpu-shares"
	is "$(run --cpu-period 50000 --cpu-quota 20000 busybox sh -c 'cd /sys/fs/cgroup/cpu; cat cpu.cfs_period_us cpu.cfs_quota_us' | tr '\n' ' ')" "50000 20000 " "--cpu-period, --cpu-quota"
	is "$(run -m 64m --memory-reservation 32m busybox cat /sys/fs/cgroup/memory/memory.soft_limit_in_bytes)" 33554432 "--memory-reservation"
else
	is "$(run --cpu-period 50000 --cpu-quota 20000 busybox cat /sys/fs/cgroup/cpu.max)" "20000 50000" "--cpu-period, --cpu-quota"
fi
docker run --name oom --network none -m 16m busybox sh -c 'head -c 200000000 /dev/zero | tail > /dev/null' >/dev/null 2>&1
is "$(inspect '{{.State.OOMKilled}}' oom)" true "a container out of memory says so"
docker rm oom >/dev/null
# namespaces
is "$(run --pid host busybox readlink /proc/self/ns/pid)" "$(readlink /proc/self/ns/pid)" "--pid host"
is "$(run --ipc host busybox readlink /proc/self/ns/ipc)" "$(readlink /proc/self/ns/ipc)" "--ipc host"
is "$(run --uts host busybox readlink /proc/self/ns/uts)" "$(readlink /proc/self/ns/uts)" "--uts host"
is "$(run --cgroupns host busybox readlink /proc/self/ns/cgroup)" "$(readlink /proc/self/ns/cgroup)" "--cgroupns host"
[ "$(run --cgroupns private busybox readlink /proc/self/ns/cgroup)" != "$(readlink /proc/self/ns/cgroup)" ]; ok "--cgroupns private"
for ns in pid ipc uts mnt net ${v2:+cgroup}; do
	[ "$(run busybox readlink "/proc/self/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ]; ok "its own $ns namespace by default"
done
is "$(run --ipc none busybox sh -c 'grep -c " /dev/shm " /proc/mounts')" 0 "--ipc none has no /dev/shm"
docker run -d --name share --network none --ipc shareable busybox sh -c 'echo seen > /dev/shm/f; echo up; sleep 100' >/dev/null
says share up
is "$(run --ipc container:share busybox cat /dev/shm/f)" seen "--ipc container: shares /dev/shm"
is "$(run --ipc container:share busybox readlink /proc/self/ns/ipc)" "$(docker exec share readlink /proc/self/ns/ipc)" "and the namespace"
is "$(run --pid container:share busybox readlink /proc/self/ns/pid)" "$(docker exec share readlink /proc/self/ns/pid)" "--pid container:"
is "$(docker run --rm --network container:share busybox readlink /proc/self/ns/net)" "$(docker exec share readlink /proc/self/ns/net)" "--network container:"
docker rm -f share >/dev/null
docker run -d --name own --network none busybox sleep 100 >/dev/null
fails "non-shareable IPC" "the IPC namespace of a container that keeps it" --ipc container:own busybox true
docker rm -f own >/dev/null
fails "No such container: nobody|nobody" "the namespace of nobody" --pid container:nobody busybox true
fails "[Ii]nvalid (PID|IPC) mode|invalid" "a mode that is none" --pid nonsense busybox true
# privileges
is "$(run --security-opt seccomp=unconfined busybox grep Seccomp: /proc/self/status | tr -d '\t ')" "Seccomp:0" "seccomp=unconfined"
printf '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}' > "$WORK/profile.json"
run --security-opt seccomp="$WORK/profile.json" busybox mkdir /x 2>/dev/null; [ $? -ne 0 ]; ok "a profile of one's own denies"
run --security-opt seccomp="$WORK/profile.json" busybox touch /x; ok "and allows"
is "$(run --security-opt no-new-privileges busybox grep NoNewPrivs /proc/self/status | tr -d '\t ')" "NoNewPrivs:1" "no-new-privileges"
is "$(run busybox grep NoNewPrivs /proc/self/status | tr -d '\t ')" "NoNewPrivs:0" "not by default"
fails "invalid --security-opt|nonsense" "an unknown security option" --security-opt nonsense=1 busybox true
fails "invalid capability|[Uu]nknown capability|CAP_NOSUCH" "an unknown capability" --cap-add nosuch busybox true
is "$(run --cap-add ALL busybox grep CapBnd /proc/self/status | tr -d '\t ')" "$(grep CapBnd /proc/self/status | tr -d '\t ')" "--cap-add ALL"
is "$(run -u 1000 --cap-add net_admin busybox grep CapEff /proc/self/status | tr -d '\t ')" "CapEff:0000000000000000" "no effective capabilities for others than root"
is "$(run --group-add 4242 --group-add users busybox id -G)" "0 100 4242" "--group-add"
fails "[Uu]nable to find group nosuch|nosuch" "an unknown group" --group-add nosuch busybox true
is "$(run --privileged busybox sh -c 'ls /dev | grep -c "^loop-control$\|^kmsg$"')" "$(ls /dev | grep -c '^loop-control$\|^kmsg$')" "--privileged has the host's devices"
is "$(run --privileged busybox grep -c ' /sys sysfs ro' /proc/mounts)" 0 "and a writable /sys"
is "$(run busybox grep -c ' /sys sysfs ro' /proc/mounts)" 1 "others do not"
# devices
docker run --rm --network none --device /dev/null:/dev/mine:rw busybox sh -c 'test -c /dev/mine && echo x > /dev/mine'; ok "--device"
if [ -c /dev/kmsg ]; then
	run --device /dev/kmsg:/dev/k:r busybox sh -c 'echo x > /dev/k' 2>/dev/null; [ $? -ne 0 ]; ok "--device with read only"
	run busybox sh -c 'mknod /k c 1 11 && : > /k' 2>/dev/null; [ $? -ne 0 ]; ok "a device that was not given"
	run --device-cgroup-rule 'c 1:11 rwm' busybox sh -c 'mknod /k c 1 11 && : > /k'; ok "--device-cgroup-rule"
else
	skip "devices that were not given" "no /dev/kmsg"
fi
fails "no such file|/dev/nosuch|gathering device information" "a device that is not there" --device /dev/nosuch busybox true
fails "invalid device cgroup|invalid.*rule|nonsense" "a rule that makes no sense" --device-cgroup-rule nonsense busybox true
like "$(run --gpus all busybox true 2>&1)" "could not select device driver|device requests" "--gpus"
# sysctls
is "$(run --sysctl net.ipv4.ip_forward=1 busybox cat /proc/sys/net/ipv4/ip_forward)" 1 "--sysctl"
is "$(run --sysctl kernel.msgmax=4321 busybox cat /proc/sys/kernel/msgmax)" 4321 "--sysctl of the IPC namespace"
fails "sysctl|not allowed|separate kernel namespace" "one of the host's" --sysctl kernel.panic=1 busybox true
fails "sysctl|not allowed|host" "one of a namespace that is the host's" --ipc host --sysctl kernel.msgmax=1 busybox true
# files
is "$(run --add-host there:1.2.3.4 busybox sh -c 'grep there /etc/hosts' | tr '\t' ' ')" "1.2.3.4 there" "--add-host"
fails "invalid IP|nonsense|bad format" "a host without an address" --add-host there:nonsense busybox true
is "$(docker run --rm --dns 9.8.7.6 --dns-search a.example --dns-opt ndots:2 --network host busybox cat /etc/resolv.conf | grep -E '^(nameserver|search|options)' | tr '\n' ' ')" "search a.example nameserver 9.8.7.6 options ndots:2 " "--dns, --dns-search, --dns-opt"
fails "not.*valid|[Ii]nvalid|not an IP|ParseAddr" "a name server that is none" --dns nonsense busybox true
is "$(run -h name --domainname dom.example busybox sh -c 'hostname; cat /proc/sys/kernel/domainname' | tr '\n' ' ')" "name dom.example " "--hostname, --domainname"
like "$(run -h name busybox cat /etc/hostname)" '^name$' "/etc/hostname"
# mounts
mkdir -p "$WORK/src/sub"
echo one > "$WORK/src/file"
is "$(run --mount "type=bind,src=$WORK/src,dst=/m" busybox cat /m/file)" one "--mount bind"
run --mount "type=bind,src=$WORK/src,dst=/m,readonly" busybox touch /m/x 2>/dev/null; [ $? -ne 0 ]; ok "--mount readonly"
fails "bind source path does not exist" "--mount of what is not there" --mount "type=bind,src=$WORK/nosuch,dst=/m" busybox true
[ ! -e "$WORK/nosuch" ]; ok "and it is not made"
run -v "$WORK/made:/m" busybox true; [ -d "$WORK/made" ]; ok "-v makes it"
is "$(run --mount type=tmpfs,dst=/t,tmpfs-size=2m,tmpfs-mode=700 busybox sh -c 'df -k /t | tail -1 | awk "{ print \$2 }"; stat -c %a /t' | tr '\n' ' ')" "2048 700 " "--mount tmpfs"
is "$(run --mount type=volume,dst=/v busybox sh -c 'touch /v/x && echo written')" written "--mount of an anonymous volume"
is "$(docker volume ls -q | wc -l)" 0 "which --rm removes"
run --mount type=volume,src=nc,dst=/etc,volume-nocopy busybox true; [ -d "$WORK/root/volumes/nc/_data" ] && [ ! -e "$WORK/root/volumes/nc/_data/passwd" ]; ok "volume-nocopy"
run --mount type=volume,src=nc2,dst=/etc busybox true; [ -e "$WORK/root/volumes/nc2/_data/passwd" ]; ok "the image's files are copied without"
docker volume rm nc nc2 >/dev/null
mount --bind "$WORK/src" "$WORK/src" && mount --make-shared "$WORK/src"
mount -t tmpfs tmpfs "$WORK/src/sub" && echo inner > "$WORK/src/sub/f"
is "$(run -v "$WORK/src:/m" busybox cat /m/sub/f)" inner "binds are recursive"
is "$(run --mount "type=bind,src=$WORK/src,dst=/m,bind-recursive=disabled" busybox ls /m/sub 2>/dev/null | wc -l)" 0 "unless told"
docker run -d --name slave --network none -v "$WORK/src:/m:rslave" busybox sleep 100 >/dev/null
mkdir -p "$WORK/src/late"
mount -t tmpfs tmpfs "$WORK/src/late" && echo late > "$WORK/src/late/f"
is "$(docker exec slave cat /m/late/f 2>/dev/null)" late "rslave sees later mounts"
umount "$WORK/src/late"
docker rm -f slave >/dev/null
umount "$WORK/src/sub" "$WORK/src"
fails "[Dd]uplicate mount point" "two mounts at one place" -v "$WORK/src:/m" -v "$WORK:/m" busybox true
fails "destination can't be '/'|invalid" "a mount over the root" -v "$WORK/src:/" busybox true
fails "invalid mode|nonsense" "a mode that is none" -v "$WORK/src:/m:nonsense" busybox true
docker create --name from --network none -v "$WORK/src:/b:ro" -v fromvol:/v busybox true >/dev/null
is "$(run --volumes-from from busybox cat /b/file)" one "--volumes-from"
run --volumes-from from busybox touch /b/x 2>/dev/null; [ $? -ne 0 ]; ok "keeps read-only"
run --volumes-from from busybox touch /v/x; ok "and the volume's mode"
run --volumes-from from:ro busybox touch /v/y 2>/dev/null; [ $? -ne 0 ]; ok "--volumes-from :ro"
like "$(docker volume rm fromvol 2>&1)" "volume is in use" "a volume in use stays"
docker rm from >/dev/null; docker volume rm fromvol >/dev/null; ok "and goes afterwards"
is "$(run --read-only --tmpfs /tmp busybox sh -c 'touch /tmp/a && ! touch /a 2>/dev/null && echo fine')" fine "--read-only and --tmpfs"
echo "A=from file" > "$WORK/env"
is "$(run --env-file "$WORK/env" -e HOSTVAR busybox sh -c 'echo "$A,$HOSTVAR,"')" "from file,," "--env-file, and a variable that is not set"
# what is noted
id=$(docker create --name noted --network none -l a=b --label-file /dev/null --stop-signal USR1 --stop-timeout 7 --restart on-failure:3 \
	--cidfile "$WORK/cid" --runtime second --health-cmd true --expose 80 --log-opt max-size=5m busybox true)
is "$(cat "$WORK/cid")" "$id" "--cidfile"
is "$(inspect '{{.Config.Labels.a}} {{.Config.StopSignal}} {{.Config.StopTimeout}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}} {{.HostConfig.Runtime}}' noted)" \
	"b USR1 7 on-failure 3 second" "labels, stop signal and time-out, restart policy, runtime are noted"
docker rm noted >/dev/null
like "$(docker info -f '{{json .Runtimes}}')" '"second"' "docker info knows the runtimes"
is "$(run --runtime second busybox echo ran)" ran "--runtime"
fails "[Uu]nknown or invalid runtime name|nosuch" "an unknown runtime" --runtime nosuch busybox true
if docker create --help | grep -q -- --annotation; then
	docker create --name an --network none --annotation x.y=z busybox true >/dev/null
	is "$(inspect '{{json .HostConfig.Annotations}}' an)" '{"x.y":"z"}' "--annotation"
	docker rm an >/dev/null
else
	skip "--annotation" "the client does not have it"
fi
if ! command -v crun >/dev/null; then
	skip "--runtime crun" "crun is not installed"
elif out=$(docker run --rm --network none --runtime crun busybox echo ran 2>&1); [ "$out" != ran ] && printf '%s' "$out" | grep -q 'cgroup'; then
	skip "--runtime crun" "$(printf '%s' "$out" | head -1 | cut -c1-150)"
else
	is "$out" ran "--runtime crun"
fi
# signals and restarts
docker run -d --name sig --network none --stop-signal USR1 busybox sh -c 'trap "exit 42" USR1; echo up; while :; do sleep 0.1; done' >/dev/null
says sig up
docker stop -t 5 sig >/dev/null
is "$(inspect '{{.State.ExitCode}}' sig)" 42 "--stop-signal is what stop sends"
docker rm sig >/dev/null
fails "[Ii]nvalid signal" "a signal that is none" --stop-signal NOSUCH busybox true
out=$(docker run -d --name again --network none --restart on-failure:2 busybox sh -c 'echo x; exit 1' 2>&1)
case $out in
*not\ implemented* | *not\ supported*) skip "--restart" "$out" ;;
*)
	for _i in $(seq $((60 * DKD_SLOW))); do [ "$(inspect '{{.RestartCount}} {{.State.Status}}' again)" = "2 exited" ] && break; sleep 0.1; done
	is "$(inspect '{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}' again)" "2 exited 1" "--restart on-failure:2"
	is "$(docker logs again | wc -l)" 3 "three runs"
	docker rm -f again >/dev/null
	docker run -d --name ever --network none --restart always busybox sh -c 'sleep 0.2' >/dev/null
	for _i in $(seq $((50 * DKD_SLOW))); do [ "$(inspect '{{.RestartCount}}' ever)" -ge 1 ] && break; sleep 0.1; done
	[ "$(inspect '{{.RestartCount}}' ever)" -ge 1 ]; ok "--restart always"
	docker stop -t 0 ever >/dev/null
	n=$(inspect '{{.RestartCount}}' ever)
	sleep 0.6
	is "$(inspect '{{.State.Running}} {{.RestartCount}}' ever)" "false $n" "until it is stopped"
	docker rm -f ever >/dev/null
	;;
esac
like "$(docker create --restart sometimes busybox true 2>&1)" "invalid restart policy" "a policy that is none"
like "$(docker run -d --rm --restart always busybox true 2>&1)" "[Cc]onflict|can't|cannot" "--rm and --restart exclude each other"
# what this version cannot do is said
like "$(docker run --rm --network nosuch busybox true 2>&1)" "network nosuch not found" "a network that is not there"
like "$(docker run --rm -p 80:80 --network none busybox true 2>&1; docker run --rm -p 8080:80 busybox true 2>&1)" "port|publish|not supported|not implemented|none" "-p is warned about or refused"
like "$(docker run --rm --link xx:b busybox true 2>&1)" "could not get container for xx: No such container: xx" "--link to what is not there"
fails "userns|user namespace|remap" "--userns of an unknown kind" --userns nonsense busybox true
# an image may say what a client may not
IMAGE_ENV='["PATH=/bin","A=1","","=x","A=2"]' CONFIG_EXTRA='"StopSignal":"SIGFOO","Volumes":{"data":{}},"Healthcheck":{"Test":["CMD","true"],"Interval":1,"Retries":-1}' \
	"$top_srcdir/t/tools/mkimage" odd:latest > "$WORK/odd.tar" && docker load -q -i "$WORK/odd.tar" >/dev/null
docker run -d --name odd --network none odd sh -c 'trap "exit 5" TERM; env; while :; do sleep 0.1; done' >/dev/null
for _i in $(seq $((100 * DKD_SLOW))); do [ "$(inspect '{{.State.Health.Status}}' odd)" = healthy ] && break; sleep 0.1; done
is "$(inspect '{{.State.Health.Status}}' odd)" healthy "an image with probes all the time"
docker stop odd >/dev/null; is "$(inspect '{{.State.ExitCode}}' odd)" 5 "with a signal that is none: TERM"
is "$(docker logs odd | grep -E '^(A|)=' | paste -sd' ')" "A=2" "with a variable twice, and one without a name"
docker rm -v odd >/dev/null
is "$(docker ps -aq | wc -l)" 0 "no container is left"
is "$(grep -c "$WORK/root/.*/merged" /proc/self/mountinfo)" 0 "no mount stays"
stop_daemon; is "$DSTATUS" 0 "stops"
done_testing
