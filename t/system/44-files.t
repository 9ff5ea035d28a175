#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Files of containers: cp both ways while they run and while they do not, export, diff, commit.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc jq python3 base64
find_docker
scratch
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
quote() { printf %s "$1" | jq -sRr @uri; }
get() { api GET "/containers/$1/archive?path=$(quote "$2")"; } # container path: a tar, or the message
mess() { get "$@" | jq -r .message; }
names() { get "$@" | tar tf - | LC_ALL=C sort | tr '\n' ' '; }
text() { get "$@" | tar xOf -; }
head_of() { # container path field: of the stat header
	api HEAD "/containers/$1/archive?path=$(quote "$2")" -I | tr -d '\r' | sed -n 's/^X-Docker-Container-Path-Stat: //Ip' | base64 -d | jq -c ".$3"
}
put() { # container path file [query]: status and message
	api PUT "/containers/$1/archive?path=$(quote "$2")${4:-}" -H 'Content-Type: application/x-tar' --data-binary "@$3" -w '%{http_code}' > "$WORK/answer"
	_code=$(tail -c 3 "$WORK/answer")
	echo "$_code $(head -c -3 "$WORK/answer" | jq -r '.message // empty')"
}
mkdir -p "$WORK/b/below"
echo bound > "$WORK/b/file"
echo canary > "$WORK/canary"
# archives: NAME TYPE [TEXT|TARGET] [UID GID]...
python3 - "$WORK" <<'P'
import io, sys, tarfile
def make(name, *members):
    with tarfile.open(sys.argv[1] + "/" + name + ".tar", "w") as t:
        for n, kind, what, uid, gid in members:
            e = tarfile.TarInfo(n)
            e.uid, e.gid, e.mode, e.mtime = uid, gid, 0o755 if kind == "d" else 0o640, 1000000000
            if kind == "d":
                e.type = tarfile.DIRTYPE
            elif kind in "lh":
                e.type, e.linkname = (tarfile.SYMTYPE if kind == "l" else tarfile.LNKTYPE), what
            else:
                e.size = len(what)
            t.addfile(e, io.BytesIO(what.encode()) if kind == "f" else None)
make("a", ("a", "f", "A", 0, 0))
make("own", ("own", "f", "x", 77, 78), ("owndir", "d", "", 5, 6))
make("dirover", ("f", "d", "", 0, 0))
make("fileover", ("sub", "f", "x", 0, 0))
make("climb", ("../up", "f", "x", 0, 0))
make("abs", ("/abs", "f", "x", 0, 0))
make("through", ("way/t", "f", "T", 0, 0))
make("hard", ("hard2", "h", "f", 0, 0))
make("evil", ("e", "l", "/../../../../..", 0, 0), ("e/tmp/dkd-escaped", "f", "x", 0, 0))
P

# what is in the container: links of all kinds, volumes in volumes, files, folders and a tmpfs mounted
fill='mkdir -p /d/sub /v/x /elsewhere && echo hello > /d/f && ln /d/f /d/hard && ln -s /d /l && ln -s l /ll && ln -s d/f /lf && ln -s /nope /dang
ln -s /loop /loop; mkfifo /d/pipe; ln -s /v/x /tov; echo y > /v/x/y; ln -s /d /v/out; echo n > /v/n/nf; echo t > /tm/t; chown 12:34 /d/f; chmod 4755 /d/sub
ln -s ../../../../../etc /d/up; ln -s /elsewhere /d/way; ln -s /r /tor; echo "joe:x:1234:4321::/:/bin/sh" >> /etc/passwd; touch /v/done; touch -d "2001-02-03 04:05:06" /d/f'
docker run -d --name live --user 0 --network none -h box -v vol:/v -v nest:/v/n -v "$WORK/b/file:/bf" -v "$WORK/b:/r:ro" -v "$WORK/b/below:/deep/er" --tmpfs /tm busybox sh -c "$fill; sleep 1000" >/dev/null
for i in $(seq $((100 * DKD_SLOW))); do [ -e "$WORK/root/volumes/vol/_data/done" ] && break; sleep 0.1; done

reads() { # of the container, in words
	is "$(names live /d)" "d/ d/f d/hard d/pipe d/sub/ d/up d/way " "$1: a folder"
	is "$(names live /d/.)" "./ ./f ./hard ./pipe ./sub/ ./up ./way " "$1: its content"
	is "$(names live d/f)" "f " "$1: a path without its slash"
	is "$(get live /d/f | tar tvf - --numeric-owner | awk '{ print $1, $2, $3, $4 }')" "-rw-r--r-- 12/34 6 2001-02-03" "$1: owner, mode, time"
	get live /d | tar tvf - | grep -q "d/hard link to d/f$"; ok "$1: hard links"
	is "$(names live /l)" "l " "$1: a link at the end is the link"
	is "$(names live /l/)" "l/ l/f l/hard l/pipe l/sub/ l/up l/way " "$1: behind a slash it is what it leads to"
	is "$(text live /l/f)" hello "$1: on the way it is followed"
	is "$(head_of live /ll linkTarget)" '"/d"' "$1: the header tells where links lead in the end"
	is "$(head_of live /d/up linkTarget)" '"/etc"' "$1: inside the container"
	is "$(head_of live /dang linkTarget)" '"/nope"' "$1: or would lead"
	is "$(head_of live /l/. 'name, .mode')" "$(printf '"."\n2147484141')" "$1: name and mode as Docker's"
	is "$(head_of live /d/sub mode)" "2155872749" "$1: set-id bits are Go's"
	is "$(head_of live /d/f 'size, .mtime')" "$(printf '6\n"2001-02-03T04:05:06Z"')" "$1: size and time"
	is "$(mess live /loop)" "evalSymlinksInScope: too many links in /loop" "$1: a link to itself"
	is "$(mess live /nope)" "Could not find the file /nope in container live" "$1: what is not there"
	is "$(mess live /dang/)" "Could not find the file /dang/ in container live" "$1: nor where a link leads"
	is "$(mess live /d/f/)" "Could not find the file /d/f/ in container live" "$1: a file is no folder"
	is "$(mess live "")" "bad parameter: path cannot be empty" "$1: no path"
	is "$(text live /d/up/hostname)" box "$1: a link that climbs ends in the container's root"
	is "$(text live /tov/y)" y "$1: a link of the root into a volume"
	is "$(text live /v/out/f)" hello "$1: and of the volume into the root"
	is "$(names live /v)" "v/ v/done v/n/ v/n/nf v/out v/x/ v/x/y " "$1: a volume with the one in it"
	is "$(text live /bf)" bound "$1: a file that is bound"
	is "$(names live /r)" "r/ r/below/ r/file " "$1: a folder that is bound"
	is "$(names live /deep)" "deep/ deep/er/ " "$1: where something is bound deeper"
	is "$(text live /etc/hostname)" box "$1: the daemon's own files"
	get live / | tar tPf - > "$WORK/list"; ok "$1: everything"
	like "$(cat "$WORK/list")" "^/v/n/nf$" "$1: with volumes, named from the root"
	rm -rf "$WORK/copy"; docker cp -q -L live:/lf "$WORK/copy" && grep -qx hello "$WORK/copy"; ok "$1: cp -L"
}
writes() {
	is "$(put live /d "$WORK/a.tar")" "200 " "$1: into a folder"
	is "$(text live /d/a)" A "$1: it is there"
	is "$(put live /tov "$WORK/a.tar")$(cat "$WORK/root/volumes/vol/_data/x/a")" "200 A" "$1: by a link into a volume"
	is "$(put live /v/n/ "$WORK/a.tar")$(cat "$WORK/root/volumes/nest/_data/a")" "200 A" "$1: into a volume in a volume"
	is "$(put live /deep/er "$WORK/a.tar")$(cat "$WORK/b/below/a")" "200 A" "$1: into a folder that is bound"
	is "$(put live /v/out "$WORK/own.tar"; get live /d | tar tvf - --numeric-owner | awk '/own/ { print $2 }' | tr '\n' ' ')" "$(printf '200 \n77/78 5/6 ')" "$1: owners are the archive's"
	is "$(put live /d "$WORK/own.tar" '&copyUIDGID=1'; get live /d/own | tar tvf - --numeric-owner | awk '{ print $2 }')" "$(printf '200 \n%s' "${2:-77/78}")" "$1: copyUIDGID: of the container's user, where it has one"
	is "$(put live /d "$WORK/through.tar")$(text live /elsewhere/t)" "200 T" "$1: a link on the way leads where it does in the container"
	is "$(put live /d "$WORK/hard.tar")$(text live /d/hard2)" "200 hello" "$1: hard links are meant in the folder"
	is "$(put live / "$WORK/abs.tar")$(text live /abs)" "200 x" "$1: absolute names"
	is "$(put live /d "$WORK/climb.tar")" '400 "../up" is outside of "/d"' "$1: names that climb"
	is "$(put live /d "$WORK/evil.tar")$(text live /tmp/dkd-escaped)" "200 x" "$1: its own links, too"
	[ ! -e /tmp/dkd-escaped ]; ok "$1: and none leads to the host"
	is "$(put live /d "$WORK/dirover.tar" '&noOverwriteDirNonDir=true')" '400 cannot overwrite non-directory "/d/f" with directory "/d"' "$1: a folder over a file"
	is "$(put live /d "$WORK/fileover.tar" '&noOverwriteDirNonDir=true')" '400 cannot overwrite directory "/d/sub" with non-directory "/d"' "$1: a file over a folder"
	is "$(gzip -c "$WORK/a.tar" > "$WORK/a.tgz"; put live /elsewhere "$WORK/a.tgz")$(text live /elsewhere/a)" "200 A" "$1: compressed"
	is "$(put live /nope "$WORK/a.tar")" "404 Could not find the file /nope in container live" "$1: into what is not there"
	is "$(put live /d/f "$WORK/a.tar")" "400 extraction point is not a directory" "$1: into a file"
	is "$(put live /r "$WORK/a.tar")" "403 mounted volume is marked read-only" "$1: into what is read-only"
	is "$(put live /tor/below "$WORK/a.tar")" "403 mounted volume is marked read-only" "$1: also by a link"
	[ ! -e "$WORK/b/a" ]; ok "$1: nothing is written there"
	docker cp -q "$WORK/canary" live:/d/ && [ "$(text live /d/canary)" = canary ]; ok "$1: the client's way"
	docker cp -q "$WORK/b" live:/d/new && [ "$(text live /d/new/file)" = bound ]; ok "$1: a folder under a new name"
}
reads running
is "$(text live /tm/t)" t "running: a tmpfs"
is "$(names live /proc)" "proc/ " "running: nothing that the kernel makes up"
docker pause live >/dev/null; is "$(text live /d/f)" hello "paused"; docker unpause live >/dev/null
docker kill live >/dev/null; docker wait live >/dev/null
reads stopped
writes stopped 0/0
docker start live >/dev/null
writes running 0/0
docker kill live >/dev/null
is "$(names live /tm)" "tm/ " "stopped: a tmpfs is gone"
is "$(ls "$WORK/exec/views")" "" "no view stays"
is "$(grep -c "$WORK/exec" /proc/self/mountinfo)" 0 "nor a mount"
is "$(find "$WORK" -maxdepth 1 -name canary -exec cat {} +)" canary "the host is as it was"

# by the container's user, from the container's own files
docker create --name joe --network none --user joe -v joes:/v busybox >/dev/null
docker cp -q live:/etc/passwd "$WORK/passwd" && docker cp -q "$WORK/passwd" joe:/etc/passwd; ok "one that never ran"
docker cp -q joe:/ "$WORK/whole" && cmp -s "$WORK/whole/etc/passwd" "$WORK/passwd"; ok "the client makes a copy of it all"
is "$(put joe /tmp "$WORK/own.tar" '&copyUIDGID=true'; get joe /tmp | tar tvf - --numeric-owner | awk '/own/ { print $2 }' | tr '\n' ' ')" "$(printf '200 \n1234/4321 1234/4321 ')" "copyUIDGID: joe's"
is "$(put joe /v "$WORK/own.tar"; stat -c %u "$WORK/root/volumes/joes/_data/own")" "$(printf '200 \n77')" "into its volume"
docker run --name nobody --network none --user nobodyknows busybox true >/dev/null 2>&1
is "$(put nobody /tmp "$WORK/own.tar" '&copyUIDGID=1')" "400 unable to find user nobodyknows: no matching entries in passwd file" "copyUIDGID: of nobody"
docker create --name firm --read-only --network none -v joes:/v busybox >/dev/null
is "$(put firm /tmp "$WORK/a.tar")" "403 container rootfs is marked read-only" "a read-only root"
is "$(put firm /v "$WORK/a.tar")" "200 " "but not its volume"
long=$(printf '%300s' '' | tr ' ' a)
is "$(for m in HEAD GET PUT; do api "$m" "/containers/joe/archive?path=/tmp/$long/b" $([ $m != HEAD ] || echo --head) -o /dev/null -w '%{http_code} '; done)" "400 400 400 " "a name that no filesystem has"
docker rm -f joe nobody firm >/dev/null
is "$(api PUT "/containers/none/archive?path=/" --data-binary "@$WORK/a.tar" | jq -r .message)" "No such container: none" "into no container"

# a folder swapped for a link to the host's root while files go in and out: both stay inside
docker run -d --name flip --network none -v "$WORK/b/below:/x" busybox sh -c 'mkdir /s; while :; do mv /s /t; ln -s /../../../.. /s; rm /s; mv /t /s; done' >/dev/null
for i in $(seq 12); do put flip /s "$WORK/a.tar"; names flip /s/; done > "$WORK/out" 2>&1
unlike "$(cat "$WORK/out")" "canary|lost.found" "a swapped folder shows nothing of the host"
[ ! -e /a ]; ok "and takes nothing there"
docker rm -f flip >/dev/null

# what a killed daemon leaves of a view goes at the next start
mkdir -p "$WORK/exec/views/left" && mount --bind "$WORK/b" "$WORK/exec/views/left" && mount --make-private "$WORK/exec/views/left"
stop_daemon KILL; start_daemon; ok "the daemon comes back"
is "$(ls "$WORK/exec/views")$(grep -c "$WORK/exec/views" /proc/self/mountinfo)" 0 "what was left of a view is gone"
[ -e "$WORK/b/file" ]; ok "what it showed is not"

# diff and export
docker run --name df --network none -v /v busybox sh -c 'mkdir /new; echo x > /new/f; rm /etc/passwd; touch /tmp/t; chmod 711 /root; ln -s a /new/l; mv /etc/group /etc/grp; echo v > /v/f; rm -r /home; mkdir /home; echo z > /home/z' >/dev/null 2>&1
is "$(docker diff df | LC_ALL=C sort | tr '\n' ' ')" "$(printf '%s\n' "C /etc" "D /etc/group" "A /etc/grp" "D /etc/passwd" "A /new" "A /new/f" "A /new/l" "C /root" "C /tmp" "A /tmp/t" "C /home" "A /home/z" "A /v" | LC_ALL=C sort | tr '\n' ' ')" "diff"
is "$(docker create --name fresh --network none busybox >/dev/null; docker diff fresh)" "" "nothing, at first"
is "$(api GET /containers/none/changes | jq -r .message)" "No such container: none" "of nobody"
docker export df | tar tf - > "$WORK/list"; ok "export"
is "$(grep -E '^(new|home|etc/g|v)' "$WORK/list" | LC_ALL=C sort | tr '\n' ' ')" "etc/grp home/ home/z new/ new/f new/l v/ " "the root as it is, without volumes"
is "$(api GET /containers/df/export -o /dev/null -w '%{content_type}')" "application/octet-stream" "its type"
docker export df | docker import -c 'CMD ["cat","/new/f"]' - back:1 >/dev/null && is "$(docker run --rm --network none back:1)" x "and back as an image"

# commit
conf() { # the client sends variables in any order
	docker inspect -f "{{json .Config.$2}}" "$1" | if [ "$2" = Env ]; then jq -c sort; else cat; fi
}
change() { # field, want, instruction...
	_f=$1 _w=$2
	shift 2
	_q=
	for _c in "$@"; do _q="$_q&changes=$(quote "$_c")"; done
	_id=$(api POST "/commit?container=cm$_q" | jq -r '.Id // .message')
	is "$(conf "$_id" "$_f" 2>&1)" "$_w" "commit: $*"
	docker rmi "$_id" >/dev/null 2>&1
}
refused() { # message, instruction
	is "$(api POST "/commit?container=cm&changes=$(quote "$2")" -w '\n%{http_code}' | sed '1s/^{"message":"//; 1s/"}$//' | tr -s '\n' ' ')" "$1 400" "commit refuses: $2"
}
docker run -d --name cm --network none -e A=1 -e B=2 -e PATH=/bin -l l=1 --expose 80 -v /v -w /w --health-cmd none busybox sh -c 'echo there > /made; echo no > /v/f; sleep 1000' >/dev/null
for i in $(seq $((50 * DKD_SLOW))); do docker exec cm test -e /made && break; sleep 0.1; done
change Cmd '["a","b"]' 'CMD ["a","b"]'
change Cmd '["/bin/sh","-c","a b"]' 'CMD a b'
change Entrypoint '["x"]' 'ENTRYPOINT ["x"]'
change Cmd null 'ENTRYPOINT ["x"]'
change Cmd '["y"]' 'ENTRYPOINT ["x"]' 'CMD ["y"]'
change Cmd '["sh","-c","echo there > /made; echo no > /v/f; sleep 1000"]' 'CMD []'
change Env '["A=9","B=2","C=1 2","D=q w","PATH=/bin"]' 'ENV A=9' 'ENV C 1 2' 'ENV D="q w"'
change Env '["A=1","B=2","PATH=/bin","X=1y"]' 'ENV X=${A}y'
change ExposedPorts '{"80/tcp":{},"82/udp":{},"83/tcp":{}}' 'EXPOSE 82/udp 83'
change Labels '{"k":"v","l":"2","m n":"o"}' 'LABEL k=v l=2 "m n"=o'
change OnBuild '["RUN x"]' 'ONBUILD RUN x'
change User '"nobody:1"' 'USER nobody:1'
change Volumes '{"/a":{},"/b":{},"/v":{}}' 'VOLUME ["/a","/b"]'
change WorkingDir '"/w/rel"' 'WORKDIR rel'
change StopSignal '"SIGINT"' 'STOPSIGNAL SIGINT'
change Healthcheck '{"Test":["CMD","a"],"Interval":5000000000,"Timeout":3000000000,"StartPeriod":1000000000,"Retries":2}' \
	'HEALTHCHECK --interval=5s --timeout=3s --retries=2 --start-period=1s CMD ["a"]'
change Env '["A=7","B=8","PATH=/bin"]' "$(printf 'ENV A=7 \\\n B=8')"
refused 'run is not a valid change command' 'RUN x'
refused 'VOLUME requires at least one argument' 'VOLUME []'
refused 'nonsense is not a valid change command' 'nonsense'
id=$(api POST '/commit?container=cm' -H 'Content-Type: application/json' -d '{"Env":["N=1"],"Cmd":["new"],"Labels":{"n":"m"}}' | jq -r .Id)
is "$(conf "$id" Env; conf "$id" Cmd; conf "$id" Labels; conf "$id" WorkingDir)" "$(printf '%s\n' '["A=1","B=2","N=1","PATH=/bin"]' '["new"]' '{"l":"1","n":"m"}' '"/w"')" "commit: a body goes before the container's own"
docker rmi "$id" >/dev/null
is "$(api POST '/commit?container=cm&repo=com:old&tag=new' -d '{}' -H 'Content-Type: application/json' | jq -r .Id)" "$(docker images -q --no-trunc com:new)" "commit: a tag beside a name with one"
is "$(docker run --rm --network none com:new cat /made)" there "commit: the files are in it"
is "$(docker run --rm --network none com:new ls /v)" "" "commit: not those of volumes"
is "$(api POST '/commit?container=cm&repo=com&tag=b@d' | jq -r .message)" "invalid tag format" "commit: a bad tag"
is "$(api POST '/commit' | jq -r .message)" "invalid container name or ID: value is empty" "commit: of nothing"
is "$(api POST '/commit?container=none' | jq -r .message)" "No such container: none" "commit: of nobody"
docker commit -m words -a me --pause=false cm com:2 >/dev/null
is "$(docker inspect -f '{{.Comment}}|{{.Author}}' com:2; docker history --format '{{.Comment}}' com:2 | head -1)" "$(printf 'words|me\nwords')" "commit: comment and author"
docker pause cm >/dev/null; docker commit cm com:3 >/dev/null; is "$(docker inspect -f '{{.State.Status}}' cm)" paused "commit: what was paused stays so"
docker unpause cm >/dev/null
docker rm -f cm df fresh live >/dev/null
# what a container may do: folders in folders, more than a thread's stack would hold by recursion
deep() { docker run --name "$1" --network none busybox sh -c "i=0; while [ \$i -lt $2 ]; do mkdir a && cd a; i=\$((i + 1)); done; echo x > f"; }
deep within 900
is "$(docker diff within | wc -l)" 901 "900 folders in each other: diff"
is "$(docker export within | tar t | grep -c '^a/')" 901 "export"
is "$(docker cp within:/a - | tar t | wc -l)" 901 "cp"
docker commit within deep:1 >/dev/null; ok "commit"
is "$(docker run --rm --network none -v /a deep:1 find /a | wc -l)" 901 "and a volume is filled with it"
is "$(docker ps -as -f name=within --format '{{.Size}}' | cut -d' ' -f1)" 2B "its size"
docker rm -v within >/dev/null; ok "removal"
deep beyond 1100
like "$(docker diff beyond 2>&1)" "nested too deeply" "1,100: diff says so"
like "$(docker export beyond 2>&1 >/dev/null)" "unexpected EOF" "export ends in the middle"
grep -q 'beyond/export returned error.*nested too deeply' "$WORK/log"; ok "and the log says why"
docker rm beyond >/dev/null; ok "and it is removed"
docker rmi deep:1 >/dev/null; ok "so is the image"
# and a file that no disk holds: it is all zeros in an archive, as in Docker
docker run --name vast --network none busybox sh -c 'echo x > f; printf x | dd of=huge bs=1 seek=8000000000000' 2>/dev/null
before=$(date +%s)
like "$(timeout $((60 * DKD_SLOW)) "$DOCKER" -H "unix://$SOCK" commit vast vast:1 2>&1)" "archive huge of [0-9]+ bytes: No space left on device \([0-9]+ bytes are free in $WORK/root\)" \
	"a vast file: no commit"
is "$(docker images -q vast) $(ls "$WORK/root/tmp" | wc -l)" " 0" "nothing is left of it"
is "$(timeout $((60 * DKD_SLOW)) "$DOCKER" -H "unix://$SOCK" cp vast:/huge - 2>/dev/null | head -c 200000000 | tail -c +2000 | tr -d '\0' | wc -c)" 0 "cp: zeros, until the client leaves"
test $(($(date +%s) - before)) -lt $((40 * DKD_SLOW)); ok "neither takes long"
docker rm vast >/dev/null; ok "and it is removed"
done_testing
