#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Files in and out of containers where mounts and links are on the way: a copy takes no mount away and ends where the
# container itself would.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc tar
find_docker
scratch
start_daemon
ok "the daemon is up" || done_testing
load_busybox > /dev/null

echo new > "$WORK/hosts"
echo host > "$WORK/outer"
docker run -d --name cc --network none --add-host q:192.0.2.4 -v vol:/data -v "$WORK/outer:/f" --tmpfs /t busybox \
	sh -c 'mkdir /real; ln -s /real /tmp/link; echo p > /data/p; echo g > /t/g; exec sleep 1000' > /dev/null
for _i in $(seq $((50 * DKD_SLOW))); do docker exec cc test -e /t/g && break; sleep 0.1; done
mounts() { docker exec cc cat /proc/self/mountinfo | cut -d' ' -f5 | sort; }
mounts > "$WORK/before"
for file in hosts hostname resolv.conf; do
	cp "$WORK/hosts" "$WORK/$file"
	like "$(docker cp "$WORK/$file" cc:/etc/ 2>&1)" "unlinkat /etc/$file: device or resource busy" "no copy over /etc/$file"
done
cp "$WORK/hosts" "$WORK/f"
like "$(docker cp "$WORK/f" cc:/ 2>&1)" "unlinkat /f: device or resource busy" "nor over a file that is mounted"
is "$(cat "$WORK/outer")" host "which stays as it is"
(cd "$WORK" && cp hosts data && tar cf volume.tar data && mkdir -p x/t && echo new > x/t/new && tar cf tmpfs.tar -C x t/new)
like "$(api PUT '/containers/cc/archive?path=/' --data-binary "@$WORK/volume.tar")" "unlinkat /data: device or resource busy" "a file in a volume's place"
is "$(docker exec cc cat /data/p)" p "the volume's content is there"
mounts > "$WORK/after"
is "$(diff "$WORK/before" "$WORK/after")" "" "every mount is where it was"
like "$(docker exec cc cat /etc/hosts)" "192.0.2.4	q" "with the files of the daemon"
docker cp "$WORK/hosts" cc:/data/ && docker cp - cc:/ < "$WORK/tmpfs.tar"
is "$(docker exec cc cat /data/hosts /t/new)" "new
new" "volumes and tmpfs take files"

# a folder whose tree has a mount: what is mounted is not emptied
mkdir -p "$WORK/y"
echo file > "$WORK/y/top"
tar cf "$WORK/top.tar" -C "$WORK/y" top
docker rm -f cc > /dev/null
docker run -d --name cc --network none -v vol:/top/data busybox sleep 1000 > /dev/null
status=$(api_status PUT '/containers/cc/archive?path=/' --data-binary "@$WORK/top.tar")
is "$status $(docker exec cc cat /top/data/p)" "500 p" "a file for a folder that has a volume below"
docker rm -f cc > /dev/null

# links of the container, seen from its root
docker create --name ll --network none --add-host q:192.0.2.4 busybox sleep 1000 > /dev/null
mkdir -p "$WORK/z/link"
echo f > "$WORK/z/link/file"
tar cf "$WORK/link.tar" -C "$WORK/z" link/file
docker start ll > /dev/null
docker exec ll sh -c 'mkdir /real; ln -s /real /tmp/link'
docker cp - ll:/tmp < "$WORK/link.tar"
is "$(docker exec ll cat /real/file)" f "an archive's folder that is an absolute link there"
docker exec ll rm /real/file
docker stop -t 0 ll > /dev/null
docker cp - ll:/tmp < "$WORK/link.tar"
is "$(docker cp ll:/real/file - | tar xO)" f "the same while it does not run"
like "$(docker cp ll:/etc/hosts - | tar xO)" "192.0.2.4	q" "and its hosts file is the one it had"
like "$(docker cp ll:/etc/resolv.conf - | tar tf -)" '^resolv[.]conf$' "by its name"

# a copy from one that is just ending sees the container, running or not, and nothing else
docker rm -f ll > /dev/null
docker run -d --name ee --network none busybox sh -c '[ -e /which ] || echo mine > /which; while :; do sleep 0.01; done' > /dev/null
echo "host $$" > "$WORK/which"
for _i in $(seq 15); do
	(for _j in $(seq 12); do api GET '/containers/ee/archive?path=/which' | tar xO 2>&1; done) >> "$WORK/out" & p=$!
	docker restart -t 0 ee > /dev/null
	wait "$p"
done
is "$(sort "$WORK/out" | uniq | tr '\n' ' ')" "mine " "restarts beside copies"
docker rm -f ee > /dev/null
docker volume rm vol > /dev/null

# a restart while files come in: they come into the new run. What the old one removed and the new one made again shows two mounts.
docker run -d --name re --network none --stop-timeout 0 busybox sh -c \
	'if [ -e /ran ]; then echo two > /etc/group; else rm /etc/group; ls /etc/group; touch /ran; fi; touch /ready; exec sleep 1000' > /dev/null
there() { for _i in $(seq $((50 * DKD_SLOW))); do docker exec re test -e "$1" && break; sleep 0.1; done; }
there /ready
docker exec re sh -c 'rm /ready; ls /etc/group' > /dev/null 2>&1
mkdir -p "$WORK/in/etc" && head -c 2000000 /dev/zero > "$WORK/in/etc/first" && echo three > "$WORK/in/etc/group" && echo end > "$WORK/in/etc/last"
tar cf "$WORK/in.tar" -C "$WORK/in" etc/first etc/group etc/last
slowly() { # file: sent when that is there, but for the beginning
	head -c 1500000 "$WORK/in.tar"
	for _i in $(seq $((200 * DKD_SLOW))); do [ -e "$1" ] && break; sleep 0.1; done
	tail -c +1500001 "$WORK/in.tar"
}
slowly "$WORK/go" | api PUT '/containers/re/archive?path=/' -T - -H 'Expect:' > "$WORK/answer" 2>&1 &
put=$!
there /etc/first
docker restart -t 0 re > /dev/null
there /ready
touch "$WORK/go"
wait "$put"
is "$(cat "$WORK/answer")$(docker exec re sh -c 'cat /etc/group /etc/last; wc -c < /etc/first')" "three
end
2000000" "a restart beside a copy: all of it is there"
# nor does one keep a container from being removed
docker exec re rm /etc/first
slowly "$WORK/never" | api PUT '/containers/re/archive?path=/' -T - -H 'Expect:' > /dev/null 2>&1 &
put=$!
there /etc/first
before=$SECONDS
docker rm -f re > /dev/null && test $((SECONDS - before)) -lt $((10 * DKD_SLOW)); ok "a copy under way keeps no container"
touch "$WORK/never"
wait "$put"
is "$(grep -c "$WORK/root" /proc/self/mountinfo)" 0 "and nothing is mounted behind it"

# the layer of one that does not run is unmounted behind the answer; whoever comes next finds it as ever
wrong=
for _i in $(seq 10); do
	docker create --name ff --network none busybox cat /link/file > /dev/null
	docker cp - ff:/ < "$WORK/link.tar" || wrong="$wrong $_i: cp;"
	[ $((_i % 2)) = 0 ] || [ "$(docker start -a ff)" = f ] || wrong="$wrong $_i: start;"
	docker rm ff > /dev/null || wrong="$wrong $_i: rm;"
done
is "$wrong" "" "a copy, and at once a start, a removal"
is "$(grep -c "$WORK/root" /proc/self/mountinfo)" 0 "nothing stays mounted"
docker create --name ff --network none busybox cat /link/file > /dev/null
docker cp - ff:/ < "$WORK/link.tar"
stop_daemon
is "$? $(grep -c "$WORK/root" /proc/self/mountinfo)" "0 0" "the daemon ends behind a copy, and nothing stays mounted"
start_daemon; ok "starts again" || done_testing
is "$(docker start -a ff)" f "what was copied is there"
docker rm ff > /dev/null
stop_daemon
is "$?" 0 "the daemon ends"
done_testing
