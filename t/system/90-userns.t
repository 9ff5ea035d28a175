#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# --userns-remap: whose ids containers get, what is whose on disk, what containers can do inside, and what is refused.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc python3 tar useradd usermod
need_apart
[ -e /proc/self/ns/user ] && [ "$(cat /proc/sys/user/max_user_namespaces)" -gt 0 ] || skip_all "no user namespaces"
find_docker
scratch
with_runtime
# accounts of the suite's own: tools rename files over these
cp -a /etc "$WORK/etc" && mount --bind "$WORK/etc" /etc || skip_all "cannot mount over /etc"
userdel dockremap 2>/dev/null
sed -i '/^dockremap:/d;/^[0-9]*:/d' /etc/subuid /etc/subgid 2>/dev/null || true
: >> /etc/subuid; : >> /etc/subgid
useradd --system --no-create-home many && useradd --system --no-create-home few; ok "accounts"
sed -i '/^many:/d;/^few:/d' /etc/subuid /etc/subgid
MANY=$(id -u many)

refused() { # value pattern
	start_daemon --userns-remap "$1"
	[ -n "${DSTATUS:-}" ] && [ "$DSTATUS" != 0 ]; ok "--userns-remap=$1 is refused"
	like "$(tail -1 "$WORK/log")" "$2" "in Docker's words"
	DSTATUS=
}
refused a:b:c 'Invalid user/group specification in --userns-remap: "a:b:c"'
refused nosuchuser 'Error during uid lookup for "nosuchuser": getent unable to find entry "nosuchuser" in passwd database'
refused 99999 'Uid 99999 has no entry in /etc/passwd: getent unable to find entry "99999" in passwd database'
refused many:nosuch 'Error during groupname lookup for "nosuch": getent unable to find entry "nosuch" in group database'
refused many "Can't create ID mappings: no subuid ranges found for user \"many\""
echo 'few:x:1' >> /etc/subuid
refused few 'String to int conversion failed during subuid/gid parsing of /etc/subuid: strconv.Atoi: parsing "x": invalid syntax'
sed -i '/^few:/d' /etc/subuid

# several ranges, the number's before the name's
printf 'many:300000:1000\n%s:400000:100\n' "$MANY" >> /etc/subuid
printf '%s:500000:65536\n' "$MANY" >> /etc/subgid
start_daemon --userns-remap "$MANY:few"; ok "starts with a number and a group" || done_testing
R=$WORK/root/400000.500000
[ -d "$R/overlay2" ] || [ -d "$R/vfs" ]; ok "the data-root is named by the ids of root"
load_busybox >/dev/null; ok "an image"
is "$(docker run --rm --network none busybox cat /proc/self/uid_map | tr -s ' ' | sed 's/^ //')" "0 400000 100
100 300000 1000" "two ranges behind each other"
is "$(docker run --rm --network none -u 150 busybox id -u)" 150 "a user of the second"
like "$(docker run --rm --network none -u 1100 busybox id 2>&1)" "cannot set uid to unmapped user|cannot setresuid to 1100" "no user behind it"
stop_daemon

start_daemon --userns-remap default; ok "starts with the default user" || done_testing
like "$(getent passwd dockremap)" ':/bin/false$' "which is made"
B=$(sed -n 's/^dockremap:\([0-9]*\):65536$/\1/p' /etc/subuid)
G=$(sed -n 's/^dockremap:\([0-9]*\):65536$/\1/p' /etc/subgid)
[ "${B:-0}" -ge 100000 ] && [ "${G:-0}" -ge 100000 ]; ok "with ranges of ids"
R=$WORK/root/$B.$G
is "$(docker info -f '{{.DockerRootDir}}')" "$R" "the data-root"
like "$(docker info -f '{{.SecurityOptions}}')" 'name=userns' "docker info tells"
load_busybox >/dev/null
is "$(docker image ls -q | wc -l)" 1 "the images are its own"
owner() { stat -c '%a %u %g' "$1"; }
is "$(owner "$WORK/root")" "710 0 $G" "the data-root can be passed by the remapped group"
is "$(owner "$R")" "710 0 $G" "its own, too"
id=$(docker run -d --name c1 --hostname h1 -v vol:/etc -v "$WORK/new/dir:/bind" -w /made/here busybox sh -c 'echo up; exec sleep 1000' 2>&1)
says c1 up; ok "a container runs: $id" || done_testing
pid=$(docker inspect -f '{{.State.Pid}}' c1)
is "$(tr -s ' ' < "/proc/$pid/uid_map" | sed 's/^ //')" "0 $B 65536" "its uid_map"
is "$(tr -s ' ' < "/proc/$pid/gid_map" | sed 's/^ //')" "0 $G 65536" "its gid_map"
is "$(stat -c %u "/proc/$pid")" "$B" "its process is nobody's on the host"
e() { docker exec c1 "$@" 2>&1; }
is "$(e id -u)" 0 "and root's inside"
is "$(e stat -c '%u:%g' / /bin/busybox /etc /etc/passwd /etc/hosts /etc/hostname /etc/resolv.conf /bind /made /made/here /dev/shm /dev | sort -u)" "0:0" "root's files are root's"
is "$(e hostname)" h1 "its hostname"
is "$(stat -c '%u:%g' "$WORK/new" "$WORK/new/dir" | sort -u)" "$B:$G" "folders made for a bind are its root's"
is "$(e sh -c 'echo x > /dev/null && head -c 3 /dev/zero | wc -c')" 3 "devices work"
like "$(e sh -c 'echo x > /proc/sys/kernel/domainname; mount -t tmpfs x /mnt; mknod /x c 1 3')" "denied|ermitted|Read-only" "it may not what root may"
is "$(e sh -c 'grep -c " /sys sysfs ro" /proc/mounts; grep -c " /dev/mqueue mqueue" /proc/mounts')" "1
1" "sysfs and mqueue are its own"
is "$(e cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" 0 "low ports are anybody's"
e sh -c 'echo a > /f; chown 33:44 /f; mkdir /d; touch /d/x' >/dev/null
find "$R/$(docker info -f '{{.Driver}}')" -user 0 \( -path '*/diff/*' -o -path '*/dir/*' \) ! -type c ! -path '*/work/*' 2>/dev/null | head -3 > "$WORK/rooted"
is "$(cat "$WORK/rooted")" "" "nothing in a layer is the host's root's"
is "$(docker diff c1 | grep -c ' /f$')" 1 "docker diff"
is "$(docker export c1 | tar tvf - --numeric-owner | awk '$6 == "f" || $6 == "bin/busybox" || $6 == ".dockerenv" { print $2, $6 }' | sort)" "0/0 .dockerenv
0/0 bin/busybox
33/44 f" "docker export has the ids inside"
docker commit c1 im1 >/dev/null; ok "docker commit"
is "$(docker run --rm --network none im1 stat -c '%u:%g' /f /d/x)" "33:44
0:0" "the image has its files' owners"
docker save im1 > "$WORK/im1.tar"
is "$(python3 - "$WORK/im1.tar" <<'P'
import io, sys, tarfile
t = tarfile.open(sys.argv[1])
for m in t.getmembers():
    if m.isfile():
        try: inner = tarfile.open(fileobj=io.BytesIO(t.extractfile(m).read()))
        except tarfile.TarError: continue
        for i in inner.getmembers():
            if i.name.lstrip('./') in ('f', 'd/x'): print(i.name.lstrip('./'), i.uid, i.gid)
P
)" "d/x 0 0
f 33 44" "and so has docker save"

# docker cp, of a running one and of a stopped one
echo hello > "$WORK/up"; chown 5:6 "$WORK/up"
for state in running stopped; do
	docker cp -a "$WORK/up" "c1:/up-$state" >/dev/null 2>&1; ok "$state: docker cp in"
	is "$(docker cp "c1:/up-$state" - | tar tvf - --numeric-owner | awk '{ print $2 }')" 5/6 "$state: and out, with the owner inside"
	is "$(docker cp c1:/bin/busybox - | tar tvf - --numeric-owner | awk '{ print $2 }')" 0/0 "$state: root's file out"
	[ $state = stopped ] || { docker stop -t 0 c1 >/dev/null; ok "stops"; }
done
docker start c1 >/dev/null; ok "starts again"
is "$(e stat -c '%u:%g' /up-running /up-stopped /f)" "5:6
5:6
33:44" "owners are what they were"
like "$(docker stats --no-stream --format '{{.PIDs}}' c1)" '^[1-9]' "docker stats"
like "$(docker top c1 -eo pid,uid,args)" "[0-9] +$B +sleep" "docker top"
is "$(docker exec -u 77:88 c1 sh -c 'id -u; id -g')" "77
88" "an exec as another user"
like "$(docker exec c1 ping -c 1 127.0.0.1 2>&1)" '1 packets received' "ping"
is "$(printf 'a\nb\n' | docker exec -i c1 wc -l)" 2 "an exec's stdin"
is "$(script -qec "'$DOCKER' -H unix://$SOCK run --rm -it --network none busybox sh -c 'test -t 0 && stat -c %u /dev/pts/0'" /dev/null </dev/null | tr -dc 0-9)" 0 "a terminal is its root's"
is "$(docker run --rm --network container:c1 busybox readlink /proc/self/ns/user)" "$(e readlink /proc/self/ns/user)" "who shares the network shares the user namespace"
docker run --rm --pid container:c1 busybox ps 2>&1 | grep -q 'sleep 1000'; ok "or the processes"
docker run -d --name c2 --ipc shareable --network none busybox sleep 1000 >/dev/null
docker run --rm --ipc container:c2 --network none busybox touch /dev/shm/x && docker exec c2 test -e /dev/shm/x; ok "or memory"
docker run --rm --ipc host --network none busybox true; ok "--ipc host"
docker run --rm --uts host --network none busybox true; ok "--uts host"
docker run --rm --read-only --tmpfs /t --network none busybox sh -c 'touch /t/x && [ "$(stat -c %u /t)" = 0 ]'; ok "--read-only and --tmpfs"
docker run --rm --init --network none busybox sh -c 'exit 7'; is $? 7 "--init"
docker run --rm --device /dev/null:/dev/other --network none busybox sh -c 'echo x > /dev/other && [ -c /dev/other ]'; ok "a device under another name"
is "$(docker run --rm --network none -v "$WORK/up:/up" busybox stat -c %u:%g /up)" 65534:65534 "what is not mapped is nobody's"

# what is refused
no() { # pattern args
	_pat=$1
	shift
	like "$(docker run --rm "$@" 2>&1)" "$_pat" "refused: $*"
}
no "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode" --privileged busybox true
no "cannot share the host's network namespace when user namespaces are enabled" --network host busybox true
no "cannot share the host PID namespace when user namespaces are enabled" --pid host busybox true
is "$(docker run --rm --userns host --network none busybox cat /proc/self/uid_map | tr -s ' ')" " 0 0 4294967295" "--userns host"
docker run --rm --userns host --network host --pid host busybox true; ok "and with it what was refused"
docker run -d --name hosted --userns host busybox sleep 1000 >/dev/null
no "cannot share the network namespace of container .*: it has another user namespace" --network container:hosted busybox true
docker run --rm --userns host --network container:c1 busybox true; ok "the host's may share a remapped one's"
is "$(docker cp hosted:/bin/busybox - | tar tvf - --numeric-owner | awk '{ print $2 }')" 0/0 "docker cp of one in the host's"
is "$(docker ps -q --filter name=c1 | wc -l)" 1 "c1 is still there"

# nobody with the ids of a container's root writes what is the daemon's
cat > "$WORK/poke.py" <<'P'
import os, sys
root, uid, gid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.setgroups([]); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
bad = 0
for d, dirs, files in os.walk(root):
    if '/diff' in d or d.endswith('/work') or '/_data' in d or '/merged' in d or '/mounts/' in d:
        dirs[:] = []
        continue
    if os.access(d, os.W_OK): print('writable', d); bad = 1
    for f in files:
        p = os.path.join(d, f)
        if f not in ('hosts', 'hostname', 'resolv.conf') and not os.path.islink(p) and os.access(p, os.W_OK): print('writable', p)
for p in ('image/overlay2/layerdb', 'containers', 'overlay2', 'overlay2/l', 'volumes', 'image', 'network', 'tmp'):
    try: os.open(os.path.join(root, p, 'x'), os.O_CREAT | os.O_WRONLY); print('created in', p)
    except OSError: pass
P
is "$(python3 "$WORK/poke.py" "$R" "$B" "$G")" "" "a remapped root changes nothing of the daemon's (CVE-2021-21284)"
is "$(python3 "$WORK/poke.py" "$R" 12345 12345)" "" "nor does another user"
is "$(setpriv --reuid 12345 --regid 12345 --clear-groups ls "$WORK/root" 2>&1 | grep -c denied)" 1 "who comes not even in"

# images with ids that are not there, and one with capabilities on a file
mkdir -p "$WORK/img/bin"; cp "$(command -v busybox)" "$WORK/img/bin/busybox"; touch "$WORK/img/high"; chown 70000 "$WORK/img/high"
like "$(tar -C "$WORK/img" -c . | docker import - high 2>&1)" "Container ID 70000 cannot be mapped to a host ID" "an image with an id that is not mapped is refused"
if command -v setcap >/dev/null && setcap cap_net_raw+ep "$WORK/img/bin/busybox" 2>/dev/null; then
	rm -f "$WORK/img/high"
	tar -C "$WORK/img" --xattrs --xattrs-include='security.*' -c . | docker import -c 'CMD ["/bin/busybox"]' - capped >/dev/null; ok "an image with a file's capabilities"
	like "$(docker run --rm --network none -u 5 capped /bin/busybox grep CapEff /proc/self/status)" '0000000000002000$' "which count for its root's children"
	docker create --name capped capped >/dev/null
	is "$(docker export capped | tar tf - | grep -c busybox)" 1 "and can be exported"
fi

# the daemon dies, and comes again
stop_daemon KILL
start_daemon --userns-remap default; ok "starts after a crash" || done_testing
is "$(docker inspect -f '{{.State.Running}}' c1)" true "its containers run on"
is "$(e id -u)" 0 "and take execs"
docker rm -f c1 c2 hosted >/dev/null; ok "and go"
is "$(find "$WORK/exec/netns" "$WORK/exec/containers" -mindepth 1 2>/dev/null | grep -v default)" "" "nothing is left of them"
stop_daemon

# without: another data-root
start_daemon; ok "starts without" || done_testing
is "$(docker image ls -q | wc -l)" 0 "and knows nothing of the other"
is "$(owner "$WORK/root")" "710 0 0" "nobody else passes then"
load_busybox >/dev/null
docker run --name plain --network none busybox touch /x; ok "runs a container"
stop_daemon
start_daemon --userns-remap default; ok "remapped again" || done_testing
is "$(docker image inspect -f '{{.RepoTags}}' im1)" "[im1:latest]" "with what it had"
stop_daemon
start_daemon; ok "and back" || done_testing
is "$(docker start -a plain 2>&1; docker diff plain)" "A /x" "what is not remapped is as it was"
stop_daemon
chmod 700 "$WORK"
start_daemon --userns-remap default
like "$(tail -1 "$WORK/log")" "restricts access to the remapped root uid/gid; please fix by allowing 'o\+x' permissions" "a folder above that bars the way"
chmod 755 "$WORK"
start_daemon --userns-remap root; ok "root is not remapped with itself" || done_testing
like "$(cat "$WORK/log")" "User namespaces: root cannot be remapped with itself; user namespaces are OFF" "and that is said"
is "$(docker info -f '{{.DockerRootDir}}')" "$WORK/root/0.0" "as in Docker in a root of its own"
stop_daemon
done_testing
