/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image's own passwd and group files; the parts are the user asked for, passwd, group. */
#include "fuzz.h"

#include "container/bundle/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_STRV struct strv parts = { 0 };
	OWN_STRV struct strv more = { 0 };
	OWN_FREE char *etc = xasprintf("%s/etc", fuzz_dir()), *passwd = xasprintf("%s/passwd", etc), *group = xasprintf("%s/group", etc);
	OWN_ERR struct err err = ERR_INIT;
	struct user_ids ids = { 0 };

	mkdir(etc, 0755);
	OWN_FD int root = open(fuzz_dir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	fuzz_split(data, size, &parts);
	fuzz_write(passwd, fuzz_part(&parts, 1), strlen(fuzz_part(&parts, 1)));
	fuzz_write(group, fuzz_part(&parts, 2), strlen(fuzz_part(&parts, 2)));
	if (parts.len > 3)
		strv_add(&more, parts.v[3]);
	FUZZ_CHECK(user_lookup(root, fuzz_part(&parts, 0), &more, &ids, &err) == 0 || err.msg);
	user_ids_done(&ids);
	return 0;
}
