/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The runtime's update: by the daemon itself, since the shim has no part in it. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "container/shim-client.h"

#define UPDATE_MS 30000

int shim_update(struct shim *s, const struct buf *resources, struct err *err)
{
	OWN_FD int in = memfd_create("resources", MFD_CLOEXEC);
	OWN_STRV struct strv argv = { 0 };
	OWN_BUF struct buf out = { 0 };
	int status = 0;

	if (in < 0 || write(in, resources->data, resources->size) != (ssize_t)resources->size || lseek(in, 0, SEEK_SET) < 0)
		return err_errno(err, errno, "cannot hand the limits to the runtime");
	shim_runtime_argv(s, &argv, "update");
	strv_add(&argv, "--resources");
	strv_add(&argv, "-");
	strv_add(&argv, s->id);
	if (spawner_run(s->monitor->spawner, argv.v, NULL, in, UPDATE_MS, NULL, &status, &out, err) < 0)
		return -1;
	if (status == 0)
		return 0;
	buf_add(&out, "", 1);
	return err_set(err, ERR_INTERNAL, "the runtime did not end well: exit status %d: %.1024s: unknown", WEXITSTATUS(status), out.data);
}
