/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a client asks for as a mount ("src:dst:mode", a Mount object, a tmpfs entry), checked and turned into a mount point. */
#include <strings.h>

#include "base/id.h"
#include "container/internal.h"

static const char *const propagations[] = { "private", "rprivate", "shared", "rshared", "slave", "rslave", NULL };
static const char *const consistencies[] = { "consistent", "cached", "delegated", "default", NULL };
static const char *const tmpfs_flags[] = { "async", "atime", "bind", "defaults", "dev", "diratime", "dirsync", "exec", "mand",
	"noatime", "nodev", "nodiratime", "noexec", "nomand", "norelatime", "nostrictatime", "nosuid", "private", "rbind",
	"relatime", "remount", "ro", "rprivate", "rshared", "rslave", "runbindable", "rw", "shared", "slave", "strictatime",
	"suid", "sync", "unbindable", NULL };
static const char *const tmpfs_data[] = { "size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", NULL };

static bool is_word(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (streq(s, *words))
			return true;
	return false;
}

bool path_is_clean_absolute(const char *path)
{
	return path && *path == '/' && !strchr(path, '\n');
}

char *path_clean(const char *path)
{
	OWN_STRV struct strv in = { 0 };
	OWN_STRV struct strv out = { 0 };
	OWN_FREE char *joined = NULL;

	strv_split(&in, path, "/");
	for (size_t i = 0; i < in.len; i++) {
		if (!*in.v[i] || streq(in.v[i], "."))
			continue;
		if (!streq(in.v[i], ".."))
			strv_add(&out, in.v[i]);
		else if (out.len) {
			free(out.v[--out.len]);
			out.v[out.len] = NULL;
		}
	}
	joined = out.len ? strv_join(&out, "/") : xstrdup("");
	return xasprintf("/%s", joined);
}

static bool is_idmap(const char *word)
{
	return streq(word, "idmap") || str_has_prefix(word, "idmap=");
}

char *mount_idmap(const struct mount_point *m)
{
	OWN_STRV struct strv words = { 0 };

	if (str_empty(m->mode))
		return NULL;
	strv_split(&words, m->mode, ",");
	for (size_t i = 0; i < words.len; i++)
		if (is_idmap(words.v[i]))
			return xstrdup(words.v[i] + strlen("idmap") + (words.v[i][strlen("idmap")] == '='));
	return NULL;
}

/* The words of a mode, each group at most once. */
static bool mode_valid(const char *mode)
{
	OWN_STRV struct strv words = { 0 };
	int rw = 0, label = 0, prop = 0, copy = 0, cons = 0, ids = 0;

	if (str_empty(mode))
		return true;
	strv_split(&words, mode, ",");
	for (size_t i = 0; i < words.len; i++) {
		const char *w = words.v[i];

		if (streq(w, "ro") || streq(w, "rw"))
			rw++;
		else if (streq(w, "z") || streq(w, "Z"))
			label++;
		else if (is_word(w, propagations))
			prop++;
		else if (streq(w, "nocopy"))
			copy++;
		else if (is_word(w, consistencies))
			cons++;
		else if (is_idmap(w))
			ids++;
		else
			return false;
	}
	return rw <= 1 && label <= 1 && prop <= 1 && copy <= 1 && cons <= 1 && ids <= 1;
}

static bool mode_has(const char *mode, const char *word)
{
	OWN_STRV struct strv words = { 0 };

	if (str_empty(mode))
		return false;
	strv_split(&words, mode, ",");
	return strv_contains(&words, word);
}

static const char *mode_propagation(const char *mode)
{
	OWN_STRV struct strv words = { 0 };

	if (str_empty(mode))
		return NULL;
	strv_split(&words, mode, ",");
	for (size_t i = 0; i < words.len; i++)
		for (const char *const *p = propagations; *p; p++)
			if (streq(words.v[i], *p))
				return *p;
	return NULL;
}

void mount_point_done(struct mount_point *m)
{
	jdesc_clear(&mount_point_desc, m);
}

static int config_error(const char *type, struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "invalid mount config for type \"%s\": %s", type, what);
}

static int check_target(const char *type, const char *target, struct err *err)
{
	OWN_FREE char *text = NULL;

	if (str_empty(target))
		return config_error(type, err, "field Target must not be empty");
	if (!path_is_clean_absolute(target)) {
		text = xasprintf("invalid mount path: '%s' mount path must be absolute", target);
		return config_error(type, err, text);
	}
	text = path_clean(target);
	if (streq(text, "/"))
		return config_error(type, err, "invalid specification: destination can't be '/'");
	return 0;
}

static int check_volume_name(const char *name, struct err *err)
{
	if (strlen(name) < 2)
		return err_set(err, ERR_INVALID,
			"create %s: volume name is too short, names should be at least two alphanumeric characters", name);
	if (!id_is_name(name, 2))
		return err_set(err, ERR_INVALID,
			"create %s: \"%s\" includes invalid characters for a local volume name, only "
			"\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path",
			name, name);
	return 0;
}

static int check_idmap(const char *mode, struct err *err)
{
	const struct mount_point m = { .mode = (char *)mode };
	OWN_FREE char *spec = mount_idmap(&m);

	return spec ? userns_check_spec(spec, err) : 0;
}

int mount_parse_from_mode(const char *mode, bool *ret_read_only, struct err *err)
{
	const struct mount_point m = { .mode = (char *)mode };
	OWN_FREE char *idmap = mount_idmap(&m);

	if (!mode_valid(mode) || mode_propagation(mode) || mode_has(mode, "nocopy") || idmap)
		return err_set(err, ERR_INVALID, "invalid mode: %s", mode);
	*ret_read_only = mode_has(mode, "ro");
	return 0;
}

int mount_parse_bind(const char *bind, const char *volume_driver, struct mount_point *ret, struct err *err)
{
	OWN_STRV struct strv f = { 0 };
	const char *source = NULL, *target, *mode = "", *prop;
	bool is_bind;

	strv_split(&f, bind, ":");
	if (f.len > 3 || !*f.v[0] || strlen(bind) > 16384)
		return err_set(err, ERR_INVALID, "invalid volume specification: '%s'", bind);
	target = f.v[0];
	if (f.len == 2 && mode_valid(f.v[1]))
		return err_set(err, ERR_INVALID, "invalid volume specification: '%s'", bind);
	if (f.len >= 2) {
		source = f.v[0];
		target = f.v[1];
		mode = f.len == 3 ? f.v[2] : "";
	}
	if (!mode_valid(mode))
		return err_set(err, ERR_INVALID, "invalid mode: %s", mode);
	is_bind = source && *source == '/';
	if (check_target(is_bind ? "bind" : "volume", target, err) < 0)
		return err_wrap(err, "invalid volume specification: '%s'", bind);
	if (source && !is_bind && check_volume_name(source, err) < 0)
		return -1;
	if (check_idmap(mode, err) < 0)
		return -1;
	prop = mode_propagation(mode);
	if ((!is_bind && prop) || (is_bind && mode_has(mode, "nocopy")))
		return err_set(err, ERR_INVALID, "invalid volume specification: '%s': invalid mount config for type \"%s\": "
			"field %s must not be specified", bind, is_bind ? "bind" : "volume", is_bind ? "VolumeOptions" : "BindOptions");
	*ret = (struct mount_point){ .rw = !mode_has(mode, "ro") };
	ret->destination = path_clean(target);
	str_set(&ret->type, is_bind ? "bind" : "volume");
	if (*mode || !is_bind)
		str_set(&ret->mode, *mode ? mode : "z");
	str_set(&ret->spec.type, ret->type);
	str_set(&ret->spec.target, target);
	ret->spec.read_only = !ret->rw;
	if (is_bind) {
		ret->source = path_clean(source);
		str_set(&ret->propagation, prop ? prop : "rprivate");
		str_set(&ret->spec.source, source);
		if (prop) {
			ret->spec.bind = xcalloc(1, sizeof(*ret->spec.bind));
			str_set(&ret->spec.bind->propagation, prop);
		}
		return 0;
	}
	str_set(&ret->name, source ? source : "");
	str_set(&ret->driver, volume_driver ? volume_driver : ""); /* none: that of an existing volume, else the default */
	if (source)
		str_set(&ret->spec.source, source);
	ret->copy_up = !mode_has(mode, "nocopy");
	return 0;
}

static int check_foreign(const struct mount_spec *m, struct err *err)
{
	const char *field = NULL;

	if (m->bind && !streq(m->type, "bind"))
		field = "BindOptions";
	else if (m->volume && !streq(m->type, "volume"))
		field = "VolumeOptions";
	else if (m->image && !streq(m->type, "image"))
		field = "ImageOptions";
	else if (m->tmpfs && !streq(m->type, "tmpfs"))
		field = "TmpfsOptions";
	if (!field)
		return 0;
	OWN_FREE char *text = xasprintf("field %s must not be specified", field);
	return config_error(m->type, err, text);
}

static int from_bind(const struct mount_spec *m, struct mount_point *ret, struct err *err)
{
	const char *prop = m->bind ? m->bind->propagation : NULL;
	OWN_FREE char *text = NULL;

	if (str_empty(m->source))
		return config_error("bind", err, "field Source must not be empty");
	if (!path_is_clean_absolute(m->source)) {
		text = xasprintf("invalid mount path: '%s' mount path must be absolute", m->source);
		return config_error("bind", err, text);
	}
	if (!str_empty(prop) && !is_word(prop, propagations)) {
		text = xasprintf("invalid propagation mode: %s", prop);
		return config_error("bind", err, text);
	}
	ret->source = path_clean(m->source);
	ret->skip_creation = !(m->bind && m->bind->create_mountpoint);
	str_set(&ret->propagation, str_empty(prop) ? "rprivate" : prop);
	if (ret->skip_creation && !fs_exists(ret->source)) {
		text = xasprintf("bind source path does not exist: %s", m->source);
		return config_error("bind", err, text);
	}
	return 0;
}

/* A relative path that names, taken as text, nothing above where it begins. */
static bool is_local(const char *path)
{
	OWN_STRV struct strv words = { 0 };
	size_t depth = 0;

	if (*path == '/' || strlen(path) >= 4096)
		return false;
	strv_split(&words, path, "/");
	for (size_t i = 0; i < words.len; i++) {
		if (!*words.v[i] || streq(words.v[i], "."))
			continue;
		if (!streq(words.v[i], ".."))
			depth++;
		else if (!depth--)
			return false;
	}
	return true;
}

static int check_subpath(const char *type, const char *subpath, bool anonymous, struct err *err)
{
	if (str_empty(subpath))
		return 0;
	if (anonymous)
		return config_error(type, err, "must not set Subpath when using anonymous volumes");
	return is_local(subpath) ? 0 : config_error(type, err, "subpath must be a relative path within the volume");
}

static int from_image(const struct mount_spec *m, struct mount_point *ret, struct err *err)
{
	if (str_empty(m->source))
		return config_error("image", err, "field Source must not be empty");
	if (m->image && check_subpath("image", m->image->subpath, false, err) < 0)
		return -1;
	str_set(&ret->name, m->source);
	ret->rw = false;
	return 0;
}

static int from_volume(const struct mount_spec *m, struct mount_point *ret, struct err *err)
{
	if (!str_empty(m->source) && check_volume_name(m->source, err) < 0)
		return -1;
	if (m->volume && check_subpath("volume", m->volume->subpath, str_empty(m->source), err) < 0)
		return -1;
	if (str_empty(m->source) && m->read_only)
		return config_error("volume", err, "must not set ReadOnly mode when using anonymous volumes");
	str_set(&ret->name, m->source ? m->source : "");
	str_set(&ret->driver, m->volume && m->volume->driver_config && !str_empty(m->volume->driver_config->name) ?
		m->volume->driver_config->name : "");
	str_set(&ret->mode, "z");
	ret->copy_up = !(m->volume && m->volume->no_copy);
	return 0;
}

/* TmpfsOptions.Options, [["noexec"],["key","value"]]: exec and noexec, as Docker takes them. Words go to ret, behind commas. */
int mount_tmpfs_words(const struct tmpfs_options *to, struct buf *ret, struct err *err)
{
	OWN_JSON json_t *js = NULL;
	json_t *item;
	size_t i;

	if (!to || str_empty(to->options) || streq(to->options, "null"))
		return 0;
	js = json_read(to->options, strlen(to->options), err);
	if (!js)
		return -1;
	if (!json_is_array(js))
		return config_error("tmpfs", err, "Options must be an array");
	json_array_foreach(js, i, item) {
		const char *word = json_string_value(json_array_get(item, 0));

		if (!word || json_array_size(item) > 2)
			return config_error("tmpfs", err, "invalid option array length");
		if (json_array_size(item) == 2 || (!streq(word, "exec") && !streq(word, "noexec"))) {
			OWN_FREE char *text = xasprintf("invalid option: %.64s", word);

			return config_error("tmpfs", err, text);
		}
		buf_addf(ret, ",%s", word);
	}
	return 0;
}

static int from_tmpfs(const struct mount_spec *m, struct err *err)
{
	if (!str_empty(m->source))
		return config_error("tmpfs", err, "field Source must not be specified");
	if (m->tmpfs && (m->tmpfs->size_bytes < 0 || m->tmpfs->mode < 0 || m->tmpfs->mode > 07777))
		return config_error("tmpfs", err, "invalid size or mode");
	OWN_BUF struct buf words = { 0 };
	return mount_tmpfs_words(m->tmpfs, &words, err);
}

int mount_from_spec(const struct mount_spec *m, struct mount_point *ret, struct err *err)
{
	const char *type = m->type ? m->type : "";
	int r;

	*ret = (struct mount_point){ .rw = !m->read_only };
	if (streq(type, "cluster"))
		return err_set(err, ERR_NOT_IMPLEMENTED, "mounts of type \"%s\" are not supported", type);
	if (check_target(type, m->target, err) < 0)
		return -1;
	if (!streq(type, "bind") && !streq(type, "volume") && !streq(type, "tmpfs") && !streq(type, "image"))
		return config_error(type, err, "mount type unknown");
	if (check_foreign(m, err) < 0)
		return -1;
	jdesc_copy(&mount_spec_desc, &ret->spec, m);
	str_set(&ret->type, type);
	ret->destination = path_clean(m->target);
	r = *type == 'b'   ? from_bind(m, ret, err)
	    : *type == 'v' ? from_volume(m, ret, err)
	    : *type == 'i' ? from_image(m, ret, err)
			   : from_tmpfs(m, err);
	if (r < 0)
		mount_point_done(ret);
	return r;
}

int mount_check_tmpfs(const char *path, const char *options, struct err *err)
{
	OWN_STRV struct strv words = { 0 };
	OWN_FREE char *clean = NULL;

	if (!path_is_clean_absolute(path))
		return err_set(err, ERR_INVALID, "invalid mount path: '%s' mount path must be absolute", path);
	clean = path_clean(path);
	if (streq(clean, "/"))
		return err_set(err, ERR_INVALID, "invalid specification: destination can't be '/'");
	if (str_empty(options))
		return 0;
	strv_split(&words, options, ",");
	for (size_t i = 0; i < words.len; i++) {
		const char *value = strchr(words.v[i], '=');
		OWN_FREE char *key = xstrndup(words.v[i], strcspn(words.v[i], "="));

		if (value && !is_word(key, tmpfs_data))
			return err_set(err, ERR_INVALID, "invalid tmpfs option [\"%s\" \"%s\"]", key, value + 1);
		if (!value && !is_word(key, tmpfs_flags))
			return err_set(err, ERR_INVALID, "invalid tmpfs option [\"%s\"]", key);
	}
	return 0;
}

/* The option that a word takes the place of: "exec" that of "noexec", "size=2" that of "size=1". */
static bool same_option(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	if (a[n] == '=')
		return strncmp(a, b, n + 1) == 0;
	if (str_has_prefix(a, "no") && streq(a + 2, b))
		return true;
	if (str_has_prefix(b, "no") && streq(b + 2, a))
		return true;
	return streq(a, b) || ((streq(a, "ro") || streq(a, "rw")) && (streq(b, "ro") || streq(b, "rw")));
}

static void merge_option(struct strv *v, const char *word)
{
	for (size_t i = 0; i < v->len; i++)
		if (same_option(word, v->v[i])) {
			str_set(&v->v[i], word);
			return;
		}
	strv_add(v, word);
}

void mount_tmpfs_options(const char *options, struct strv *ret)
{
	OWN_STRV struct strv words = { 0 };

	strv_add(ret, "noexec");
	strv_add(ret, "nosuid");
	strv_add(ret, "nodev");
	if (str_empty(options))
		return;
	strv_split(&words, options, ",");
	for (size_t i = 0; i < words.len; i++)
		if (*words.v[i] && !streq(words.v[i], "defaults"))
			merge_option(ret, words.v[i]);
}
