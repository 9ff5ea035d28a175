/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where Docker's own plugins are: the parts are a .spec and a .json; and a name of a managed one that is looked for. What is found has an address. */
#include "host.h"

#include "docker-plugin-find.h"

const char *docker_plugin_text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s && *s ? s : NULL;
}

static void look(const char *name)
{
	struct plugin_place p = { 0 };
	char file[DOCKER_PLUGIN_PATH];

	if (plugin_place_find(&fuzz_host, name, &p, file) == 0)
		FUZZ_CHECK(p.url && strstr(p.url, "://") && (!p.socket || *p.socket == '/') && *file == '/');
	else
		FUZZ_CHECK(!p.url && !p.socket && !p.ca);
	plugin_place_done(&p);
}

static int32_t seen(void *to, const char *name)
{
	FUZZ_CHECK(*name && !strstr(name, "..") && docker_plugin_provider.has(&fuzz_call, &fuzz_host, name) == 1);
	++*(unsigned *)to;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_FREE char *options = xasprintf("sockets=%s/none\nspecs=%s\nmanaged=%s\n", fuzz_dir(), fuzz_dir(), fuzz_dir());
	OWN_STRV struct strv parts = { 0 };
	unsigned found = 0;

	fuzz_split(data, size, &parts);
	for (size_t i = 0; i < 2; i++) {
		OWN_FREE char *path = xasprintf("%s/%s", fuzz_dir(), i ? "two.json" : "one.spec");

		fuzz_write(path, fuzz_part(&parts, i), strlen(fuzz_part(&parts, i)));
	}
	fuzz_host_begin(options);
	look("one");
	look("two");
	look(fuzz_part(&parts, 2));
	docker_plugin_provider.has(&fuzz_call, &fuzz_host, fuzz_part(&parts, 2));
	FUZZ_CHECK(docker_plugin_provider.each(&fuzz_call, &fuzz_host, seen, &found) == 0 && found >= 2);
	fuzz_host_end();
	return 0;
}
