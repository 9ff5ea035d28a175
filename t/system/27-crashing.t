#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A driver that takes the daemon down with it: containers go on, and the third time it is refused in one sentence.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl cc jq runc
find_docker
scratch
[ -z "$SANITIZED" ] || skip_all "sanitizers report faults themselves"
ulimit -c 0
mkdir -p "$WORK/mine/volume"
cat > "$WORK/bomb.c" <<'C'
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <dockerd/volume.h>
struct dkd_volume { int unused; };
static struct dkd_volume self;
static int32_t b_open(const struct dkd_call *c, const struct dkd_host *h, const struct dkd_volume_open *o, struct dkd_volume **ret)
{
	(void)c, (void)h, (void)o;
	*ret = &self;
	return 0;
}
static int32_t b_create(const struct dkd_call *c, struct dkd_volume *v, const struct dkd_volume_create *a)
{
	(void)c, (void)v;
	if (strcmp(a->name, "null") == 0)
		*(volatile int *)0 = 1;
	if (strcmp(a->name, "abort") == 0)
		abort();
	return 0;
}
static int32_t b_name(const struct dkd_call *c, struct dkd_volume *v, const char *n) { (void)c, (void)v, (void)n; return 0; }
static int32_t b_get(const struct dkd_call *c, struct dkd_volume *v, const char *n, dkd_emit_volume *e, void *to) { (void)c, (void)v, (void)n, (void)e, (void)to; return -1; }
static int32_t b_list(const struct dkd_call *c, struct dkd_volume *v, dkd_emit_volume *e, void *to) { (void)c, (void)v, (void)e, (void)to; return 0; }
static int32_t b_mount(const struct dkd_call *c, struct dkd_volume *v, const struct dkd_volume_mount *m, dkd_emit *e, void *to) { (void)c, (void)v, (void)m, (void)e, (void)to; return -1; }
static int32_t b_unmount(const struct dkd_call *c, struct dkd_volume *v, const char *n, const char *id) { (void)c, (void)v, (void)n, (void)id; return 0; }
static const struct dkd_volume_ops ops = { .open = b_open, .create = b_create, .remove = b_name, .get = b_get, .list = b_list, .mount = b_mount, .unmount = b_unmount };
static const struct dkd_driver d = { .magic = DKD_MAGIC, .kind = DKD_KIND_VOLUME, .abi_major = DKD_VOLUME_MAJOR, .abi_minor = DKD_VOLUME_MINOR,
	.ops_size = sizeof(ops), .thread_model = DKD_THREADS_SERIAL, .name = "bomb", .version = "1", .ops = &ops };
const struct dkd_driver *dkd_driver_entry(void) { return &d; }
C
build() { cc -std=gnu11 -Wall -shared -fPIC -I"$top_srcdir/plugins/include" -o "$WORK/mine/volume/bomb.so" "$WORK/bomb.c" && chmod 755 "$WORK/mine" "$WORK/mine/volume" "$WORK/mine/volume/bomb.so"; }
build
ok "a driver that crashes"
start() { start_daemon --plugin-dir "$WORK/mine"; }
start
ok "the daemon is up" || done_testing
load_busybox > /dev/null
docker run -d --name on --network none --stop-timeout 1 busybox sh -c 'while :; do date; sleep 0.1; done' > /dev/null
pid=$(docker inspect -f '{{.State.Pid}}' on)

crash() { # volume name, status of a shell for the signal
	docker volume create -d bomb "$1" > /dev/null 2>&1
	wait "$DPID" 2> /dev/null
	is "$?" "$2" "$1: the daemon ends of the signal"
	DPID=
	: > "$WORK/log"
	start || { ok "it starts again"; done_testing; }
	is "$(docker inspect -f '{{.State.Status}} {{.State.Pid}}' on)" "running $pid" "its containers go on"
}
crash null 139
like "$(cat "$WORK/log")" "crashed in driver $WORK/mine/volume/bomb.so .1 of 3" "the next one tells"
crash abort 134
stop_daemon KILL
start
like "$(cat "$WORK/log")" "bomb.so .2 of 3" "a kill is no crash of a driver"
crash null 139
like "$(docker volume create -d bomb null 2>&1)" "bomb.so is refused: the daemon has crashed in it 3 times" "the third time it is refused"
is "$(api GET /_ping)" OK "the daemon is well"
docker volume create fine > /dev/null
ok "other drivers work"
docker logs --tail 1 on > "$WORK/line"
[ -s "$WORK/line" ]
ok "and so do logs"
stop_daemon
start
like "$(docker volume create -d bomb null 2>&1)" "bomb.so is refused" "by later ones, too"
stop_daemon
sleep 1.1 # the record has seconds
build
start
unlike "$(docker volume create -d bomb harmless 2>&1)" "is refused" "a new file is tried again"
kill -SEGV "$DPID"
wait "$DPID" 2> /dev/null
is "$?" 139 "a fault outside of drivers ends the daemon, too"
DPID=
is "$(grep -c bomb.so "$WORK/exec/driver-crashes")" 0 "and is nobody's"
start
docker rm -f on > /dev/null
stop_daemon
is "$?" 0 "the daemon ends"
rm "$WORK/exec/driver-crashes"
mkfifo "$WORK/exec/driver-crashes"
start
ok "a FIFO in the record's place hangs no start"
stop_daemon
rm "$WORK/exec/driver-crashes"
head -c 70000 /dev/urandom > "$WORK/exec/driver-crashes"
start
ok "nor does garbage"
stop_daemon
done_testing
