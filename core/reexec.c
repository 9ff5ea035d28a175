/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reexec.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "config/config.h"

typedef int helper_fn(int argc, char *argv[]);

static helper_fn print_man;

static const struct { const char *name; helper_fn *run; } helpers[] = {
	{ "dockerd-options", print_man },  /* the option list of dockerd(8); a test holds it against the page */
};

bool reexec_run(int argc, char *argv[], int *ret_status)
{
	const char *name = argc > 0 && argv[0] ? argv[0] : "", *slash = strrchr(name, '/');

	if (slash)
		name = slash + 1;
	for (size_t i = 0; i < ARRAY_LEN(helpers); i++) {
		if (!streq(helpers[i].name, name))
			continue;
		*ret_status = helpers[i].run(argc, argv);
		return true;
	}
	return false;
}

static int print_man(int argc, char *argv[])
{
	OWN_BUF struct buf b = { 0 };

	config_man(&b);
	return fputs(b.data, stdout) < 0 || fflush(stdout) != 0;
}
