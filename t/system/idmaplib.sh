# SPDX-License-Identifier: LGPL-2.1-or-later
# Containers with ranges of ids of their own, on any driver. Sourced behind lib.sh and scratch, where /etc can be the suite's own.
cp -a /etc "$WORK/etc" && mount --bind "$WORK/etc" /etc || skip_all "cannot mount over /etc"
sed -i '/^containers:/d;/^pool:/d;/^remap:/d' /etc/subuid /etc/subgid 2>/dev/null
printf 'containers:1000000:150000\n' >> /etc/subuid
printf 'containers:2000000:1000\ncontainers:3000000:1000000\n' >> /etc/subgid
# somebody for --userns-remap
remapped_user() {
	useradd --system --no-create-home remap 2>/dev/null
	sed -i '/^remap:/d' /etc/subuid /etc/subgid
	printf 'remap:100000:65536\n' | tee -a /etc/subuid >> /etc/subgid
}
echo up > "$WORK/up"; chown 5:6 "$WORK/up"
auto() { docker run --network none --annotation engine.userns=auto "$@" 2>&1; }
map() { docker exec "$1" cat "/proc/self/$2_map" | tr -s ' ' | sed 's/^ //'; }
x() { docker exec "$@" 2>&1; }
owners() { cat "$WORK/root/image/$1"/layerdb/mounts/*/owners 2>/dev/null; }
second_mounts() { grep -c "/image/$1/mapped/" /proc/self/mountinfo; }
top() { find "$WORK/root/$1" -name own -path "*$2*" ! -path '*/merged/*' -exec stat -c '%u:%g' {} + 2>/dev/null | sort -u; }
# options of the driver, for the daemon after a crash
OPTIONS=
# short: without what takes long
lives() { # name, driver, owners on disk of what is 7:8 inside, second mounts of a container that runs, [short]
	load_busybox >/dev/null
	auto -d --name aa -w /w/x busybox sleep 1000 > "$WORK/out"; ok "$1: a container with ids of its own" || head -2 "$WORK/out" | sed 's/^/# /'
	is "$(map aa uid) $(second_mounts "$2")" "0 1000000 65536 $4" "$1: they are its own"
	is "$(x aa sh -c 'echo one > /own; chown 7:8 /own; chmod 6755 /own; ln /own /twice; rm /bin/true; stat -c %u:%g:%a / /bin/busybox /etc /w/x /own | sort -u' | tr '\n' ' ')" "0:0:755 7:8:6755 " "$1: owners inside"
	is "$(top "$2" "$(docker inspect -f '{{.Id}}' aa)")" "$3" "$1: and on disk"
	_diff=$(printf 'A /own\nA /twice\nA /w\nA /w/x\nC /bin\nD /bin/true')
	is "$(docker diff aa | LC_ALL=C sort)" "$_diff" "$1: docker diff while it runs"
	is "$(docker export aa | tar tvf - --numeric-owner own bin/busybox etc/passwd | awk '{ print $1, $2 }' | sort -u | tr '\n' ' ')" "-rw-r--r-- 0/0 -rwsr-sr-x 7/8 -rwxr-xr-x 0/0 " "$1: docker export"
	[ "${5:-}" ] && { docker commit aa im >/dev/null; is "$(docker run --rm --network none im stat -c %u:%g:%a /own)" 7:8:6755 "$1: its image has the ids inside"; docker rm -f aa >/dev/null; return; }
	docker cp -a "$WORK/up" aa:/up >/dev/null 2>&1
	is "$(docker cp aa:/up - | tar tvf - --numeric-owner | awk '{ print $2 }') $(x aa stat -c %u:%g /up)" "5/6 5:6" "$1: docker cp"
	stop_daemon KILL
	# shellcheck disable=SC2086
	start_daemon $OPTIONS; ok "$1: starts after a crash" || done_testing
	is "$(x aa stat -c %u:%g /own /up | tr '\n' ' ')$(second_mounts "$2")" "7:8 5:6 $4" "$1: the container runs on"
	docker exec aa rm /up; docker stop -t 0 aa >/dev/null
	comes 0 second_mounts "$2"; ok "$1: it ends, and with it the second mount"
	is "$(docker diff aa | LC_ALL=C sort)" "$_diff" "$1: docker diff of it"
	docker cp -a "$WORK/up" aa:/up >/dev/null 2>&1
	is "$(docker cp aa:/up - | tar tvf - --numeric-owner | awk '{ print $2 }')" 5/6 "$1: docker cp of it"
	docker commit aa im >/dev/null; ok "$1: docker commit"
	is "$(docker run --rm --network none im stat -c %u:%g:%a:%h /own /up | tr '\n' ' ')" "7:8:6755:2 5:6:644:1 " "$1: its image has the ids inside"
	is "$(auto --rm --annotation engine.userns=auto:size=100 im stat -c %u:%g:%a /own)" 7:8:6755 "$1: for another one with ids of its own, too"
	docker start aa >/dev/null; is "$(x aa stat -c %u:%g /own)" 7:8 "$1: it starts again"
	docker rm -f aa >/dev/null
	comes 0 second_mounts "$2"
	is "$(docker ps -aq | wc -l) $(owners "$2" | wc -c) $(second_mounts "$2") $(ls "$WORK/root/image/$2/mapped" 2>/dev/null | wc -l)" "0 0 0 0" "$1: nothing of them stays"
	docker rmi im busybox >/dev/null
}
