#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A data-root without a byte, without an inode, or read-only: the daemon starts, what reads and what frees space works, what
# does not says why and leaves nothing behind. On disks of the test's own, mounted where the data-root is.
. "${top_srcdir:?}/t/system/lib.sh" || exit 1
need_root
need python3 mkfs.ext4 losetup mountpoint
find_docker
scratch
: "${WORK:?}"
R=$WORK/root
mkdir -p "$R"
# The loop device goes with its mount (autoclear), and the mount with the scratch folder, also on failure.
disk() { # ext4 MKFS-ARGUMENTS... | tmpfs SIZE: a new, empty disk is the data-root
	mountpoint -q "$R" && { umount "$R" || umount -l "$R"; }
	rm -f "$WORK/img"
	if [ "$1" = tmpfs ]; then
		mount -t tmpfs -o "size=$2" none "$R"
	else
		truncate -s 64M "$WORK/img" && mkfs.ext4 -q -m 0 -F "${@:2}" "$WORK/img" && mount -o loop "$WORK/img" "$R"
	fi
}
# Every byte, until a file with one more cannot be written; the file comes first in the way of no test
fill() {
	python3 - "$R/.filler" <<'PY'
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
size = 1 << 20
while size >= 512:
    try:
        # a short write is followed by the error
        os.write(fd, b"x" * size)
        os.fsync(fd)
    except OSError:
        size //= 2
PY
	sync -f "$R"
}
fill_inodes() {
	mkdir -p "$R/.inodes"
	python3 - "$R/.inodes" <<'PY'
import itertools, os, sys
try:
    for i in itertools.count():
        os.close(os.open(f"{sys.argv[1]}/{i}", os.O_WRONLY | os.O_CREAT, 0o600))
except OSError:
    pass
PY
}
left() { stat -f -c "${1:-%a}" "$R"; }
# what there is, and how much: nothing that fails may change it
held() { (cd "$R" && find . -xdev ! -path './.filler' ! -path './.small' ! -path './.inodes*' ! -name .dockerd.lock ! -path './containers/*/*.log' -printf '%p %y %b\n' | sort); }
now() { date +%s%N; }
start_timed() { # what [args]
	_what=$1
	shift
	_t=$(now)
	start_daemon -s overlay2 "$@"
	ok "$_what: starts" || return
	_t=$((($(now) - _t) / 1000000))
	echo "# answered after $_t ms"
	[ "$_t" -lt $((10000 * DKD_SLOW)) ]
	ok "$_what: and answers soon"
}
refused() { # what command...: no space, said with the disk's name, and nothing is left of it
	_before=$(held)
	_said=$("${@:2}" 2>&1 < /dev/null)
	[ $? -ne 0 ] && printf '%s\n' "$_said" | grep -q "[Nn]o space left on device" && printf '%s\n' "$_said" | grep -q "free in $R"
	ok "$1: refused, with the disk's name" || printf '# %s\n' "$_said"
	is "$(diff <(printf '%s\n' "$_before") <(held))" "" "$1: leaves nothing"
}
# what may be done in the place of a second copy: wholly, or refused as above
either() { # what, undo, command...
	_before=$(held)
	_said=$("${@:3}" 2>&1 < /dev/null) && {
		$2 > /dev/null 2>&1
		fill
		ok "$1: done, and undone"
		return
	}
	printf '%s\n' "$_said" | grep -q "[Nn]o space left on device" && printf '%s\n' "$_said" | grep -q "free in $R"
	ok "$1: refused, with the disk's name" || printf '# %s\n' "$_said"
	is "$(diff <(printf '%s\n' "$_before" | grep -v '[.]copy ') <(held | grep -v '[.]copy '))" "" "$1: leaves nothing"
}
works() { # what command...
	_said=$("${@:2}" 2>&1 < /dev/null)
	ok "$1" || printf '# %s\n' "$_said" | head -n 5
}
populate() {
	load_busybox > /dev/null
	for i in 1 2; do docker tag busybox "extra:$i"; done
	docker create --name made busybox true > /dev/null
	docker run -d --name ends busybox sh -c 'while [ ! -e /tmp/end ]; do sleep 0.1; done; exit 7' > /dev/null
	for n in stays stops; do docker run -d --name "$n" busybox sh -c 'echo said; exec sleep 1000' > /dev/null; done
	docker run --name over busybox sh -c 'echo over; exit 3' > /dev/null
	for i in 1 2; do docker commit over "own:$i" > /dev/null; done
	docker volume create kept > /dev/null
	for i in 1 2; do docker volume create > /dev/null; done
	is "$(docker ps -aq | wc -l) $(docker images -q | sort -u | wc -l) $(docker volume ls -q | wc -l)" "5 3 3" "$1: filled"
}
all_refused() {
	echo x > "$WORK/x"
	tar -C "$WORK" -cf "$WORK/x.tar" busybox.tar
	"$top_srcdir/t/tools/mkimage" new:latest "$WORK/busybox.tar=/b" > "$WORK/new.tar"
	refused "$1: load" docker load -i "$WORK/new.tar"
	refused "$1: import" docker import "$WORK/x.tar" imported
	refused "$1: commit" docker commit over
	refused "$1: create" docker create --name another busybox
	refused "$1: cp" docker cp "$WORK/busybox.tar" over:/file
	[ -s "$R/.dockerd.reserve" ]
	ok "$1: what only fails leaves the reserve alone"
	either "$1: tag" "docker rmi another:tag" docker tag busybox another:tag
	either "$1: volume create" "docker volume rm another" docker volume create another
	either "$1: rename" "docker rename another over" docker rename over another
	is "$(docker ps -aq | wc -l) $(docker images -q | sort -u | wc -l) $(docker volume ls -q | wc -l)" "5 3 3" "$1: all is as it was"
}
reads() {
	like "$(docker ps --format '{{.Names}}' | sort | tr '\n' ' ')" "stays stops" "$1: ps"
	is "$(docker inspect -f '{{.State.ExitCode}}' over)" 3 "$1: inspect"
	is "$(docker logs over)" over "$1: logs of what ended"
	is "$(docker logs stays)" said "$1: logs of what runs"
	is "$(docker exec stays echo within)" within "$1: exec"
	is "$(docker cp stays:/etc/passwd - | tar -xO | head -n 1 | cut -d: -f1)" root "$1: copies out"
	docker save busybox 2>/dev/null | tar -t > /dev/null
	ok "$1: save"
}
frees() {
	works "$1: stop" docker stop -t 1 stops
	is "$(docker inspect -f '{{.State.Status}}' stops)" exited "$1: has stopped"
	works "$1: rm" docker rm stops
	works "$1: rm -f of what runs" docker rm -f stays
	docker rm -f ends > /dev/null 2>&1
	works "$1: rmi" docker rmi own:1
	works "$1: container prune" docker container prune -f
	is "$(docker ps -aq | wc -l)" 0 "$1: all are gone"
	works "$1: volume rm" docker volume rm kept
	works "$1: volume prune" docker volume prune -f
	works "$1: untag" docker rmi extra:1
	works "$1: image prune" docker image prune -af
	works "$1: system prune" docker system prune -af --volumes
	is "$(docker images -q | wc -l) $(docker volume ls -q | wc -l)" "0 0" "$1: nothing is left"
	is "$(find "$R/overlay2" "$R/containers" "$R/image/overlay2/layerdb" -mindepth 1 -maxdepth 2 ! -path '*/overlay2/l' ! -name sha256 ! -name mounts ! -name tmp)" "" "$1: nor on disk"
}

# --- a full disk: while the daemon runs, over its death, with the reserve and without ---
campaign() { # name, then a disk's arguments
	what=$1
	disk "${@:2}" && start_daemon -s overlay2 && populate "$what"
	[ -s "$R/.dockerd.reserve" ]
	ok "$what: a reserve is held"
	echo room > "$R/.small" && sync -f "$R"
	fill
	is "$(left)" 0 "$what: is full"
	all_refused "$what"
	rm -f "$R/.small"
	docker exec ends touch /tmp/end
	is "$(timeout $((20 * DKD_SLOW)) "$DOCKER" -H "unix://$SOCK" wait ends)" 7 "$what: a container's end is noticed"
	fill
	stop_daemon KILL 2>/dev/null
	start_timed "$what, after a kill"
	is "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' ends)" "exited 7" "$what: and is kept over a kill"
	like "$(docker info -f '{{.Warnings}}' 2>&1)" "$R is full" "$what: info says it"
	reads "$what"
	rm -f "$R/.dockerd.reserve"
	fill
	stop_daemon KILL 2>/dev/null
	start_timed "$what, without a reserve"
	is "$(left)" 0 "$what, without a reserve: still full"
	reads "$what, without a reserve"
	frees "$what, without a reserve"
	rm -f "$R/.filler"
	docker container prune -f > /dev/null
	[ -s "$R/.dockerd.reserve" ]
	ok "$what: with room again, the reserve is taken again"
	works "$what: with room again, all works" load_busybox
	works "$what: and runs" docker run --rm busybox true
	stop_daemon
}
campaign "full ext4" ext4
campaign "full tmpfs" tmpfs 48m

# --- the reserve is what a stop and its mark live on ---
disk ext4 && start_daemon -s overlay2 && populate "reserve"
fill
is "$(left)" 0 "reserve: the disk is full"
lines=$(wc -l < "$WORK/log")
frees "reserve"
unlike "$(tail -n "+$lines" "$WORK/log")" "cannot write its state" "reserve: every state was written"
stop_daemon

# --- what a container says while the disk is full: it goes on, and so does its log once there is room ---
disk ext4 && start_daemon -s overlay2 && load_busybox > /dev/null
docker run -d --name talks --tmpfs /n busybox sh -c 'i=0; while :; do i=$((i + 1)); echo "line $i"; echo $i > /n/i; usleep 5000; done' > /dev/null
docker create --name later busybox true > /dev/null
said() { docker exec talks cat /n/i; }
reaches() { # count: within a while
	for _i in $(seq $((100 * DKD_SLOW))); do
		_n=$(said)
		[ "${_n:-0}" -gt "$1" ] && return
		sleep 0.1
	done
	return 1
}
reaches 20
ok "log: a container talks"
fill
reaches $(($(said) + 200))
ok "log: on a full disk it goes on"
told=$(docker start later 2>&1) || printf '%s\n' "$told" | grep -q "[Nn]o space left on device"
ok "log: a start does, or says why not" || printf '# %s\n' "$told"
rm -f "$R/.filler"
n=$(said)
reaches $((n + 100))
docker kill talks > /dev/null
docker logs talks > "$WORK/out" 2> "$WORK/err"
ok "log: can be read"
[ "$(sed -n 's/^line //p' "$WORK/out" | tail -n 1)" -ge $((n + 100)) ]
ok "log: goes on once there is room" || tail -n 2 "$WORK/out" "$WORK/err"
is "$(grep -cvE '^line [0-9]+$' "$WORK/out"):$(sed -n 's/^line //p' "$WORK/out" | sort -nc 2>&1)" "0:" "log: has whole lines only, in order"
stop_daemon

# --- no inodes ---
disk ext4 -N 1800 && start_daemon -s overlay2 && populate "no inodes"
fill_inodes
is "$(left %d)" 0 "no inodes: none is left"
refused "no inodes: create" docker create busybox
refused "no inodes: load" docker load -i "$WORK/new.tar"
refused "no inodes: volume create" docker volume create another
stop_daemon KILL 2>/dev/null
start_timed "no inodes, after a kill"
reads "no inodes"
rm -f "$R/.dockerd.reserve"
fill_inodes
frees "no inodes"
stop_daemon

# --- read-only ---
disk ext4 && start_daemon -s overlay2 && populate "read-only"
docker rm -f stays stops ends > /dev/null
stop_daemon
mount -o remount,ro "$R"
start_timed "read-only"
is "$(docker ps -aq | wc -l) $(docker images -q | sort -u | wc -l) $(docker volume ls -q | wc -l)" "2 3 3" "read-only: all is listed"
is "$(docker logs over)" over "read-only: logs"
like "$(docker cp over:/etc/passwd - 2>&1)" "[Rr]ead-only" "read-only: copies out of what does not run: refused in words"
docker save busybox 2>/dev/null | tar -t > /dev/null
ok "read-only: save"
like "$(docker info -f '{{.Warnings}}' 2>&1)" "$R is read-only" "read-only: info says it"
for c in "create busybox" "load -i $WORK/new.tar" "commit over" "tag busybox a:b" "volume create another" "rename over another" "rm over" "rmi own:1" \
	"volume rm kept" "start over" "cp $WORK/x over:/x"; do
	said=$(docker $c 2>&1 < /dev/null)
	[ $? -ne 0 ] && printf '%s\n' "$said" | grep -qi "read-only"
	ok "read-only: $c: refused in words" || printf '# %s\n' "$said"
done
is "$(docker ps -aq | wc -l) $(docker images -q | sort -u | wc -l) $(docker volume ls -q | wc -l)" "2 3 3" "read-only: all is as it was"
mount -o remount,rw "$R"
works "writable again: run" docker run --rm busybox true
works "writable again: rm" docker rm over
works "writable again: volume rm" docker volume rm kept
stop_daemon

# --- new and empty, and no room ---
empty() { # what
	start_daemon -s overlay2
	if [ $? -eq 0 ]; then
		ok "$1: starts"
		is "$(docker ps -aq; docker images -q; docker volume ls -q)" "" "$1: and is empty"
		said=$(docker load -i "$WORK/new.tar" 2>&1)
		like "$said" "[Nn]o space left|[Rr]ead-only" "$1: load is refused in words"
		stop_daemon
	else
		like "$(tail -n 5 "$WORK/log")" "$2" "$1: does not start, and says why"
	fi
}
disk ext4 && fill
empty "new and full" "[Nn]o space left on device"
rm -f "$R/.filler"
start_daemon -s overlay2
ok "new and full: starts once there is room"
works "new and full: and works" load_busybox
stop_daemon
disk tmpfs 4m && fill
empty "new and full, in memory" "[Nn]o space left on device"
disk ext4 && mount -o remount,ro "$R"
empty "new and read-only" "[Rr]ead-only file system"
umount "$R"
is "$(losetup -j "$WORK/img")" "" "the loop device is given back"
done_testing
