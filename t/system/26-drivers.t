#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Drivers from outside: one written against the installed headers alone, dropped into a folder; and those that are refused.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl cc make pkg-config busybox runc
find_docker
scratch
prefix=$(sed -n 's/^prefix = //p' "$top_builddir/Makefile" | head -1)
MAKEFLAGS= MAKELEVEL= make -s -C "$top_builddir" install DESTDIR="$WORK/dest" >/dev/null 2>&1; ok "make install"
cflags=$(PKG_CONFIG_PATH=$WORK/dest$prefix/lib/pkgconfig pkg-config --define-variable=prefix="$WORK/dest$prefix" --cflags dockerd-driver)
mkdir -p "$WORK/src" "$WORK/mine" "$WORK/mine/volume" "$WORK/mine/graph"
chmod 755 "$WORK/mine"
# A volume driver: each volume is a folder of its own under the root that the daemon gives.
cat > "$WORK/src/boxes.c" <<'C'
#include <errno.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <dockerd/volume.h>
struct dkd_volume { const struct dkd_host *host; char root[4000]; };
static struct dkd_volume self;
static void path(char *to, size_t size, const char *name) { snprintf(to, size, "%s/%s", self.root, name); }
static int32_t b_open(const struct dkd_call *c, const struct dkd_host *h, const struct dkd_volume_open *o, struct dkd_volume **ret)
{
	const char *greeting = h->option(h, "greeting");
	self.host = h;
	snprintf(self.root, sizeof(self.root), "%s", o->root);
	dkd_logf(h, DKD_LOG_INFO, "greeting is %s", greeting ? greeting : "unset");
	if (mkdir(self.root, 0755) < 0 && errno != EEXIST) return dkd_failf(h, c, DKD_ERR_INTERNAL, errno, "mkdir %s", self.root);
	*ret = &self;
	return 0;
}
static int32_t b_create(const struct dkd_call *c, struct dkd_volume *v, const struct dkd_volume_create *a)
{
	char p[4400];
	if (a->options_len) return dkd_failf(v->host, c, DKD_ERR_INVALID, 0, "boxes have no options");
	path(p, sizeof(p), a->name);
	return mkdir(p, 0755) < 0 && errno != EEXIST ? dkd_failf(v->host, c, DKD_ERR_INTERNAL, errno, "mkdir %s", p) : 0;
}
static int32_t b_remove(const struct dkd_call *c, struct dkd_volume *v, const char *name)
{
	char cmd[4500], p[4400];
	(void)c, (void)v;
	path(p, sizeof(p), name);
	snprintf(cmd, sizeof(cmd), "%s/f", p);
	unlink(cmd);
	rmdir(p);
	return 0;
}
static int32_t say(const char *name, dkd_emit_volume *emit, void *to)
{
	char p[4400];
	struct dkd_volume_info i = { .size = sizeof(i), .name = name, .mountpoint = p };
	path(p, sizeof(p), name);
	return emit(to, &i);
}
static int32_t b_get(const struct dkd_call *c, struct dkd_volume *v, const char *name, dkd_emit_volume *emit, void *to)
{
	char p[4400];
	path(p, sizeof(p), name);
	if (access(p, F_OK) < 0) return dkd_failf(v->host, c, DKD_ERR_NOT_FOUND, 0, "no box %s", name);
	say(name, emit, to);
	return 0;
}
static int32_t b_list(const struct dkd_call *c, struct dkd_volume *v, dkd_emit_volume *emit, void *to)
{
	DIR *d = opendir(v->root);
	struct dirent *e;
	(void)c;
	while (d && (e = readdir(d))) if (e->d_name[0] != '.' && say(e->d_name, emit, to)) break;
	if (d) closedir(d);
	return 0;
}
static int32_t b_mount(const struct dkd_call *c, struct dkd_volume *v, const struct dkd_volume_mount *m, dkd_emit *emit, void *to)
{
	char p[4400];
	(void)c, (void)v;
	path(p, sizeof(p), m->name);
	emit(to, p);
	return 0;
}
static int32_t b_unmount(const struct dkd_call *c, struct dkd_volume *v, const char *name, const char *id) { (void)c, (void)v, (void)name, (void)id; return 0; }
static const struct dkd_volume_ops ops = { .open = b_open, .create = b_create, .remove = b_remove, .get = b_get, .list = b_list,
	.mount = b_mount, .unmount = b_unmount };
#ifndef NAME
#define NAME "boxes"
#endif
#ifndef MAJOR
#define MAJOR DKD_VOLUME_MAJOR
#endif
#ifndef MINOR
#define MINOR DKD_VOLUME_MINOR
#endif
static const struct dkd_driver d = { .magic = DKD_MAGIC, .kind = DKD_KIND_VOLUME, .abi_major = MAJOR, .abi_minor = MINOR,
	.ops_size = sizeof(ops), .thread_model = DKD_THREADS_SERIAL, .name = NAME, .version = "7.3", .ops = &ops };
int no_such_function_anywhere(void);
const struct dkd_driver *dkd_driver_entry(void)
{
#ifdef UNDEFINED
	no_such_function_anywhere();
#endif
	return &d;
}
C
build() { # name, compiler flags: a driver in the folder
	_n=$1
	shift
	# shellcheck disable=SC2086
	cc -std=gnu11 -Wall -shared -fPIC $cflags "$@" -DNAME="\"$_n\"" -o "$WORK/mine/volume/$_n.so" "$WORK/src/boxes.c" && chmod 755 "$WORK/mine/volume/$_n.so"
}
build boxes -Wl,-z,defs -Werror; ok "a driver builds from the installed headers and pkg-config alone"
build older -DMAJOR=9
build minor -DMINOR=77
build missing -DUNDEFINED
build open && chmod 777 "$WORK/mine/volume/open.so"
build short && head -c 6000 "$WORK/mine/volume/short.so" > "$WORK/cut" && cat "$WORK/cut" > "$WORK/mine/volume/short.so"
build wrong && mv "$WORK/mine/volume/wrong.so" "$WORK/mine/graph/"
build alien && chown 65534 "$WORK/mine/volume/alien.so"
build liar && mv "$WORK/mine/volume/liar.so" "$WORK/mine/volume/other.so"
echo text > "$WORK/mine/volume/text.so"
chmod 755 "$WORK/mine/volume" "$WORK/mine/graph"
list=$("$DOCKERD" --list-drivers --plugin-dir "$PLUGDIR" --plugin-dir "$WORK/mine" --config-file /dev/null 2>&1); is $? 0 "--list-drivers"
row() { printf '%s\n' "$list" | grep "/mine/.*/$1\.so "; }
like "$(row boxes)" "^boxes +volume +7\.3 +1\.[0-9]+ +$WORK/mine/volume/boxes\.so +usable" "name, kind, version, ABI, path, state"
like "$(row older)" "volume ABI 9\.[0-9]+, this daemon has 1\." "another major"
like "$(row minor)" " 1\.77 .* usable$" "another minor"
like "$(row missing)" "undefined symbol: no_such_function_anywhere" "a missing symbol"
like "$(row open)" "writable by others" "a world-writable file"
like "$(row short)" "cut short" "a truncated file"
like "$(row wrong)" "it is a volume driver in the folder of graph drivers" "a wrong kind"
like "$(row alien)" "belongs to user 65534, not to root" "another owner"
like "$(row text)" "is refused: " "a text"
like "$list" "usable" "and the others are listed all the same"
is "$(printf '%s\n' "$list" | grep -c 'Segmentation\|Assert')" 0 "nothing crashes"
# in the daemon
maps() { grep -oE '[a-z]+\.so$' "/proc/$DPID/maps" | sort -u | tr '\n' ' '; }
start_daemon; ok "starts"
unlike "$(maps)" "boxes" "a folder that is not named is not looked into"
like "$(docker volume create -d boxes v1 2>&1)" "boxes" "nor is its driver known"
stop_daemon
printf '[daemon]\nlabels = a=b\n[volume.boxes]\ngreeting = hello there\n' > "$WORK/d.ini"
start_daemon --plugin-dir "$WORK/mine"; ok "starts beside drivers that are refused"
unlike "$(maps)" "boxes|vfs|policy" "what is not used is not mapped"
info=$(docker info -f '{{json .Plugins.Volume}}')
like "$info" '"boxes".*"local"' "docker info names what may be used"
unlike "$info" "open|short|alien|text" "and not what is refused for its file"
load_busybox >/dev/null
is "$(docker volume create -d boxes v1 2>&1)" v1 "a volume of the new driver, without configuration"
like "$(maps)" "boxes" "now it is mapped"
like "$(api GET /plugins)" '"Name":"volume/boxes","Enabled":true' "GET /plugins: it is enabled"
like "$(api GET /plugins)" '"Name":"graph/vfs","Enabled":false' "another is not"
is "$(docker volume inspect -f '{{.Driver}} {{.Name}}' v1)" "boxes v1" "inspect"
docker run --rm --network none -v v1:/v busybox sh -c 'echo inside > /v/f'; ok "a container writes into it"
is "$(docker run --rm --network none -v v1:/v busybox cat /v/f)" inside "another one reads it"
is "$(docker run --rm --network none --volume-driver boxes -v v2:/v busybox sh -c 'echo b > /v/f'; docker volume ls -q -f driver=boxes | sort | tr '\n' ' ')" "v1 v2 " "--volume-driver"
like "$(docker volume create -d boxes -o a=b v3 2>&1)" "boxes have no options" "its words reach the client"
for bad in older missing open short other; do
	like "$(docker volume create -d $bad xx 2>&1)" "driver .*$bad\.so is refused: " "$bad: refused to the client in a sentence"
done
like "$(docker volume create -d nothere xx 2>&1)" "nothere" "an unknown one is named"
like "$(docker volume create -d ../../x xx 2>&1)" "not found|invalid|names of drivers" "a name that is a path"
is "$(api GET /_ping)" OK "the daemon is up"
stop_daemon; is "$DSTATUS" 0 "stops"
start_daemon --plugin-dir "$WORK/mine"; ok "restarts"
is "$(docker volume ls -q | sort | tr '\n' ' ')" "v1 v2 " "the volumes are known again"
docker volume rm v1 v2 >/dev/null; ok "and removed"
is "$(find "$WORK/root/volume-drivers" -mindepth 2 | wc -l)" 0 "nothing of them stays"
stop_daemon
start_daemon --config-file "$WORK/d.ini" --plugin-dir "$WORK/mine"; ok "with the driver's own section in an INI file"
docker volume create -d boxes v4 >/dev/null; ok "it is found"
like "$(cat "$WORK/log")" "\[boxes\] greeting is hello there" "and reads its option"
docker volume rm v4 >/dev/null
stop_daemon
# a driver that is asked for and broken keeps the daemon from starting, in a sentence
start_daemon --plugin-dir "$WORK/mine" --storage-driver wrong; [ -n "${DSTATUS:-}" ] && [ -z "$DPID" ]; ok "a broken storage driver is refused at start"
like "$(tail -3 "$WORK/log")" "it is a volume driver in the folder of graph drivers" "with its reason"
chmod 777 "$WORK/mine/volume"
start_daemon --plugin-dir "$WORK/mine"; ok "a folder that others may write to"
like "$(docker volume create -d boxes xx 2>&1)" "writable by others" "holds no driver"
unlike "$(docker info -f '{{json .Plugins.Volume}}')" "boxes" "and none is shown"
stop_daemon
done_testing
