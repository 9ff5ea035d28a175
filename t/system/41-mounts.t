#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Mounts of every type: their options, parts of volumes, images, copy-up, order, what inspect tells, and what is refused.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc jq python3
find_docker
scratch
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
run() { docker run --rm --network none "$@"; }
# body -> status and message of a create; what it made is removed
create() { # HostConfig fields [version]
	api POST "${2:-/v1.51}/containers/create" -w '\n%{http_code}' -H 'Content-Type: application/json' \
		-d "{\"Image\":\"busybox\",\"Cmd\":[\"true\"],\"HostConfig\":{\"NetworkMode\":\"none\",$1}}" > "$WORK/answer"
	_id=$(sed -n '1s/.*"Id":"\([0-9a-f]*\)".*/\1/p' "$WORK/answer")
	[ -z "$_id" ] || docker rm "$_id" >/dev/null
	echo "$(tail -1 "$WORK/answer")"
	head -1 "$WORK/answer" | jq -r '.message // empty'
}
refused() { # Mount fields, message
	is "$(create "\"Mounts\":[{\"Target\":\"/x\",$1}]" | tr '\n' ' ')" "400 invalid mount config for type $2 " "refused: $2"
}
mkdir -p "$WORK/src/sub"
echo below > "$WORK/src/sub/file"

# binds
mount -t tmpfs none "$WORK/src/sub" && mount --make-private "$WORK/src/sub"
echo mounted > "$WORK/src/sub/file"
is "$(run --mount "type=bind,src=$WORK/src,dst=/m" busybox cat /m/sub/file)" mounted "a bind is recursive"
is "$(run --mount "type=bind,src=$WORK/src,dst=/m,bind-recursive=disabled" busybox cat /m/sub/file)" below "unless that is disabled"
rro=
runc features 2>/dev/null | jq -e '.mountOptions | index("rro")' >/dev/null && rro=1
if [ "$rro" ]; then
	run -v "$WORK/src:/m:ro" busybox touch /m/sub/x 2>/dev/null; [ $? -ne 0 ]; ok "read-only reaches what is mounted below"
	[ ! -e "$WORK/src/sub/x" ]; ok "and nothing is written there"
	is "$(run --mount "type=bind,src=$WORK/src,dst=/m,readonly,bind-recursive=readonly,bind-propagation=rprivate" busybox sh -c 'touch /m/sub/x || echo no' 2>/dev/null)" no "ReadOnlyForceRecursive"
else
	like "$(run --mount "type=bind,src=$WORK/src,dst=/m,readonly,bind-recursive=readonly,bind-propagation=rprivate" busybox true 2>&1)" "rro is not supported" "ReadOnlyForceRecursive"
	skip "read-only reaches what is mounted below" "this runtime has no rro"
fi
run --mount "type=bind,src=$WORK/src,dst=/m,readonly,bind-recursive=writable" busybox sh -c 'touch /m/sub/y && ! touch /m/y 2>/dev/null'; ok "ReadOnlyNonRecursive"
is "$(create "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"$WORK/src\",\"Target\":\"/m\",\"ReadOnly\":true,\"BindOptions\":{\"ReadOnlyForceRecursive\":true}}]" /v1.43 | tr '\n' ' ')" \
	"400 BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer " "an older API knows no ReadOnlyForceRecursive"
api POST /v1.43/containers/create?name=older -H 'Content-Type: application/json' -d "{\"Image\":\"busybox\",\"Cmd\":[\"touch\",\"/m/sub/old\"],\"HostConfig\":{\"NetworkMode\":\"none\",
	\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"$WORK/src\",\"Target\":\"/m\",\"ReadOnly\":true}]}}" >/dev/null
docker start -a older >/dev/null 2>&1; [ -e "$WORK/src/sub/old" ]; ok "and its read-only mounts end at the first level"
is "$(docker inspect -f '{{json .HostConfig.Mounts}}' older)" "[{\"Type\":\"bind\",\"Source\":\"$WORK/src\",\"Target\":\"/m\",\"ReadOnly\":true}]" "of which the host configuration says nothing"
docker rm older >/dev/null
api POST /v1.43/containers/create?name=older -H 'Content-Type: application/json' -d "{\"Image\":\"busybox\",\"Cmd\":[\"sh\",\"-c\",\"touch /m/sub/bind; touch /m/bind\"],
	\"HostConfig\":{\"NetworkMode\":\"none\",\"Binds\":[\"$WORK/src:/m:ro\"]}}" >/dev/null
docker start -a older >/dev/null 2>&1; [ -e "$WORK/src/sub/bind" ] && [ ! -e "$WORK/src/bind" ]; ok "and so do its Binds"
docker rm older >/dev/null
umount "$WORK/src/sub"
api POST /v1.51/containers/create?name=both -H 'Content-Type: application/json' -d "{\"Image\":\"busybox\",\"Cmd\":[\"true\"],\"HostConfig\":{\"NetworkMode\":\"none\",
	\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"$WORK/src\",\"Target\":\"/m\",\"ReadOnly\":true,\"BindOptions\":{\"ReadOnlyForceRecursive\":true,\"ReadOnlyNonRecursive\":true}}]}}" >/dev/null
like "$(docker start both 2>&1)" 'mount options conflict: "ReadOnlyNonRecursive" && "ReadOnlyForceRecursive"' "both at once"
docker rm both >/dev/null
is "$(create "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"$WORK/made\",\"Target\":\"/m\",\"BindOptions\":{\"CreateMountpoint\":true}}]")" 201 "CreateMountpoint"
is "$(run -v "$WORK/src/sub:/m:z,cached" busybox cat /m/file)" below "z and a consistency word"
is "$(run -v "$WORK/src/sub:/m:Z" busybox cat /m/file)" below "Z"

# propagation
mkdir -p "$WORK/p"
mount -t tmpfs none "$WORK/p" && mount --make-private "$WORK/p"
mkdir "$WORK/p/d" "$WORK/p/d/m"
is "$(run -v "$WORK/p/d:/x:rshared" busybox true 2>&1 | sed -n 1p)" "docker: Error response from daemon: path $WORK/p/d is mounted on $WORK/p but it is not a shared mount" "rshared of a private mount"
is "$(run -v "$WORK/p/d:/x:slave" busybox true 2>&1 | sed -n 1p)" "docker: Error response from daemon: path $WORK/p/d is mounted on $WORK/p but it is not a shared or slave mount" "slave of a private mount"
mount --make-shared "$WORK/p"
docker run -d --name prop --network none -v "$WORK/p/d:/slave:rslave" -v "$WORK/p/d:/private" busybox sleep 100 >/dev/null
mount -t tmpfs none "$WORK/p/d/m"
touch "$WORK/p/d/m/late"
docker exec prop ls /slave/m | grep -qx late; ok "a slave sees what is mounted later"
is "$(docker exec prop ls /private/m)" "" "a private one does not"
umount "$WORK/p/d/m"
docker rm -f prop >/dev/null
run --privileged -v "$WORK/p/d:/x:rshared" busybox sh -c 'mount -t tmpfs none /x/m && touch /x/m/up'; ok "a shared one is mounted on"
[ -e "$WORK/p/d/m/up" ]; ok "which the host sees"
umount "$WORK/p/d/m"
umount "$WORK/p"
is "$(create "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"$WORK/root\",\"Target\":\"/m\",\"BindOptions\":{\"Propagation\":\"private\"}}]" | tail -1)" \
	"invalid mount config: must use either propagation mode \"rslave\" or \"rshared\" when mount source is within the daemon root, daemon root: \"$WORK/root\", bind mount source: \"$WORK/root\", propagation: \"private\"" "the data-root privately"
docker create --name near --network none -v "$WORK/root:/m" busybox >/dev/null
is "$(docker inspect -f '{{(index .Mounts 0).Propagation}}' near)" rslave "the data-root is a slave in there"
docker rm near >/dev/null

# parts of volumes
docker volume create parts >/dev/null
run -v parts:/v busybox sh -c 'mkdir -p /v/a/b && echo part > /v/a/b/f && echo one > /v/single && ln -s a/b /v/inside && ln -s /etc /v/outside && ln -s ../../../.. /v/up'
part() { run --mount "type=volume,src=parts,dst=/d,volume-subpath=$1" busybox cat "${2:-/d/f}" 2>&1 | sed 's/^docker: //' | head -1; }
is "$(part a/b)" part "a folder of a volume"
is "$(part ./a//b/../b/)" part "however it is written"
is "$(part inside)" part "by way of a link that stays inside"
is "$(part single /d)" one "a single file"
is "$(part outside)" "Error response from daemon: path concatenation escapes the base directory, base: $WORK/root/volumes/parts/_data, subpath: outside" "a link that leads out"
is "$(part up)" "Error response from daemon: path concatenation escapes the base directory, base: $WORK/root/volumes/parts/_data, subpath: up" "and one that climbs"
is "$(part none)" "Error response from daemon: cannot access path $WORK/root/volumes/parts/_data/none: lstat $WORK/root/volumes/parts/_data/none: no such file or directory" "what is not there"
is "$(create '"Mounts":[{"Type":"volume","Source":"parts","Target":"/d","VolumeOptions":{"Subpath":"a"}}]' /v1.44 | tr '\n' ' ')" \
	"400 VolumeOptions.Subpath needs API v1.45 or newer " "a part for a client of an older API, which else had all"
refused '"Type":"volume","Source":"parts","VolumeOptions":{"Subpath":"../x"}' '"volume": subpath must be a relative path within the volume'
refused '"Type":"volume","Source":"parts","VolumeOptions":{"Subpath":"/x"}' '"volume": subpath must be a relative path within the volume'
refused '"Type":"volume","VolumeOptions":{"Subpath":"x"}' '"volume": must not set Subpath when using anonymous volumes'
docker run -d --name holds --network none --mount type=volume,src=parts,dst=/d,volume-subpath=a/b busybox sleep 100 >/dev/null
is "$(grep -c "$WORK/exec/containers" /proc/self/mountinfo)" 0 "nothing stays mounted in the run folder"
docker exec holds sh -c 'echo grown > /d/g'
is "$(docker restart -t 0 holds >/dev/null; docker exec holds cat /d/g)" grown "it is there again behind a restart"
docker stop -t 0 holds >/dev/null
docker cp holds:/d/g - | tar xO | grep -qx grown; ok "cp from it while nothing runs"
docker rm holds >/dev/null
# the folder becomes a link to the host's root and back while containers start: nobody gets out
mkdir "$WORK/root/volumes/parts/_data/flip"
( while :; do
	mv -T "$WORK/root/volumes/parts/_data/flip" "$WORK/root/volumes/parts/_data/flop" && ln -s / "$WORK/root/volumes/parts/_data/flip"
	rm -f "$WORK/root/volumes/parts/_data/flip" && mv -T "$WORK/root/volumes/parts/_data/flop" "$WORK/root/volumes/parts/_data/flip"
done ) 2>/dev/null &
flipper=$!
out=
for i in 1 2 3 4 5 6; do out="$out$(run --mount type=volume,src=parts,dst=/d,volume-subpath=flip busybox ls /d 2>/dev/null)"; done
kill $flipper; wait $flipper 2>/dev/null
is "$out" "" "a swapped folder shows nothing of the host"

# what an image has goes into a new volume, as it is
mkdir -p "$WORK/ctx"
docker run -d --name seed --network none busybox sh -c 'mkdir -p /data/dir && cd /data && echo f > dir/f && chown 12:34 dir/f && chmod 4751 dir/f && ln dir/f hard && ln -s dir/f soft && mknod pipe p && chown -h 5:6 soft && chmod 1777 dir && chown 7:8 /data && touch -d "2001-02-03 04:05:06" dir/f && touch /done && sleep 100' >/dev/null
pid=$(docker inspect -f '{{.State.Pid}}' seed)
for i in $(seq $((50 * DKD_SLOW))); do [ -e "/proc/$pid/root/done" ] && break; sleep 0.1; done
xattr=$(python3 -c 'import os, sys; os.setxattr(sys.argv[1], "security.capability", bytes.fromhex("0100000200040000000000000000000000000000")); print("set")' "/proc/$pid/root/data/dir/f" 2>&1)
docker commit seed copyup >/dev/null; ok "an image to copy from"
docker rm -f seed >/dev/null
run -v cu:/data copyup true
cu=$WORK/root/volumes/cu/_data
is "$(cd "$cu" && stat -c '%n %a %u:%g %F' . dir dir/f soft pipe | tr '\n' ',')" ". 755 7:8 directory,dir 1777 0:0 directory,dir/f 4751 12:34 regular file,soft 777 5:6 symbolic link,pipe 644 0:0 fifo," "owners, modes and kinds come along"
is "$(stat -c %i "$cu/hard")" "$(stat -c %i "$cu/dir/f")" "hard links stay one file"
is "$(stat -c %Y "$cu/dir/f")" "$(date -d '2001-02-03 04:05:06 UTC' +%s)" "and the times"
if [ "$xattr" = set ]; then
	is "$(python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "security.capability").hex())' "$cu/dir/f")" 0100000200040000000000000000000000000000 "extended attributes, too"
else
	skip "extended attributes, too" "they cannot be set here"
fi
run -v cu:/data copyup sh -c 'rm /data/soft'; run -v cu:/data copyup true
[ ! -L "$cu/soft" ]; ok "a volume with something in it is left alone"
docker create --name bare --network none -v vf:/data busybox >/dev/null
run --volumes-from bare copyup true; is "$(ls "$WORK/root/volumes/vf/_data")" "" "nothing is copied into another container's volume"
docker rm bare >/dev/null
run -v nc:/data:nocopy copyup true; is "$(ls "$WORK/root/volumes/nc/_data")" "" "nocopy"
run --mount type=volume,src=nc2,dst=/data,volume-nocopy copyup true; is "$(ls "$WORK/root/volumes/nc2/_data")" "" "volume-nocopy"
run -v parts:/p busybox mkdir /p/empty
run --mount type=volume,src=parts,dst=/data,volume-subpath=empty copyup ls /data/dir/f >/dev/null; ok "also into a part of a volume"
run --mount 'type=volume,src=lab,dst=/v,volume-label=a=b,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=1m' busybox df -k /v | grep -q 1024; ok "options of the driver"
is "$(docker volume inspect -f '{{.Labels.a}} {{.Options.o}}' lab)" "b size=1m" "and labels"

# images
is "$(run --mount type=image,src=copyup,dst=/i busybox cat /i/data/dir/f)" f "an image is mounted"
run --mount type=image,src=copyup,dst=/i busybox touch /i/x 2>/dev/null; [ $? -ne 0 ]; ok "read-only"
is "$(run --mount type=image,src=copyup,dst=/i,image-subpath=data/dir busybox ls /i)" f "a part of it"
is "$(run --mount type=image,src=copyup,dst=/i busybox sh -c 'ls /i/.dockerenv' 2>/dev/null)" "" "without what containers have"
like "$(run --mount type=image,src=copyup,dst=/i,image-subpath=none busybox true 2>&1)" 'cannot access path .*/none: no such file or directory' "a part that is not there"
is "$(create '"Mounts":[{"Type":"image","Source":"nosuch","Target":"/i"}]' | tr '\n' ' ')" "404 No such image: nosuch:latest " "an image that is not there"
is "$(create '"Mounts":[{"Type":"image","Source":"copyup","Target":"/i"}]' /v1.47 | tr '\n' ' ')" "400 Mount type \"Image\" needs API v1.48 or newer " "an older API has none"
is "$(create '"Mounts":[{"Type":"image","Source":"copyup","Target":"/i"},{"Type":"image","Source":"nosuch","Target":"/j"}]' | tail -1)" "No such image: nosuch:latest" "the second of two is not there"
refused '"Type":"image"' '"image": field Source must not be empty'
refused '"Type":"image","Source":"copyup","ImageOptions":{"Subpath":"../x"}' '"image": subpath must be a relative path within the volume'
refused '"Type":"volume","ImageOptions":{"Subpath":"x"}' '"volume": field ImageOptions must not be specified'
docker create --name holder --network none --mount type=image,src=copyup,dst=/i busybox sleep 100 >/dev/null
is "$(docker inspect holder | jq -c '.[0].Mounts[0] | [.Type, .Name, .Destination, .Mode, .RW, .Propagation]')" '["image","copyup","/i","",false,""]' "what inspect tells"
like "$(docker rmi copyup 2>&1)" "conflict: unable to remove repository reference \"copyup\" \(must force\) - container $(docker ps -aqf name=holder) is using its referenced image" "the image is in use"
docker cp holder:/i/data/dir/f - | tar xO | grep -qx f; ok "cp from an image"
docker create --name second --network none --volumes-from holder busybox cat /i/data/dir/f >/dev/null
docker start holder >/dev/null
stop_daemon KILL; start_daemon; ok "the daemon is killed and comes back"
docker exec holder cat /i/data/dir/f | grep -qx f; ok "the mount is still there"
docker rm -f holder >/dev/null
is "$(docker start -a second)" f "and in the container that took it over"
docker rm second >/dev/null
is "$(ls "$WORK/root/image"/*/layerdb/mounts | wc -l)" 0 "nothing of it stays behind"
docker rmi copyup >/dev/null; ok "the image may go then"

# tmpfs
mnt() { run "$@" busybox sh -c 'grep " /t " /proc/mounts'; }
like "$(mnt --tmpfs /t)" "rw,nosuid,nodev,noexec" "tmpfs: nosuid, nodev, noexec"
like "$(mnt --tmpfs /t:exec,size=1m,mode=750,uid=3,gid=4)" "rw,nosuid,nodev,relatime,size=1024k,mode=750,uid=3,gid=4" "exec, size, mode, uid, gid"
unlike "$(mnt --mount type=tmpfs,dst=/t)" "[, ]exec" "--mount: noexec"
m='"Type":"tmpfs","TmpfsOptions":{"Options":'
is "$(api POST /v1.51/containers/create?name=tmp -H 'Content-Type: application/json' -d "{\"Image\":\"busybox\",\"Cmd\":[\"grep\",\" /t \",\"/proc/mounts\"],\"HostConfig\":{\"NetworkMode\":\"none\",\"Mounts\":[{\"Target\":\"/t\",$m[[\"exec\"]],\"SizeBytes\":2097152,\"Mode\":457}}]}}" | jq -r '.Warnings | length')" 0 "TmpfsOptions"
out=$(docker start -a tmp)
unlike "$out" "noexec" "Options: exec"
like "$out" "size=2048k,mode=711" "SizeBytes, Mode"
docker rm tmp >/dev/null
refused "$m[[\"odd\"]]}" '"tmpfs": invalid option: odd'
refused "$m[[\"a\",\"b\",\"c\"]]}" '"tmpfs": invalid option array length'
tmpfs() { # options, message
	is "$(create "\"Tmpfs\":{\"/t\":\"$1\"}" | tr '\n' ' ')" "400 $2 " "--tmpfs /t:$1"
}
tmpfs odd 'invalid tmpfs option ["odd"]'
tmpfs exec=1 'invalid tmpfs option ["exec" "1"]'
tmpfs rw,size 'invalid tmpfs option ["size"]'
refused '"Type":"tmpfs","Source":"/a"' '"tmpfs": field Source must not be specified'

# order, mount points, files
is "$(run -v "$WORK/src:/a/b/c" --tmpfs /a -v parts:/a/b busybox sh -c 'cat /a/b/c/sub/file; cat /a/b/single; grep -c " /a" /proc/mounts' | tr '\n' ' ')" "below one 3 " "nested mounts, the upper ones first"
is "$(run -v "$WORK/src/sub/file:/deep/er/file" busybox cat /deep/er/file)" below "a file where nothing is"
is "$(run -v "$WORK/src/sub/file:/etc/passwd" busybox cat /etc/passwd)" below "a file over a file"
is "$(run -v "$WORK/src/sub/file:/etc/hosts" busybox cat /etc/hosts)" below "over one of the daemon's own"
like "$(run -v "$WORK/src/sub/file:/etc" busybox true 2>&1)" "unknown: Are you trying to mount a directory onto a file .*expected type" "a file over a folder"
is "$(api POST /v1.51/containers/create -H 'Content-Type: application/json' -d '{"Image":"busybox","Volumes":{"/etc/passwd":{}}}' | jq -r .message)" "cannot mount volume over existing file, file exists /etc/passwd" "a volume over a file"
is "$(run --tmpfs /t:size=1m --mount type=tmpfs,dst=/t,tmpfs-size=2m busybox grep -c ' /t ' /proc/mounts)" 2 "a tmpfs and a mount at one place"
is "$(create '"Tmpfs":{"/t":""},"Binds":["/tmp:/t"]' | tr '\n' ' ')" "400 Duplicate mount point: /t " "a tmpfs and a bind are none"
is "$(create '"Binds":["/tmp:/t","/var:/t/"]' | tr '\n' ' ')" "400 Duplicate mount point: /t " "nor two binds"

# volumes-from, and what inspect tells
docker create --name m1 --network none -v mv1:/v -v mv2:/w:ro -v "$WORK/src:/s:rw,z" -v "$WORK/src:/r:ro" -v /anon2 -v mv4:/y:nocopy \
	--mount type=volume,dst=/an --mount type=volume,src=mv3,dst=/q,readonly --mount "type=bind,src=$WORK/src,dst=/bb,bind-propagation=private" \
	--mount type=tmpfs,dst=/tm --tmpfs /tt busybox >/dev/null
shape() { docker inspect "$1" | jq -c '.[0].Mounts | sort_by(.Destination)[] | [.Destination, .Type, .Driver, .Mode, .Propagation, .RW, (.Name // "" | length)]'; }
cat > "$WORK/want" <<E
["/an","volume","local","z","",true,64]
["/anon2","volume","local","","",true,64]
["/bb","bind",null,"","private",true,0]
["/q","volume","local","z","",false,3]
["/r","bind",null,"ro","rprivate",false,0]
["/s","bind",null,"rw,z","rprivate",true,0]
["/tm","tmpfs",null,"","",true,0]
["/v","volume","local","z","",true,3]
["/w","volume","local","ro","",false,3]
["/y","volume","local","nocopy","",true,3]
E
is "$(shape m1)" "$(cat "$WORK/want")" "Mounts, as Docker shows them"
docker create --name m2 --network none --volumes-from m1:ro busybox >/dev/null
is "$(shape m2)" "$(jq -c '[.[0], .[1], .[2], "", .[4], false, .[6]]' "$WORK/want")" "volumes-from :ro, from a container that never ran"
docker create --name m3 --network none --volumes-from m1:rw busybox >/dev/null
is "$(shape m3)" "$(jq -c '[.[0], .[1], .[2], "", .[4], .[5], .[6]]' "$WORK/want")" "volumes-from :rw leaves read-only what was"
docker create --name m4 --network none --volumes-from m1:z,ro busybox >/dev/null
is "$(shape m4)" "$(jq -c '[.[0], .[1], .[2], "", .[4], false, .[6]]' "$WORK/want")" "volumes-from :z,ro"
for mode in ro,rw nocopy rshared idmap; do is "$(create "\"VolumesFrom\":[\"m1:$mode\"]" | tr '\n' ' ')" "400 invalid mode: $mode " "not :$mode"; done
is "$(create '"VolumesFrom":[""]' | tr '\n' ' ')" "400 volumes-from specification cannot be an empty string " "volumes of an empty name"
is "$(create '"VolumesFrom":["nobody"]' | tr '\n' ' ')" "400 No such container: nobody " "volumes of nobody"
is "$(create '"VolumesFrom":["m1:odd"]' | tr '\n' ' ')" "400 invalid mode: odd " "in a mode that is none"
docker rm -v m1 m2 m3 m4 >/dev/null
bind() { # Bind, message
	is "$(create "\"Binds\":[\"$1\"]" | tr '\n' ' ')" "400 $2 " "-v $1"
}
bind mv1:/v:rshared "invalid volume specification: 'mv1:/v:rshared': invalid mount config for type \"volume\": field BindOptions must not be specified"
bind /tmp:/x:nocopy "invalid volume specification: '/tmp:/x:nocopy': invalid mount config for type \"bind\": field VolumeOptions must not be specified"
bind /tmp:ro "invalid volume specification: '/tmp:ro'"
bind /tmp: "invalid volume specification: '/tmp:'"
is "$(create '"Binds":["/tmp:/x:"]')" 201 "a mode that is empty"
bind :/x "invalid volume specification: ':/x'"
bind /a:/b:ro,rw "invalid mode: ro,rw"
bind x "invalid volume specification: 'x': invalid mount config for type \"volume\": invalid mount path: 'x' mount path must be absolute"
bind /a:/ "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: destination can't be '/'"
bind x:/y:z:w "invalid volume specification: 'x:/y:z:w'"
# "VOLUME data" of a Dockerfile: from the root on
api POST "/containers/create?name=relative" -H 'Content-Type: application/json' \
	-d '{"Image":"busybox","Cmd":["sh","-c","grep -c -E \" /(data|up/a.040b) \" /proc/mounts | tr -d \"\\n\"; ls -d /data \"/up/a b\""],"Volumes":{"data":{},"../up/./a b":{},"/data":{}},"HostConfig":{"NetworkMode":"none"}}' > /dev/null
is "$(docker start -a relative | paste -sd' ')" "2/data /up/a b" "relative paths of volumes"
is "$(docker inspect -f '{{range .Mounts}}{{.Destination}};{{end}}' relative | tr ';' '\n' | sort | paste -sd';')" ";/data;/up/a b" "begin at the root"
docker rm -v relative >/dev/null
is "$(api POST /containers/create -H 'Content-Type: application/json' -d '{"Image":"busybox","Volumes":{".":{}}}' | jq -r .message)" \
	"invalid volume specification: '.': invalid specification: destination can't be '/'" "and are not the root itself"
refused '"Type":"bind","Source":"/nosuch"' '"bind": bind source path does not exist: /nosuch'
refused '"Type":"bind","Source":"rel"' "\"bind\": invalid mount path: 'rel' mount path must be absolute"
refused '"Type":"bind","Source":"/tmp","BindOptions":{"Propagation":"odd"}' '"bind": invalid propagation mode: odd'
refused '"Type":"odd"' '"odd": mount type unknown'
is "$(create "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"$WORK/src\",\"Target\":\"/x\",\"Consistency\":\"odd\"}]")" 201 "Consistency is not looked at"
done_testing
