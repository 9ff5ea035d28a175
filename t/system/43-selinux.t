#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# SELinux: the labels of containers and of what they mount; in a virtual machine with a policy of the test's own (selinux.conf), permissive and enforcing:
# t/vm/suites --append "security=selinux selinux=1 enforcing=0" -- 43-selinux
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc jq python3
find_docker
scratch
FS=/sys/fs/selinux
CURRENT=/proc/self/attr/current
label() { docker inspect -f "{{.${2}Label}}" "$1"; }
option() { docker inspect -f '{{json .HostConfig.SecurityOpt}}' "$1"; }
if ! grep -q selinuxfs /proc/filesystems; then
	start_daemon --selinux-enabled
	ok "a daemon on a kernel without SELinux" || done_testing
	load_busybox > /dev/null
	is "$(grep -c 'level=warning msg="Docker could not enable SELinux on the host system"' "$WORK/log")" 1 "warns"
	unlike "$(docker info -f '{{.SecurityOptions}}')" selinux "info tells of none"
	mkdir "$WORK/dir"
	like "$(docker run --rm --network none --security-opt label=type:x -v "$WORK/dir:/x:Z" busybox sh -c 'echo x > /x/f; cat /x/f' 2>&1 | tr '\n' ' ')" \
		"^WARNING: SELinux is not enabled. The label options have no effect. x $" "label options are warned about"
	id=$(docker create --privileged busybox)
	is "$(option "$id")" '["label=disable"]' "a privileged container is without labels"
	is "$(option "$(docker create --pid host busybox)")" '["label=disable"]' "one with the host's processes, too"
	is "$(option "$(docker create --ipc host --security-opt label=type:x busybox 2> /dev/null)")" '["label=type:x"]' "but for who says which"
	is "$(label "$id" Process)$(label "$id" Mount)" "" "inspect tells of no labels"
	skip "labels" "the kernel has no SELinux"
	done_testing
fi
[ -d /run/vm ] || skip_all "the host's own policy is not replaced"
command -v checkpolicy > /dev/null || skip_all "no checkpolicy"
mount -t selinuxfs selinuxfs "$FS" 2> /dev/null
[ -e "$FS/load" ] || skip_all "the kernel was started without SELinux"

# a policy, and the files of one
for ((i = 0; i < 1024; i++)); do echo "category c$i;"; done > "$WORK/categories"
sed -e "/^CATEGORIES$/{r $WORK/categories" -e 'd}' "$top_srcdir/t/system/selinux.conf" > "$WORK/policy.conf"
checkpolicy -M -U allow -c 31 -o "$WORK/policy" "$WORK/policy.conf" > "$WORK/checkpolicy.log" 2>&1
ok "a policy" || { cat "$WORK/checkpolicy.log"; done_testing; }
mkdir -p /etc/selinux/mine/contexts
printf 'SELINUX=permissive\nSELINUXTYPE=mine\n' > /etc/selinux/config
printf 'process = "system_u:system_r:container_t:s0"\nfile = "system_u:object_r:container_file_t:s0"\nro_file = "system_u:object_r:container_ro_file_t:s0"\n' \
	> /etc/selinux/mine/contexts/lxc_contexts
start_daemon --selinux-enabled
is "$(grep -c 'Docker could not enable SELinux' "$WORK/log")" 1 "a kernel without a policy is one without SELinux"
stop_daemon
cat "$WORK/policy" > "$FS/load"
ok "is loaded" || done_testing
is "$(tr -d '\0' < $CURRENT)" "system_u:system_r:kernel_t:s0-s0:c0.c1023" "it labels processes"
echo 0 > "$FS/enforce"
# as restorecon has it: what is made below has the folder's type
mkdir -p "$WORK/root" "$WORK/vfs"
find "$WORK/root" "$WORK/vfs" -print0 | python3 -c 'import os, sys
for f in sys.stdin.buffer.read().split(b"\0")[:-1]:
    os.setxattr(f, "security.selinux", b"system_u:object_r:container_ro_file_t:s0", follow_symlinks=False)'
start_daemon --debug --selinux-enabled
ok "a daemon" || done_testing
load_busybox > /dev/null
like "$(docker info -f '{{.SecurityOptions}}')" "name=selinux" "info tells"

level() { label "$1" Process | cut -d: -f4-; }
current() { docker exec "$@" cat $CURRENT | tr -d '\0'; }
# of a file, as the container sees it
file() {
	python3 -c 'import os, sys; print(os.getxattr("/proc/%s/root%s" % (sys.argv[1], sys.argv[2]), "security.selinux", follow_symlinks=False).decode().rstrip("\0"))' \
		"$(docker inspect -f '{{.State.Pid}}' "$1")" "$2"
}
host() { python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "security.selinux", follow_symlinks=False).decode().rstrip("\0"))' "$1"; }
run() { docker run --rm --network none "$@"; }
detached() { docker run -d --network none "$@" busybox sleep 10000 > /dev/null; }
labels() { # what a container is, in permissive and in enforcing mode
	detached --name aa --tmpfs /t --ipc shareable
	detached --name bb
	like "$(label aa Process)" "^system_u:system_r:container_t:s0:c[0-9]+,c[0-9]+$" "$1: a container has a label"
	is "$(label aa Mount)" "system_u:object_r:container_file_t:$(level aa)" "$1: its files have one with the same level"
	[ "$(level aa)" != "$(level bb)" ]
	ok "$1: another container has another level"
	is "$(docker exec aa cat /proc/1/attr/current | tr -d '\0')" "$(label aa Process)" "$1: its process has it"
	is "$(current aa)" "$(label aa Process)" "$1: an exec, too"
	is "$(current -t aa | tr -d '\r')" "$(label aa Process)" "$1: with a terminal, too"
	is "$(current --privileged -u 1000 aa)" "$(label aa Process)" "$1: one with all capabilities, too"
	for f in / /bin /bin/busybox /t /dev /dev/shm /dev/mqueue /etc/hosts /etc/hostname /etc/resolv.conf; do
		is "$(file aa $f)" "$(label aa Mount)" "$1: $f"
	done
	is "$(docker exec aa sh -c 'echo x > /f; echo x > /t/f; echo x > /dev/shm/f; cat /f /t/f /dev/shm/f' | tr -d '\n')" xxx "$1: it may write its own files"
	is "$(file aa /f)" "$(label aa Mount)" "$1: and what it writes has the label"
	docker rm -f aa bb > /dev/null
}
labels permissive
echo 1 > "$FS/enforce"
labels enforcing

# options
both() { docker create --name oo "$@" busybox > /dev/null; echo "$(label oo Process) $(label oo Mount)"; docker rm oo > /dev/null; }
is "$(both --security-opt label=level:s0:c7,c8)" "system_u:system_r:container_t:s0:c7,c8 system_u:object_r:container_file_t:s0:c7,c8" "label=level:"
is "$(both --security-opt label=level:s0:c7 --security-opt label:type:super_t --security-opt label=user:other_u --security-opt label=role:x_r --security-opt label=filetype:other_file_t)" \
	"other_u:x_r:super_t:s0:c7 other_u:object_r:other_file_t:s0:c7" "label=type:, user:, role:, filetype:"
is "$(both --security-opt label=disable)" " system_u:object_r:container_file_t:s0:c1022,c1023" "label=disable"
is "$(both --privileged)" " system_u:object_r:container_file_t:s0:c1022,c1023" "a privileged container"
is "$(both --pid host)" " system_u:object_r:container_file_t:s0:c1022,c1023" "the host's processes"
like "$(docker create --security-opt label=nope:x busybox 2>&1)" "bad label option \"nope\", valid options 'disable, user, role, level, type, filetype'" "a wrong one"
like "$(docker create --security-opt 'label=filetype:x"' busybox 2>&1)" 'bad label option "filetype:x""' "one that is no word"
is "$(run --security-opt label=type:super_t busybox cat $CURRENT | tr -d '\0' | cut -d: -f1-3)" "system_u:system_r:super_t" "a type of one's own runs"
is "$(run --privileged busybox cat $CURRENT | tr -d '\0')" "system_u:system_r:kernel_t:s0-s0:c0.c1023" "a privileged container runs as the daemon does"
is "$(run --security-opt label=disable busybox cat $CURRENT | tr -d '\0')" "system_u:system_r:kernel_t:s0-s0:c0.c1023" "so does one without a label"
like "$(run --security-opt label=type:nope_t busybox true 2>&1)" "nvalid argument" "a type that the policy has not: the runtime's words"

# whose namespaces are shared
detached --name aa --ipc shareable
detached --name bb --ipc shareable
detached --name ii --ipc container:aa
is "$(label ii Process) $(label ii Mount)" "$(label aa Process) $(label aa Mount)" "whoever joins an ipc namespace has the same labels"
docker exec aa sh -c 'echo x > /dev/shm/f'
is "$(docker exec ii cat /dev/shm/f)" x "and sees what is there"
is "$(level ii)" "$(docker run --rm --network none --pid container:aa busybox cat $CURRENT | tr -d '\0' | cut -d: -f4-)" "a pid namespace"
like "$(docker create --ipc container:aa --pid container:bb busybox 2>&1)" "\-\-ipc and \-\-pid containers SELinux labels aren't the same" "not both of two containers"
docker rm -f ii bb > /dev/null

# what is mounted
D="$WORK/dir"
mkdir -p "$D/sub" "$WORK/outside"
echo secret > "$D/sub/file"
echo other > "$WORK/outside/file"
ln -s "$WORK/outside" "$D/link"
chmod -R a+rwX "$WORK" 2> /dev/null
like "$(run -v "$D:/x" busybox cat /x/sub/file 2>&1)" "Permission denied" "a folder of the host's is denied"
is "$(host "$D")" "system_u:object_r:host_t:s0" "and stays as it was"
is "$(run --security-opt label=disable -v "$D:/x" busybox cat /x/sub/file)" secret "but to a container without labels"
is "$(run -v "$D:/x:z" busybox cat /x/sub/file)" secret "z: it may be read"
is "$(host "$D/sub/file")$(host "$D")" "system_u:object_r:container_file_t:s0system_u:object_r:container_file_t:s0" "by all containers"
is "$(host "$D/link" | cut -d: -f3) $(host "$WORK/outside/file")" "container_file_t system_u:object_r:host_t:s0" "links are relabelled themselves, and not what is behind them"
is "$(run -v "$D:/x" busybox sh -c 'echo new > /x/new; cat /x/new')" new "another container may, too"
detached --name zz -v "$D:/x:Z"
is "$(docker exec zz cat /x/sub/file)" secret "Z: this container may read it"
is "$(host "$D/sub/file")" "$(label zz Mount)" "its own label"
like "$(run -v "$D:/x" busybox cat /x/sub/file 2>&1)" "Permission denied" "and no other may"
docker rm -f zz > /dev/null
like "$(run -v /etc:/x:z busybox true 2>&1)" "error setting label on mount source '/etc': SELinux relabeling of /etc is not allowed" "folders of the system are refused"
is "$(host /etc | cut -d: -f3)" "$(host /usr | cut -d: -f3)" "and stay as they were"
run -v vol:/x busybox sh -c 'echo v > /x/f'
is "$(run -v vol:/y busybox cat /y/f)" v "a volume is for all containers"
is "$(run --mount type=volume,source=vol,target=/y busybox cat /y/f)" v "by --mount, too"
is "$(run --mount type=tmpfs,target=/y busybox sh -c 'echo t > /y/f; cat /y/f')" t "a tmpfs by --mount"
is "$(docker cp aa:/bin/busybox - | wc -c | awk '{ print ($1 > 100000) }')" 1 "docker cp from a container"
echo cp > "$WORK/cp"
docker cp -q "$WORK/cp" aa:/cp
is "$(docker exec aa cat /cp)" cp "and to one"

# the next daemon, killed or not, with the option or without
had="$(label aa Process) $(label aa Mount)"
stop_daemon KILL > /dev/null
start_daemon --debug --selinux-enabled
is "$(label aa Process) $(label aa Mount)" "$had" "the next daemon knows the labels"
is "$(current aa)" "${had%% *}" "its execs have them"
docker restart -t 0 aa > /dev/null
is "$(current aa)" "${had%% *}" "and the next run"
if command -v crun > /dev/null && crun --version | grep -q SELINUX; then
	stop_daemon
	printf '{"runtimes":{"crun":{"path":"%s"}}}\n' "$(command -v crun)" > "$WORK/daemon.json"
	start_daemon --debug --selinux-enabled
	is "$(run --runtime crun busybox cat $CURRENT | tr -d '\0' | cut -d: -f3)" container_t "crun"
fi
# a tree that is not mounted with a label
stop_daemon
start_daemon --debug --selinux-enabled --storage-driver vfs --data-root "$WORK/vfs"
load_busybox > /dev/null
detached --name vv
is "$(file vv /bin/busybox)" "$(label vv Mount)" "a driver that does not mount: the tree has the label"
is "$(docker exec vv sh -c 'echo x > /f; cat /f')" x "and may be written"
docker rm -f vv > /dev/null
stop_daemon
echo 0 > "$FS/enforce"
start_daemon --debug
unlike "$(docker info -f '{{.SecurityOptions}}')" "name=selinux" "without the option info tells of none"
docker start aa > /dev/null
is "$(current aa)" "system_u:system_r:kernel_t:s0-s0:c0.c1023" "and labels of records are not used"
is "$(label aa Process) $(label aa Mount)" "$had" "but kept"
docker rm -f aa > /dev/null
done_testing
