/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Volumes of the driver "local": options as clients give them, KEY=VALUE a line, and a file opts.json. What is taken is written and read back. */
#include <fcntl.h>

#include "host.h"

#include "local.h"

static bool same(const char *a, const char *b)
{
	return streq(a && *a ? a : "", b && *b ? b : "");
}

static void write_and_read(struct dkd_volume *v, const struct local_options *o)
{
	struct local_options again;
	int dir;

	if (mkdirat(v->fd, "w", 0700) == 0 || faccessat(v->fd, "w/opts.json", F_OK, 0) == 0)
		unlinkat(v->fd, "w/opts.json", 0);
	dir = openat(v->fd, "w", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_CHECK(dir >= 0);
	if (local_options_write(dir, o) == 0) {
		FUZZ_CHECK(local_options_read(v, "w", &again) == 0);
		FUZZ_CHECK(same(o->type, again.type) && same(o->o, again.o) && same(o->device, again.device) && o->size == again.size);
		local_options_done(&again);
	}
	close(dir);
}

static void given(struct dkd_volume *v)
{
	struct dkd_pair pairs[16];
	struct dkd_volume_create c = { .size = sizeof(c), .name = "v", .options = pairs };
	struct local_options o = { 0 };

	for (; c.options_len < fuzz_told.keys.len && c.options_len < 16; c.options_len++)
		pairs[c.options_len] = (struct dkd_pair){ fuzz_told.keys.v[c.options_len], fuzz_told.values.v[c.options_len] };
	if (local_options_check(&fuzz_call, v, &c, &o) < 0) {
		FUZZ_CHECK(fuzz_told.failures == 1);
		return;
	}
	FUZZ_CHECK(fuzz_told.failures == 0 && (!o.o || o.device) && (!o.device == !o.type));
	write_and_read(v, &o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dkd_volume v = { .host = &fuzz_host, .quota = { .device = "/dev/none" } };
	OWN_STRV struct strv parts = { 0 };
	OWN_FREE char *path = xasprintf("%s/v", fuzz_dir()), *file = xasprintf("%s/opts.json", path);
	struct local_options o;

	fuzz_split(data, size, &parts);
	mkdir(path, 0700);
	v.fd = open(fuzz_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fuzz_host_begin(fuzz_part(&parts, 0));
	given(&v);
	fuzz_host_end();
	fuzz_write(file, fuzz_part(&parts, 1), strlen(fuzz_part(&parts, 1)));
	if (local_options_read(&v, "v", &o) == 0) {
		write_and_read(&v, &o);
		local_options_done(&o);
	}
	close(v.fd);
	return 0;
}
