#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# SELinux, enforcing, with Debian's own policy (selinux-policy-default) and a module for the types that it lacks (selinux-debian.cil). 43-selinux has
# the rest. t/vm/suites --append "security=selinux selinux=1 enforcing=0" -- 43-selinux-debian
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc jq python3
find_docker
[ -d /run/vm ] || skip_all "the host's own policy is not replaced"
POLICY=$(echo /etc/selinux/default/policy/policy.*)
[ -e "$POLICY" ] || skip_all "no selinux-policy-default"
need semodule chcon runcon
FS=/sys/fs/selinux
CURRENT=/proc/self/attr/current
mount -t selinuxfs selinuxfs "$FS" 2> /dev/null
[ -e "$FS/load" ] || skip_all "the kernel was started without SELinux"
if [ -z "${IN_DOMAIN:-}" ]; then
	printf 'SELINUX=permissive\nSELINUXTYPE=default\n' > /etc/selinux/config
	# in one write; load_policy would mount another /sys in this namespace
	dd if="$POLICY" of="$FS/load" bs=64M iflag=fullblock 2> /dev/null || skip_all "the policy is not loaded"
	# as what systemd starts
	IN_DOMAIN=1 runcon system_u:system_r:initrc_t:s0 bash "$0"
	status=$?
	echo 0 > "$FS/enforce"
	dmesg | grep 'avc:  denied' | grep -v ':container_t:' | tail -n 20 | cut -c1-300 | sed 's/^/# /'
	exit $status
fi
scratch
label() { docker inspect -f "{{.${2}Label}}" "$1"; }
run() { docker run --rm --network none "$@"; }
detached() { docker run -d --network none "$@" busybox sleep 10000 > /dev/null; }
type_of() { python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "security.selinux", follow_symlinks=False).decode().rstrip("\0").split(":")[2])' "$1"; }
denials() { dmesg | grep -c 'avc:  denied .*scontext=[^ ]*:container_t:'; }

is "$(tr -d '\0' < $CURRENT)" "system_u:system_r:initrc_t:s0" "what runs here is labelled"

# As it is, the policy has no types for containers
start_daemon --selinux-enabled
ok "a daemon on Debian's policy" || done_testing
load_busybox > /dev/null
is "$(grep -c "SELinux: the host's policy does not know system_u:system_r:container_t:s0, which /etc/selinux/default/contexts/lxc_contexts names: containers with that label do not start" \
	"$WORK/log")" 1 "warns that it lacks types for containers"
like "$(run busybox true 2>&1)" "nvalid argument" "none starts with such a label"
stop_daemon
rm -rf "$WORK/root"

semodule -s default -n -i "$top_srcdir/t/system/selinux-debian.cil" > "$WORK/semodule" 2>&1 && dd if="$POLICY" of="$FS/load" bs=64M iflag=fullblock 2> /dev/null
ok "a module brings them" || { sed 's/^/# /' "$WORK/semodule"; done_testing; }
mkdir "$WORK/root"
chcon system_u:object_r:container_ro_file_t:s0 "$WORK/root"
is "$(type_of "$WORK/root")" container_ro_file_t "the data-root has its label"
echo 1 > "$FS/enforce"
is "$(cat "$FS/enforce")" 1 "enforcing"

: > "$WORK/log"
start_daemon --debug --selinux-enabled
ok "a daemon" || done_testing
is "$(grep -c 'level=warning msg="SELinux' "$WORK/log")" 0 "that warns of nothing"
load_busybox > /dev/null
ok "an image is loaded" || done_testing
like "$(docker info -f '{{.SecurityOptions}}')" "name=selinux" "info tells"
is "$(run busybox echo runs)" runs "a container runs"
detached --name aa --tmpfs /t --ipc shareable
detached --name bb
like "$(label aa Process)" "^system_u:system_r:container_t:s0:c[0-9]+,c[0-9]+$" "it has a label"
is "$(docker exec aa cat /proc/1/attr/current | tr -d '\0')" "$(label aa Process)" "which is its process's"
is "$(docker exec aa cat $CURRENT | tr -d '\0')" "$(label aa Process)" "and an exec's"
is "$(docker exec -t aa cat $CURRENT | tr -d '\0\r')" "$(label aa Process)" "with a terminal, too"
is "$(docker exec aa sh -c 'echo x > /f; mkdir /d; mv /f /d/; cat /d/f; echo t > /t/f; cat /t/f; echo s > /dev/shm/f; cat /dev/shm/f; rm -r /d; ls -d /d 2>&1' | tr '\n' ' ')" \
	"x t s ls: /d: No such file or directory " "it uses its own files"
is "$(docker exec aa sh -c 'echo h > /etc/hosts; cat /etc/hosts')" h "and what the daemon made for it"
is "$(docker exec aa sh -c 'mkfifo /p; (echo through > /p) & cat /p; wait')" through "pipes, too"
is "$(docker exec -i aa cat < <(echo in))" in "streams"
docker run --name lg --network none busybox sh -c 'echo out; echo err >&2' > /dev/null 2>&1
is "$(docker logs lg 2>&1 | sort | tr '\n' ' ')" "err out " "logs"

# What is the host's
D=$WORK/dir
mkdir -p "$D/sub"
echo secret > "$D/sub/file"
chmod -R a+rwX "$D"
chcon -R system_u:object_r:user_home_t:s0 "$D"
before=$(denials)
like "$(run -v "$D:/x" busybox cat /x/sub/file 2>&1)" "Permission denied" "a folder of the host's is denied"
like "$(run --cap-add ALL -v "$D:/x" busybox sh -c 'echo y > /x/y' 2>&1)" "Permission denied" "to one with all capabilities, too"
[ "$(denials)" -gt "$before" ]
ok "the kernel tells of it"
is "$(type_of "$D")" user_home_t "the folder stays as it was"
is "$(run --security-opt label=disable -v "$D:/x" busybox cat /x/sub/file)" secret "a container without labels may read it"
is "$(run -v "$D:/x:z" busybox cat /x/sub/file)" secret "z"
is "$(type_of "$D/sub/file")" container_file_t "the label has changed"
is "$(run -v "$D:/x" busybox sh -c 'echo new > /x/new; cat /x/new')" new "for all containers"
detached --name zz -v "$D:/x:Z"
is "$(docker exec zz cat /x/sub/file)" secret "Z"
like "$(run -v "$D:/x" busybox cat /x/sub/file 2>&1)" "Permission denied" "for this one alone"
like "$(run -v /etc:/x:z busybox true 2>&1)" "SELinux relabeling of /etc is not allowed" "folders of the system are not relabelled"
run -v vol:/x busybox sh -c 'echo v > /x/f'
is "$(run -v vol:/y busybox cat /y/f)" v "volumes are for all containers"

# One container's is no other's
pid=$(docker inspect -f '{{.State.Pid}}' aa)
rootfs=$(docker inspect -f '{{.GraphDriver.Data.MergedDir}}' aa)
docker exec aa sh -c 'echo mine > /mine'
like "$(run -v "$rootfs:/x" busybox cat /x/mine 2>&1)" "Permission denied" "another container's files"
like "$(run --pid host --security-opt "label=level:$(label bb Process | cut -d: -f4-)" busybox sh -c "kill -9 $pid" 2>&1)" "Permission denied|Operation not permitted" "nor its processes"
is "$(docker inspect -f '{{.State.Running}}' aa)" true "which lives on"

# Files in and out, builds, the next daemon
echo cp > "$WORK/cp"
docker cp -q "$WORK/cp" aa:/cp
is "$(docker exec aa cat /cp)" cp "docker cp"
is "$(docker cp aa:/mine - | tar -xO)" mine "and back"
is "$(docker commit aa img > /dev/null; run img cat /mine)" mine "docker commit"
had=$(label aa Process)
stop_daemon KILL > /dev/null
start_daemon --debug --selinux-enabled
ok "the next daemon" || done_testing
is "$(docker exec aa cat $CURRENT | tr -d '\0')" "$had" "keeps the label"
docker restart -t 0 aa > /dev/null
is "$(docker exec aa sh -c 'cat /mine'; docker exec aa cat $CURRENT | tr -d '\0')" "mine
$had" "and the next run has it"
docker rm -f aa bb zz > /dev/null
is "$(docker ps -q | wc -l)" 0 "all of them can be removed"
stop_daemon
done_testing
