/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Driver "local": the options of volumes, as clients give them and as opts.json has them, in Docker's format. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json-shallow.h"
#include "local.h"
#include "size.h"

#define OPTS_MAX 65536
#define FAIL(v, call, class, sys, ...) dkd_failf((v)->host, (call), DKD_ERR_##class, (sys), __VA_ARGS__)

void local_options_done(struct local_options *o)
{
	free(o->type);
	free(o->o);
	free(o->device);
}

static char *read_small(int dir, const char *path, size_t *ret_size)
{
	int fd = openat(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char *text;
	ssize_t n;

	if (fd < 0)
		return NULL;
	text = calloc(1, OPTS_MAX + 1);
	n = text ? read(fd, text, OPTS_MAX) : -1;
	close(fd);
	if (n < 0) {
		free(text);
		return NULL;
	}
	*ret_size = (size_t)n;
	return text;
}

static char *json_text(json_t *js, const char *key)
{
	const char *s = json_string_value(json_object_get(js, key));

	return s && *s ? strdup(s) : NULL;
}

int local_options_read(struct dkd_volume *v, const char *name, struct local_options *ret)
{
	char path[300];
	size_t size = 0;
	json_int_t quota;
	char *text;
	json_t *js;

	*ret = (struct local_options){0};
	snprintf(path, sizeof(path), "%s/opts.json", name);
	text = read_small(v->fd, path, &size);
	if (!text)
		return errno == ENOENT ? 0 : -1;
	js = json_shallow(text, size, 0);
	free(text);
	if (!json_is_object(js)) {
		json_decref(js);
		return -1;
	}
	ret->type = json_text(js, "MountType");
	ret->o = json_text(js, "MountOpts");
	ret->device = json_text(js, "MountDevice");
	quota = json_integer_value(json_object_get(json_object_get(js, "Quota"), "Size"));
	ret->size = quota > 0 ? (uint64_t)quota : 0;
	json_decref(js);
	return 0;
}

int local_options_write(int dir, const struct local_options *o)
{
	json_t *js = json_pack("{s:s, s:s, s:s, s:{s:I}}", "MountType", o->type ? o->type : "", "MountOpts", o->o ? o->o : "",
		"MountDevice", o->device ? o->device : "", "Quota", "Size", (json_int_t)o->size);
	char *text = js ? json_dumps(js, JSON_COMPACT) : NULL;
	int fd = openat(dir, "opts.json", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int ret = -1;

	json_decref(js);
	if (text && fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0)
		ret = 0;
	if (fd >= 0)
		close(fd);
	free(text);
	return ret;
}

/* "//host:445/share": a port belongs into "o". */
static int32_t check_cifs(const struct dkd_call *call, struct dkd_volume *v, const char *device)
{
	const char *host = strstr(device, "//"), *end, *bracket;

	if (!host)
		return 0;
	host += 2;
	end = host + strcspn(host, "/");
	bracket = memchr(host, ']', (size_t)(end - host));
	if (memchr(bracket ? bracket : host, ':', (size_t)(end - (bracket ? bracket : host))))
		return FAIL(v, call, INVALID, 0, "port not allowed in CIFS device URL, include 'port' in 'o='");
	return 0;
}

static int32_t check_size(const struct dkd_call *call, struct dkd_volume *v, const char *text, struct local_options *ret)
{
	if (!size_parse(text, &ret->size))
		return FAIL(v, call, INVALID, 0, "invalid size: '%s'", text);
	if (ret->size && !*v->quota.device)
		return FAIL(v, call, INVALID, 0, "quota size requested but no quota support");
	if (ret->size && ret->device)
		return FAIL(v, call, INVALID, 0, "a size is one of the volume's folder, not of the device that is mounted on it");
	return 0;
}

int32_t local_options_check(const struct dkd_call *call, struct dkd_volume *v, const struct dkd_volume_create *create, struct local_options *ret)
{
	const char *size = NULL;

	for (uint32_t i = 0; i < create->options_len; i++) {
		const char *key = create->options[i].key;
		char *value = (char *)(uintptr_t)create->options[i].value;

		if (strcmp(key, "type") == 0)
			ret->type = value;
		else if (strcmp(key, "o") == 0)
			ret->o = value;
		else if (strcmp(key, "device") == 0)
			ret->device = value;
		else if (strcmp(key, "size") == 0)
			size = value;
		else
			return FAIL(v, call, INVALID, 0, "invalid option: \"%s\"", key);
	}
	if ((ret->type || ret->o) && !ret->device)
		return FAIL(v, call, INVALID, 0, "missing required option: \"device\"");
	if ((ret->device || ret->o) && !ret->type)
		return FAIL(v, call, INVALID, 0, "missing required option: \"type\"");
	if (ret->type && strcmp(ret->type, "cifs") == 0 && check_cifs(call, v, ret->device) < 0)
		return -1;
	return size ? check_size(call, v, size, ret) : 0;
}
