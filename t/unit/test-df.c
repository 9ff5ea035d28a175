/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disk usage: bytes of a tree; walks that are shared, cut short, begun again; the two forms of the answer. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/disk-use.h"
#include "base/fs.h"
#include "container/container.h"
#include "image/image.h"
#include "system.h"
#include "tap.h"
#include "volume/volume.h"

/* The stores: a list of containers that takes as long as it is held. */
static atomic_int walks_begun, walks_held, asked;

int container_list(struct container_store *s, const struct list_query *q, int api_minor, struct jw *w, struct err *err)
{
	(void)s;
	(void)api_minor;
	(void)err;
	walks_begun++;
	while (walks_held && !cancel_fired(q->cancel))
		poll(NULL, 0, 5);
	*q->ret_rw = 70;
	*q->ret_idle = 30;
	jw_arr(w);
	jw_int(w, walks_begun);
	jw_arr_end(w);
	return 0;
}

size_t container_count(struct container_store *s, size_t *running, size_t *paused, size_t *stopped)
{
	(void)s;
	*running = 1;
	*paused = 1;
	*stopped = 2;
	return 4;
}

void container_users_of_image(struct container_store *s, const char *image_id, struct strv *running, struct strv *stopped)
{
	(void)s;
	(void)image_id;
	(void)running;
	(void)stopped;
}

struct client {
	struct request rq;
	struct cancel cancel;
	struct buf got;
	pthread_t thread;
	int result;
};

static int fake_reply(struct request *rq, int status, const char *type, const void *data, size_t size)
{
	struct client *c = (struct client *)((char *)rq - offsetof(struct client, rq));

	(void)status;
	(void)type;
	buf_add(&c->got, data, size);
	buf_adds(&c->got, "");
	return 0;
}

static const struct request_ops ops = { .reply = fake_reply };

static void *run(void *arg)
{
	static struct api api;
	struct client *c = arg;
	OWN_ERR struct err err = ERR_INIT;
	struct job job = { .face = &c->rq, .ctx = &api, .cancel = c->cancel };

	asked++;
	c->result = system_df(&job, &err);
	return NULL;
}

static void begin(struct client *c, int api_minor, int stop_fd)
{
	*c = (struct client){ .rq = { .ops = &ops, .method = "GET", .uri = "/system/df", .api_minor = api_minor },
		.cancel = { .client_fd = -1, .stop_fd = stop_fd } };
	strv_add(&c->rq.query_all, "type=container");
	pthread_create(&c->thread, NULL, run, c);
}

static void end(struct client *c)
{
	pthread_join(c->thread, NULL);
	strv_done(&c->rq.query_all);
}

static void wait_for(atomic_int *n, int value)
{
	for (int i = 0; i < 4000 && *n < value; i++)
		poll(NULL, 0, 5);
}

static void test_shared(void)
{
	struct client first, more[8];
	int same = 0;

	walks_held = 1;
	begin(&first, 51, -1);
	wait_for(&walks_begun, 1);
	for (size_t i = 0; i < 8; i++)
		begin(&more[i], 51, -1);
	wait_for(&asked, 9);
	poll(NULL, 0, 300); /* they reach the walk; later ones would begin another, which is what is counted */
	walks_held = 0;
	end(&first);
	for (size_t i = 0; i < 8; i++) {
		end(&more[i]);
		same += more[i].result == 0 && streq(more[i].got.data, first.got.data);
		buf_done(&more[i].got);
	}
	is_int(same, 8, "eight more get the first one's answer");
	is_int(walks_begun, 1, "of one walk");
	ok(strstr(first.got.data, "\"Containers\":[1]"), "which is there");
	buf_done(&first.got);
	begin(&first, 51, -1);
	end(&first);
	ok(strstr(first.got.data, "\"Containers\":[2]"), "who comes later gets a walk of its own");
	buf_done(&first.got);
}

static void test_forms_apart(void)
{
	struct client a, b;
	int before = walks_begun;

	walks_held = 1;
	begin(&a, 51, -1);
	wait_for(&walks_begun, before + 1);
	begin(&b, 45, -1);
	wait_for(&walks_begun, before + 2);
	is_int(walks_begun, before + 2, "another version's form is another walk");
	walks_held = 0;
	end(&a);
	end(&b);
	buf_done(&a.got);
	buf_done(&b.got);
}

static void test_leaver(void)
{
	struct client leaver, other, impatient;
	int before = walks_begun, gone[2], bored[2];

	if (pipe2(gone, O_CLOEXEC) < 0 || pipe2(bored, O_CLOEXEC) < 0)
		return;
	walks_held = 1;
	begin(&leaver, 51, gone[0]);
	wait_for(&walks_begun, before + 1);
	asked = 0;
	begin(&other, 51, -1);
	begin(&impatient, 51, bored[0]);
	wait_for(&asked, 2);
	poll(NULL, 0, 300);
	close(bored[1]);
	end(&impatient);
	ok(impatient.result < 0 && !impatient.got.size, "who leaves while others walk waits no longer");
	close(gone[1]);
	end(&leaver);
	wait_for(&walks_begun, before + 2);
	is_int(walks_begun, before + 2, "who walked left: another one begins again");
	walks_held = 0;
	end(&other);
	ok(other.result == 0 && strstr(other.got.data, "\"Containers\":["), "and has an answer");
	buf_done(&leaver.got);
	buf_done(&other.got);
	buf_done(&impatient.got);
	close(gone[0]);
	close(bored[0]);
}

static void test_usage_form(void)
{
	struct client c;

	begin(&c, 52, -1);
	end(&c);
	ok(strstr(c.got.data, "\"ContainerUsage\":{\"ActiveCount\":2,\"TotalCount\":4,\"Reclaimable\":30,\"TotalSize\":70}"),
		"1.52: counts and bytes, without items");
	ok(!strstr(c.got.data, "ImageUsage") && !strstr(c.got.data, "VolumeUsage"), "only what was asked for");
	buf_done(&c.got);
	c = (struct client){ .rq = { .ops = &ops, .api_minor = 53 }, .cancel = CANCEL_NEVER };
	strv_add(&c.rq.query_all, "type=container");
	strmap_set(&c.rq.query, "verbose", "1");
	run(&c);
	strv_done(&c.rq.query_all);
	strmap_done(&c.rq.query);
	ok(strstr(c.got.data, "\"Items\":["), "items, when it is to be verbose");
	ok(!strstr(c.got.data, "LayersSize"), "1.53: no older form beside it");
	buf_done(&c.got);
}

static void put(const char *dir, const char *name, int size)
{
	OWN_FREE char *path = xasprintf("%s/%s", dir, name);
	OWN_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, size) < 0)
		ok(0, "%s", path);
}

static int64_t use(const char *dir, const struct cancel *c) { return disk_use(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), c); }

static void test_tree(void)
{
	char dir[] = "/tmp/test-df.XXXXXX";
	struct cancel fired = CANCEL_NEVER;
	OWN_FD int at = -1;
	int p[2];

	if (!mkdtemp(dir) || (at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return;
	is_int(use(dir, NULL), 0, "an empty folder takes nothing");
	put(dir, "a", 1000);
	mkdirat(at, "sub", 0700);
	put(dir, "sub/b", 50);
	is_int(use(dir, NULL), 1050, "files, also in folders, which take nothing");
	for (int i = 0; i < 100; i++) {
		OWN_FREE char *name = xasprintf("file%d", i), *link = xasprintf("sub/link%d", i), *more = xasprintf("more%d", i);

		put(dir, name, 7);
		if (linkat(at, name, at, link, 0) < 0 || linkat(at, name, at, more, 0) < 0)
			break;
	}
	is_int(use(dir, NULL), 1750, "a file of three names counts once, in full");
	ok(symlinkat("/etc", at, "outside") == 0, "a link");
	is_int(use(dir, NULL), 1754, "a link is as long as its text, and not followed");
	mknodat(at, "hole", S_IFCHR | 0600, 0);
	is_int(use(dir, NULL), 1754, "a device has no bytes");
	if (pipe2(p, O_CLOEXEC) == 0) {
		close(p[1]);
		fired.stop_fd = p[0];
		is_int(use(dir, &fired), -1, "nobody waits for it any more");
		close(p[0]);
	}
	is_int(disk_use(-1, NULL), -1, "no folder at all");
	fs_remove_tree(AT_FDCWD, dir, NULL);
}

static int64_t deep_sum;

static void *small_stack(void *arg)
{
	deep_sum = use(arg, NULL);
	return NULL;
}

/* Folders in folders, a byte in each: more than a connection's thread could hold by recursion. */
static void test_deep(void)
{
	char dir[] = "/tmp/test-df.XXXXXX";
	pthread_attr_t attr;
	pthread_t t;
	int at, levels = 0;

	if (!mkdtemp(dir) || (at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return;
	for (int below; levels < 1200; levels++, at = below) {
		int fd = openat(at, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		if (write(fd, "x", 1) != 1 || mkdirat(at, "d", 0700) < 0 || (below = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
			break;
		close(fd);
		close(at);
	}
	close(at);
	is_int(levels, 1200, "the folders are made");
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 << 10);
	pthread_create(&t, &attr, small_stack, dir);
	pthread_join(t, NULL);
	pthread_attr_destroy(&attr);
	is_int(deep_sum, 1001, "folders in folders, as far as the thousandth in the first, on a small stack");
	fs_remove_tree(AT_FDCWD, dir, NULL);
}

int main(void)
{
	test_tree();
	test_deep();
	test_shared();
	test_forms_apart();
	test_leaver();
	test_usage_form();
	return tap_done();
}
