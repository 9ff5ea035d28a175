#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The volume driver local: its options, sizes where the file system has project quotas, and what Docker's has not: other names, copies, archives.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/disklib.sh" || exit 1
need runc python3 jq
need_apart
find_docker
start_daemon
ok "the daemon is up" || done_testing
load_busybox > /dev/null
run() { docker run --rm --network none "$@" 2>&1; }
message() { jq -r .message 2>/dev/null; }
create() { api POST /volumes/create -H 'Content-Type: application/json' -d "$1"; }
says_of() { is "$(create "$1" | message)" "$2" "$3"; }
vol() { echo "$WORK/root/volumes/$1/_data"; }
post() { api POST "/volumes/$1"; }

# options
says_of '{"Name":"bad","DriverOpts":{"o":"bind"}}' 'create bad: missing required option: "device"' "o alone"
says_of '{"Name":"bad","DriverOpts":{"device":"x"}}' 'create bad: missing required option: "type"' "device alone"
says_of '{"Name":"bad","DriverOpts":{"color":"red"}}' 'create bad: invalid option: "color"' "one that is none"
says_of '{"Name":"bad","DriverOpts":{"size":"x"}}' "create bad: invalid size: 'x'" "a size that is none"
says_of '{"Name":"bad","DriverOpts":{"type":"cifs","device":"//host:445/share","o":"user=a"}}' \
	"create bad: port not allowed in CIFS device URL, include 'port' in 'o='" "a port in the device of cifs"
docker volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,uid=7,mode=0750,noexec shm > /dev/null
is "$(run -v shm:/d busybox sh -c 'df -k /d | tail -1 | awk "{ print \$2 }"; stat -c "%u %a" /d; grep " /d " /proc/mounts | grep -c noexec')" "1024
7 750
1" "tmpfs with size, owner, mode, flag"
like "$(run -v shm:/d busybox sh -c 'dd if=/dev/zero of=/d/f bs=1M count=2')" "No space left" "its size holds"
mkdir "$WORK/src"
echo here > "$WORK/src/f"
docker volume create -o type=none -o device="$WORK/src" -o o=bind,ro bound > /dev/null
is "$(run -v bound:/d busybox sh -c 'cat /d/f; : > /d/g' 2>&1 | tr '\n' ' ')" "here sh: can't create /d/g: Read-only file system " "a folder of the host, read-only"
docker volume create -o type=none -o device="$WORK/nowhere" -o o=bind none > /dev/null
like "$(run -v none:/d busybox true)" "error while mounting volume '$(vol none)': failed to mount local volume: mount $WORK/nowhere:$(vol none), flags: 0x1000: no such file or directory" "a device that is not there"
docker volume create -o type=nfs -o device=:/x -o o=addr=no.such.host.invalid nfs > /dev/null
like "$(run -v nfs:/d busybox true)" "failed to mount local volume: error resolving passed in network volume address: no.such.host.invalid" "an address of nfs that does not resolve"
docker volume create -o type=cifs -o device=//no.such.host.invalid/x -o o=username=a,password=secret cifs > /dev/null
like "$(run -v cifs:/d busybox true)" "error resolving passed in network volume address: no.such.host.invalid" "a host of cifs that does not"
docker volume create -o type=cifs -o device=//no.such.host.invalid/x -o o=username=a,srcaddr=127.0.0.1 cifs4 > /dev/null
like "$(run -v cifs4:/d busybox true)" "error resolving passed in network volume address: no.such.host.invalid" "beside an address of this host's own, too"
docker volume create -o type=cifs -o device=//127.0.0.1/x -o o=username=a,password=secret cifs2 > /dev/null
like "$(run -v cifs2:/d busybox true)" 'failed to mount local volume: mount //127.0.0.1/x:[^ ,]*, data: username=a,password=\*\*\*\*: ' "a password is not shown, nor flags of which there are none"
docker volume create -o type=cifs -o device=//127.0.0.1/x -o o=username=a,pass=secret cifs3 > /dev/null
like "$(run -v cifs3:/d busybox true)" 'data: username=a,pass=\*\*\*\*: ' "however it is called"
docker volume create -o type=nfs -o device=:/x -o o=addr= noaddr > /dev/null
unlike "$(run -v noaddr:/d busybox true)" "resolving" "an address that is empty is none to look for"

# counted, and repaired after a kill -9
docker run -d --name one --network none -v shm:/d busybox sleep 1000 > /dev/null
docker run -d --name two --network none -v shm:/d busybox sleep 1000 > /dev/null
docker exec one sh -c 'echo kept > /d/f'
kill -KILL "$DPID"; wait "$DPID" 2> /dev/null; DPID=
start_daemon; ok "the daemon starts again"
docker rm -f one > /dev/null
is "$(docker exec two cat /d/f)" kept "the mount of two stands when one goes, across a kill -9"
like "$(awk '{ print $5 }' "/proc/$DPID/mountinfo")" "^$(vol shm)\$" "it is mounted"
docker rm -f two > /dev/null
unlike "$(awk '{ print $5 }' "/proc/$DPID/mountinfo")" "^$(vol shm)\$" "and not any more when nobody uses it"

# the same name with other options
is "$(create '{"Name":"shm"}' | jq -r .Name)" shm "once more without options"
is "$(create '{"Name":"shm","DriverOpts":{"type":"tmpfs","device":"tmpfs","o":"size=1m,uid=7,mode=0750,noexec"}}' | jq -r .Name)" shm "with the same"
says_of '{"Name":"shm","DriverOpts":{"type":"tmpfs","device":"tmpfs","o":"size=2m"}}' \
	"create shm: the volume exists with other options: device=tmpfs,o=size=1m,uid=7,mode=0750,noexec,type=tmpfs, not type=tmpfs,device=tmpfs,o=size=2m" "with others"
is "$(api_status POST /volumes/create -H 'Content-Type: application/json' -d '{"Name":"shm","DriverOpts":{"type":"tmpfs","device":"x"}}')" 409 "which is a conflict"

docker volume create -o type=tmpfs -o device=tmpfs -o o= blank > /dev/null
is "$(docker volume create -o type=tmpfs -o device=tmpfs blank) $(docker volume create -o type= blank 2>&1)" "blank blank" "one without a value is none"
like "$(docker volume create -o type=tmpfs -o device=tmpfs -o o=size=1m blank 2>&1)" "exists with other options" "but one that has a value is"
docker volume rm blank > /dev/null

# another name
docker volume create --label a=b first > /dev/null
run -v first:/d busybox sh -c 'echo data > /d/f; mkdir /d/sub; ln /d/f /d/sub/hard; chown 5:6 /d/sub; ln -s f /d/soft' > /dev/null
is "$(post 'first/rename?name=second' | jq -c '[.Name, .Labels.a, .Mountpoint]')" "[\"second\",\"b\",\"$(vol second)\"]" "rename"
is "$(run -v second:/d busybox cat /d/sub/hard)" data "with what is in it"
unlike "$(docker volume ls -q)" '^first$' "the old name is gone"
is "$(post 'first/rename?name=x1' | message)" "get first: no such volume" "one that is not there"
is "$(post 'second/rename?name=shm' | message)" "rename second: a volume named shm already exists" "a name that is taken"
is "$(post 'second/rename?name=../x' | message | cut -c1-36)" 'create ../x: "../x" includes invalid' "a name with a path in it"
is "$(post 'second/rename' | message)" "the new name is missing (?name=)" "no name"
docker create --name user --network none -v second:/d busybox sleep 1000 > /dev/null
ID=$(docker inspect -f '{{.Id}}' user)
is "$(post 'second/rename?name=third' | message)" "rename second: volume is in use - [$ID]" "one that a container names"

# a copy
is "$(post 'second/snapshot?name=copy' | jq -c '[.Name, .Labels.a]')" '["copy","b"]' "a copy, also of one that a container names"
is "$(run -v copy:/d busybox sh -c 'cat /d/sub/hard; stat -c "%u %g %h" /d/sub /d/f; readlink /d/soft' | paste -sd,)" "data,5 6 2,0 0 2,f" "with owners, links and hard links"
run -v copy:/d busybox sh -c 'echo other > /d/f'
is "$(run -v second:/d busybox cat /d/f)" data "which goes its own way"
docker start user > /dev/null
is "$(post 'second/snapshot?name=copy2' | message)" "snapshot second: volume is in use - [$ID]" "not of one that a running container writes to"
is "$(post 'bound/snapshot?name=copy2' | message)" "snapshot bound: volume bound is a none of its own: driver local copies folders only" "nor of a device"
is "$(ls -A "$WORK/root/volumes" | grep -c '^\.')" 0 "nothing is left of what failed"

# archives
api GET /volumes/second/export > "$WORK/second.tar"
is "$(tar tvf "$WORK/second.tar" | awk '{ print $1, $2, $6, $7, $8, $9 }' | paste -sd,)" "-rw-r--r-- 0/0 f   ,lrwxrwxrwx 0/0 soft -> f ,drwxr-xr-x 5/6 sub/   ,hrw-r--r-- 0/0 sub/hard link to f" "export, of one in use"
docker volume create in > /dev/null
is "$(api_status POST /volumes/in/import --data-binary "@$WORK/second.tar" -H 'Content-Type: application/x-tar')" 204 "import"
is "$(run -v in:/d busybox sh -c 'cat /d/sub/hard; stat -c "%u %g %h" /d/sub /d/f; readlink /d/soft' | paste -sd,)" "data,5 6 2,0 0 2,f" "all of it is there"
gzip -c "$WORK/second.tar" > "$WORK/second.tar.gz"
docker volume create gz > /dev/null
is "$(api_status PUT /volumes/gz/import --data-binary "@$WORK/second.tar.gz")" 204 "by PUT, packed"
is "$(run -v gz:/d busybox cat /d/f)" data "unpacked"
is "$(api POST /volumes/second/import --data-binary "@$WORK/second.tar" | message)" "import second: volume second is in use - [$ID]" "not into one that a container has mounted"
is "$(api POST /volumes/nobody/import --data-binary "@$WORK/second.tar" | message)" "import nobody: get nobody: no such volume" "nor into none"
is "$(api GET /volumes/nobody/export | message)" "export nobody: get nobody: no such volume" "nor out of none"
api POST /volumes/gz/import --data-binary 'this is no archive' > "$WORK/out"; like "$(cat "$WORK/out")" message "what is no archive is an error"
# what leads out: links first, then names through them
echo untouched > "$WORK/canary"
for kind in absolute climbing through hard device; do
	docker volume create "h-$kind" > /dev/null
	python3 - "$kind" "$WORK/canary" > "$WORK/hostile.tar" <<-'P'
		import io, sys, tarfile
		kind, canary = sys.argv[1:]
		t = tarfile.open(fileobj=sys.stdout.buffer, mode="w|")
		def add(name, type=tarfile.REGTYPE, link="", data=b"owned\n"):
		    i = tarfile.TarInfo(name)
		    i.type, i.linkname, i.size, i.mode = type, link, len(data) if type == tarfile.REGTYPE else 0, 0o644
		    t.addfile(i, io.BytesIO(data))
		if kind == "absolute": add(canary)
		if kind == "climbing": add("../" * 20 + canary[1:])
		if kind == "through": add("l", tarfile.SYMTYPE, canary.rsplit("/", 1)[0]); add("l/canary")
		if kind == "hard": add("l", tarfile.LNKTYPE, canary); add("l")
		if kind == "device": add("d", tarfile.CHRTYPE); add("d")
		t.close()
	P
	api POST "/volumes/h-$kind/import" --data-binary "@$WORK/hostile.tar" > /dev/null
done
is "$(cat "$WORK/canary")" untouched "archives that would write outside do not"
[ -L "$(vol h-through)/l" ]; ok "a link is made, and not followed"
docker rm -f user > /dev/null
docker volume ls -q | xargs "$DOCKER" -H "unix://$SOCK" volume rm > /dev/null
is "$(ls -A "$WORK/root/volumes" | grep -vE '^(dockerd.json|metadata.db)')" "" "nothing is left of them"
stop_daemon

# sizes
if disk_on 200M ext4 prjquota mkfs.ext4 -q -O quota,project; then
	start_daemon --data-root "$WORK/disk/root" -s vfs; ok "a daemon on ext4 with project quotas"
	docker volume create -o size=5m small > /dev/null; ok "a volume with a size"
	load_busybox > /dev/null
	fill() { run -v "$1:/d" busybox sh -c "dd if=/dev/zero of=/d/$2 bs=1M count=$3 2>&1"; }
	like "$(fill small f 8)" "No space left|quota exceeded" "more than its size"
	docker volume create -o size=20m larger > /dev/null
	unlike "$(fill larger f 8)" "No space left|quota exceeded" "another has its own"
	unlike "$(fill plain f 30)" "No space left|quota exceeded" "one without a size has no limit"
	is "$(post 'larger/snapshot?name=as-large' | jq -r .Options.size)" 20m "a copy has the size, too"
	like "$(fill as-large g 15)" "No space left|quota exceeded" "and what it holds counts"
	stop_daemon
	start_daemon --data-root "$WORK/disk/root" -s vfs
	docker volume create -o size=6m next > /dev/null
	like "$(fill next f 8)" "No space left|quota exceeded" "the next daemon's numbers are others"
	like "$(fill larger g 13)" "No space left|quota exceeded" "and the limits stand"
	says_of '{"Name":"both","DriverOpts":{"size":"1m","type":"tmpfs","device":"tmpfs"}}' \
		"create both: a size is one of the volume's folder, not of the device that is mounted on it" "a size and a device"
	stop_daemon
	disk_off
else
	skip "sizes of volumes" "no project quotas of ext4"
fi
start_daemon --data-root "$WORK/root"
if [ "$(stat -f -c %T "$WORK/root")" = tmpfs ] || ! grep -q prjquota /proc/self/mountinfo; then
	says_of '{"Name":"bad","DriverOpts":{"size":"1m"}}' "create bad: quota size requested but no quota support" "a size without quotas"
	is "$(create '{"Name":"zero","DriverOpts":{"size":"0"}}' | jq -r .Name)" zero "a size of nothing is none"
fi
done_testing
