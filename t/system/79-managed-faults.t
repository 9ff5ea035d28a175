#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Managed plugins and what goes wrong: archives that are bombs, disks that are full, processes that never answer; who they run as, and the group that they were in.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc python3 jq
need_apart
find_docker
scratch
. "$(dirname "$0")/managedlib.sh" || exit 1
mkdir "$WORK/root" "$WORK/bin" && mount -t tmpfs -o size=48m,nr_inodes=20000 tmpfs "$WORK/root" || skip_all "no tmpfs"
# a runtime whose first start finds that another daemon took the groups away
cat > "$WORK/bin/runc" << W
#!/bin/sh
case "\$*" in *" run --bundle "*) [ -e "$WORK/lost" ] || { echo x > "$WORK/lost"; while [ "\$1" != --log ]; do shift; done
	echo 'mkdir /sys/fs/cgroup/pids/docker-plugins/x: no such file or directory' > "\$2"; exit 1; } ;; esac
exec $(command -v runc) "\$@"
W
chmod 755 "$WORK/bin/runc"; : > "$WORK/lost"
start() { PATH=$WORK/bin:$PATH start_daemon "$@"; }
start; ok "the daemon is up" || done_testing

# who, and what is kept
plugin_folder "$WORK/p" volumedriver
plugin_change "$WORK/p" '.User = {UID: 4711, GID: 4712}'
mkdir "$WORK/p/other" && echo x > "$WORK/p/other/file" && echo x > "$WORK/p/README" && mkdir "$WORK/p/propagated-mount" && ln -s / "$WORK/p/.hidden"
docker plugin create folders "$WORK/p" > /dev/null; ok "an archive with members beside the root"
ID=$(docker plugin inspect -f '{{.Id}}' folders)
is "$(ls -A "$WORK/root/plugins/$ID" | paste -sd' ')" "config.json rootfs" "which are left out"
is "$(docker plugin inspect -f '{{.Config.User.UID}}' folders)" 4711 "its user is told"
docker plugin enable folders > /dev/null; ok "it starts"
its_pid() { runc --root "$WORK/exec/plugin-runtime" state "$ID" | jq .pid; }
PID=$(its_pid)
is "$(awk '/^Uid|^Gid/ { print $2 }' "/proc/$PID/status" | paste -sd,)" 0,0 "as root, as in Docker"

# what all groups are in: another daemon's plugin may be there, so that only an empty one is ours
empty_groups() { for _g in /sys/fs/cgroup/docker-plugins /sys/fs/cgroup/*/docker-plugins; do [ -d "$_g" ] && [ -z "$(find "$_g" -mindepth 1 -type d)" ] && echo "$_g"; done; true; }
gone() { for _i in 1 2 3 4 5; do docker plugin disable -f folders > /dev/null; [ -z "$(empty_groups)" ] && return 0; docker plugin enable folders > /dev/null; done; return 1; }
is "$(cat "/proc/$PID/cgroup" | grep -c "/docker-plugins/$ID\$" | sed 's/^[1-9].*/some/')" some "its groups are in one of plugins"
gone; ok "which goes with the last"
rm "$WORK/lost"
docker plugin enable folders > /dev/null; ok "one whose group another daemon took away starts all the same" || tail -2 "$WORK/log" | sed 's/^/# /'
[ -s "$WORK/lost" ]; ok "at the second time"

# it accepts and never answers
load_busybox > /dev/null
docker volume create -d folders one > /dev/null
stop_daemon; start
hang() { for _m in Create List Get Mount Unmount Path; do echo "VolumeDriver.$_m hang"; done > "$(plugin_state folders)/control"; }
stuck() { # a caller who waits for the plugin
	: > "$(plugin_state folders)/requests"
	api POST /volumes/create -H 'Content-Type: application/json' -d '{"Name":"stuck","Driver":"folders"}' > "$WORK/stuck" 2>&1 &
	STUCK=$!
	tells "$(plugin_state folders)/requests" '"Name": "stuck"'
}
hang; stuck; ok "a caller waits for one that never answers"
like "$(docker volume ls)" '^folders +one$' "volumes are listed"
docker ps -a > /dev/null; ok "containers, too"
docker plugin inspect folders > /dev/null; ok "and the plugin is told of"
kill -0 "$STUCK"; ok "while the caller waits"
docker plugin disable -f folders > /dev/null; ok "it is disabled by force"
wait "$STUCK"; like "$(cat "$WORK/stuck")" '"create stuck: plugin folders: VolumeDriver.Create: ' "which the caller is told"
docker plugin enable folders > /dev/null
stop_daemon; start
is "$(docker volume ls -q | paste -sd,)" one "the next daemon knows of none that was not made"
hang; stuck
PID=$(its_pid)
stop_daemon; is "$?" 0 "the daemon ends beside one that waits"
[ ! -d "/proc/$PID" ]; ok "and the plugin with it"
unlike "$(cat "$WORK/log")" 'a request does not end' "nothing is left behind"
wait "$STUCK"
start; ok "and starts again"
rm "$(plugin_state folders)/control"
docker volume rm one > /dev/null; docker plugin rm -f folders > /dev/null; is "$(plugins_left)" "" "nothing is left"

# bombs and disks
left() { plugins_left; ls -A "$WORK/root/plugins/storage/ingest" "$WORK/root/plugins/storage/blobs/sha256" | grep -v :; ls -A "$WORK/root/tmp"; }
files() { find "$WORK/root" | wc -l; }
FILES=$(files)
feed() { api POST "/plugins/create?name=$1" -H 'Content-Type: application/x-tar' --data-binary @- -w ' %{http_code}' | tr -d '\n'; }
refused() { # what, the answer; the archive is stdin
	like "$(feed bad)" "$2" "$1"
	is "$(left | grep .)$(files)" "$FILES" "nothing is left of it"
}
pack() { tar -C "$WORK/p" -c config.json rootfs; }
rm -rf "$WORK/p/other" "$WORK/p/README" "$WORK/p/propagated-mount" "$WORK/p/.hidden"
head -c 30000000 /dev/urandom > "$WORK/p/rootfs/big"
pack > "$WORK/big.tar"
refused "a root that fits, whose part does not" 'No space left on device.* 507$' < "$WORK/big.tar"
truncate -s 200M "$WORK/p/rootfs/big"
pack | gzip -1 > "$WORK/bomb.tar"; rm "$WORK/p/rootfs/big"
refused "much out of little" 'No space left on device.* 507$' < "$WORK/bomb.tar"
make() { python3 "$WORK/make.py" "$@" > "$WORK/made.tar"; }
cat > "$WORK/make.py" << 'P'
import io, sys, tarfile
t = tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT)
def add(name, data=None):
    h = tarfile.TarInfo(name)
    h.type, h.mode, h.size = (tarfile.DIRTYPE, 0o755, 0) if data is None else (tarfile.REGTYPE, 0o644, len(data))
    t.addfile(h, io.BytesIO(data or b""))
add("rootfs")
what, n = sys.argv[1], int(sys.argv[2])
if what == "members":
    for i in range(n):
        add("rootfs/%d" % i, b"")
elif what == "deep":
    add("rootfs/" + "d/" * n + "d")
    add("config.json", b"{}")
else:
    add("config.json", b'{"a":"' + b"x" * n + b'"}')
t.close()
P
make members 30000; refused "more members than the disk has files" 'No space left on device.* 507$' < "$WORK/made.tar"
make deep 20000; refused "a path without end" 'name too long.* 400$' < "$WORK/made.tar"
make deep 1500; refused "folders in folders" 'nested too deeply.* 400$' < "$WORK/made.tar"
make config 20000000; refused "a configuration of 20 MB" 'config.json is larger than 1048576 bytes.* 413$' < "$WORK/made.tar"
head -c 100M /dev/zero > "$WORK/root/fill" 2> /dev/null
pack > "$WORK/big.tar"
like "$(feed bad < "$WORK/big.tar")" 'No space left on device.* 507$' "no byte is free"
rm "$WORK/root/fill"; is "$(left | grep .)$(files)" "$FILES" "nothing is left of it"
is "$(feed fine < "$WORK/big.tar")" " 204" "then one that fits"
stop_daemon; start; like "$(docker plugin ls)" 'fine:latest' "the next daemon has that one"
docker plugin rm fine > /dev/null; is "$(plugins_left)" "" "nothing is left"
stop_daemon; umount "$WORK/root"
done_testing
