/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device-mapper in memory, in the place of plugins/graph/devicemapper/thin.c: one pool that survives the processes that use it, so
 * that a process may end before or after any call ("a crash").
 */
#ifndef UNIT_FAKE_THIN_H
#define UNIT_FAKE_THIN_H

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../../plugins/graph/devicemapper/thin.h"

#define FAKE_IDS 64
#define FAKE_ACTIVE 32

static struct fake {
	uint64_t transaction, data_used, data_total, meta_used, meta_total;
	bool there[FAKE_IDS];
	unsigned origin[FAKE_IDS];
	struct { char name[THIN_NAME_MAX]; unsigned id; int open; bool suspended, deferred; } active[FAKE_ACTIVE];
	unsigned calls, stop;      /* the process ends before (even) or after (odd) call stop / 2; 0: never */
	unsigned unsafe;           /* snapshots of an active device that was not suspended */
	int fail_with;             /* errno of the next message */
	int removing;              /* so often a removal cannot be called off, as it is under way; then the device is gone */
} *fake;

static inline void fake_new(void)
{
	fake = mmap(NULL, sizeof(*fake), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*fake = (struct fake){ .data_total = 1000, .meta_total = 100 };
}

static void before(void)
{
	if (fake->stop && ++fake->calls * 2 == fake->stop)
		_exit(9);
}

static void after(void)
{
	if (fake->stop && fake->calls * 2 + 1 == fake->stop)
		_exit(9);
}

static int fake_find(const char *name)
{
	for (int i = 0; i < FAKE_ACTIVE; i++)
		if (strcmp(fake->active[i].name, name) == 0)
			return i;
	return -1;
}

static bool fake_active(unsigned id)
{
	for (int i = 0; i < FAKE_ACTIVE; i++)
		if (*fake->active[i].name && fake->active[i].id == id)
			return true;
	return false;
}

/* A call that changes something: with its errno, or 0. */
#define FAKE(...) ({ before(); int sys_ = ({ __VA_ARGS__ }); after(); errno = sys_; sys_ ? -1 : 0; })

int thin_info(const char *name, struct thin_info *ret)
{
	int i = fake_find(name);

	*ret = (struct thin_info){ 0 };
	if (strstr(name, "-pool"))
		*ret = (struct thin_info){ .exists = true, .dev = makedev(253, 0) };
	else if (i >= 0)
		*ret = (struct thin_info){ .exists = true, .suspended = fake->active[i].suspended, .deferred_remove = fake->active[i].deferred,
			.open_count = fake->active[i].open, .dev = makedev(253, (unsigned)i + 1) };
	return 0;
}

int thin_each(int (*fn)(void *to, const char *name), void *to)
{
	for (int i = 0; i < FAKE_ACTIVE; i++)
		if (*fake->active[i].name && fn(to, fake->active[i].name) != 0)
			break;
	return 0;
}

int thin_remove(const char *name, bool deferred)
{
	int i = fake_find(name);

	return FAKE(int sys = 0;
		if (i < 0)
			sys = ENXIO;
		else if (fake->active[i].open && !deferred)
			sys = EBUSY;
		else if (fake->active[i].open)
			fake->active[i].deferred = true;
		else
			fake->active[i].name[0] = '\0';
		sys;);
}

int thin_cancel_removal(const char *name)
{
	int i = fake_find(name);

	return FAKE(int sys = i < 0 ? ENXIO : fake->removing > 1 ? EBUSY : fake->removing ? ENXIO : 0;
		if (fake->removing)
			fake->removing--;
		if (sys == ENXIO && i >= 0)
			fake->active[i].name[0] = '\0';
		else if (i >= 0)
			fake->active[i].deferred = false;
		sys;);
}

static int suspend(const char *name, bool to)
{
	int i = fake_find(name);

	return FAKE(if (i >= 0) fake->active[i].suspended = to; i < 0 ? ENXIO : 0;);
}

int thin_suspend(const char *name) { return suspend(name, true); }
int thin_resume(const char *name) { return suspend(name, false); }
int thin_node(const char *name) { return fake_find(name) < 0 ? (errno = ENXIO, -1) : 0; }

int thin_pool_status(const char *pool, struct thin_pool_status *ret)
{
	(void)pool;
	*ret = (struct thin_pool_status){ .sectors = 128 * fake->data_total, .transaction = fake->transaction, .meta_used = fake->meta_used,
		.meta_total = fake->meta_total, .data_used = fake->data_used, .data_total = fake->data_total };
	return 0;
}

int thin_pool_table(const char *pool, dev_t *ret_meta, dev_t *ret_data, uint32_t *ret_block)
{
	(void)pool;
	*ret_meta = *ret_data = makedev(7, 255);
	*ret_block = 128;
	return 0;
}

int thin_pool_create(const char *pool, dev_t meta, dev_t data, uint64_t data_sectors, uint32_t block_sectors)
{
	(void)pool, (void)meta, (void)data, (void)data_sectors, (void)block_sectors;
	return errno = ENOSYS, -1;
}

static int failing(void)
{
	int sys = fake->fail_with;

	fake->fail_with = 0;
	return sys;
}

int thin_new(const char *pool, unsigned id)
{
	(void)pool;
	return FAKE(int sys = failing();
		if (!sys && fake->there[id])
			sys = EEXIST;
		if (!sys)
			fake->there[id] = true, fake->origin[id] = 0;
		sys;);
}

int thin_snapshot(const char *pool, unsigned id, unsigned origin)
{
	(void)pool;
	return FAKE(int sys = failing();
		if (!sys && fake->there[id])
			sys = EEXIST;
		for (int i = 0; i < FAKE_ACTIVE; i++)
			if (*fake->active[i].name && fake->active[i].id == origin && !fake->active[i].suspended)
				fake->unsafe++;
		if (!sys)
			fake->there[id] = true, fake->origin[id] = origin;
		sys;);
}

int thin_delete(const char *pool, unsigned id)
{
	(void)pool;
	return FAKE(int sys = !fake->there[id] ? ENODATA : fake_active(id) ? EBUSY : 0;
		if (!sys)
			fake->there[id] = false;
		sys;);
}

int thin_set_transaction(const char *pool, uint64_t from, uint64_t to)
{
	(void)pool;
	return FAKE(int sys = failing();
		if (!sys && from != fake->transaction)
			sys = EINVAL;
		if (!sys)
			fake->transaction = to;
		sys;);
}

int thin_activate(const char *pool, const char *name, unsigned id, uint64_t bytes)
{
	int i = fake_find("");

	(void)pool, (void)bytes;
	return FAKE(int sys = !fake->there[id] ? ENODATA : 0;
		if (!sys) {
			snprintf(fake->active[i].name, THIN_NAME_MAX, "%s", name);
			fake->active[i].id = id;
			fake->active[i].open = 0;
			fake->active[i].suspended = fake->active[i].deferred = false;
		}
		sys;);
}

#endif
