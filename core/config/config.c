/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "config/value.h"

#define CONFIG_MAX (1024 * 1024)

const struct opt opts[OPT_COUNT] = {
#define OPT(kind_, field_, flag_, short_, key_, word_, def_, bits_, help_) \
	[OPT_ID_##field_] = { .kind = OPT_KIND_##kind_, .flag = flag_, .key = key_, .word = word_, .def = def_, .help = help_, \
		.field = #field_, .letter = short_, .bits = bits_, .offset = offsetof(struct config, field_) },
#include "config/options.tbl"
#undef OPT
};

static void machine_defaults(struct config *cfg);
static int read_config(const char *path, struct buf *ret, struct err *err);
static int parse_file(struct config *cfg, const char *path, struct err *err);
static void apply_environment(struct config *cfg);

void config_init(struct config *cfg)
{
	*cfg = (struct config){ 0 };
	for (int id = 0; id < OPT_COUNT; id++)
		if (opts[id].def && opts[id].kind != OPT_KIND_JSON && *opts[id].def)
			BUG_ON(opt_set_text(cfg, (enum opt_id)id, opts[id].def, NULL) < 0);
	for (int id = 0; id < OPT_COUNT; id++)
		if (opt_shape((enum opt_id)id) == SHAPE_STR && opts[id].def && !*opts[id].def)
			str_set(opt_field(cfg, (enum opt_id)id), "");
	machine_defaults(cfg);
}

void config_done(struct config *cfg)
{
	for (int id = 0; id < OPT_COUNT; id++)
		opt_clear(cfg, (enum opt_id)id);
	strmap_done(&cfg->runtime_args);
	strmap_done(&cfg->flag_runtimes);
	strmap_done(&cfg->driver_options);
	strv_done(&cfg->warnings);
	free(cfg->file);
	*cfg = (struct config){ 0 };
}

void config_free(struct config *cfg)
{
	if (!cfg)
		return;
	config_done(cfg);
	free(cfg);
}

int opt_by_key(const char *key)
{
	for (int id = 0; id < OPT_COUNT; id++)
		if (opts[id].key && streq(opts[id].key, key))
			return id;
	return -1;
}

int opt_by_flag(const char *flag, char letter)
{
	for (int id = 0; id < OPT_COUNT; id++)
		if (flag ? opts[id].flag && streq(opts[id].flag, flag) : opts[id].letter && opts[id].letter == letter)
			return id;
	return -1;
}

/* The file to read: the one asked for, which must exist, or a default one that does. Owned by the caller. */
static char *file_path(const struct config *cfg)
{
	OWN_FREE char *ini = NULL;

	if (cfg->from[OPT_ID_config_file] == FROM_FLAG || fs_exists(cfg->config_file))
		return xstrdup(cfg->config_file);
	ini = config_ini_path();
	return ini && fs_exists(ini) ? STEAL(ini) : NULL;
}

int config_load_file(struct config *cfg, struct err *err)
{
	OWN_FREE char *path = file_path(cfg);

	strmap_copy(&cfg->flag_runtimes, &cfg->runtimes);
	if (path && parse_file(cfg, path, err) < 0)
		return -1;
	apply_environment(cfg);
	return 0;
}

/* What the new file says and only a restart can do. */
static void note_ignored(const struct config *now, const struct config *file, struct config *next)
{
	for (int id = 0; id < OPT_COUNT; id++) {
		OWN_FREE char *before = NULL, *after = NULL;

		if (opts[id].bits & OPT_RELOAD || file->from[id] != FROM_FILE)
			continue;
		before = opt_text(now, (enum opt_id)id);
		after = opt_text(file, (enum opt_id)id);
		if (!streq(before, after))
			strv_addf(&next->warnings, "the new value of \"%s\" takes effect at the next start", opts[id].key);
	}
}

/* A pipe gives its text once: a second reading would wait for ever for somebody to write to it. */
static int readable_again(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
		return err_set(err, ERR_INVALID, "unable to configure the Docker daemon with file %s: it is no file that "
			"can be read a second time", path);
	return 0;
}

struct config *config_reload(const struct config *now, struct err *err)
{
	struct config *next = xcalloc(1, sizeof(*next));
	OWN_FREE char *path = file_path(now);
	struct config file;
	int failed = 0;

	config_init(&file);
	for (int id = 0; id < OPT_COUNT; id++)
		if (now->from[id] == FROM_FLAG)
			opt_copy(&file, now, (enum opt_id)id);
	opt_clear(&file, OPT_ID_runtimes);
	strmap_copy(&file.runtimes, &now->flag_runtimes);
	if (path)
		failed = readable_again(path, err) < 0 || parse_file(&file, path, err) < 0;
	if (!failed)
		failed = config_validate(&file, err);
	if (!failed)
		note_ignored(now, &file, next);
	for (int id = 0; id < OPT_COUNT && !failed; id++) {
		bool take = opts[id].bits & OPT_RELOAD && (file.from[id] == FROM_FILE || opts[id].bits & OPT_RESET);

		opt_copy(next, take ? &file : now, (enum opt_id)id);
	}
	if (!failed) {
		strmap_copy(&next->runtime_args, file.from[OPT_ID_runtimes] == FROM_FILE ? &file.runtime_args :
			&now->runtime_args);
		strmap_copy(&next->flag_runtimes, &now->flag_runtimes);
		strmap_copy(&next->driver_options, &file.driver_options);
		str_set(&next->file, file.file);
		next->min_minor = now->min_minor;
		next->systemd_cgroup = now->systemd_cgroup;
		next->no_cgroup = now->no_cgroup;
	}
	config_done(&file);
	if (failed) {
		config_free(next);
		return NULL;
	}
	return next;
}

/* ---- the file ---- */

static int read_config(const char *path, struct buf *ret, struct err *err)
{
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return err_set(err, ERR_INVALID, "open %s: %s", path, errno == ENOENT ? "no such file or directory" :
			strerror(errno));
	buf_reserve(ret, CONFIG_MAX + 1);
	n = fs_read_all(fd, ret->data, CONFIG_MAX + 1);
	if (n < 0)
		return err_set(err, ERR_INVALID, "read %s: %s", path, strerror(errno));
	if (n > CONFIG_MAX)
		return err_set(err, ERR_INVALID, "the file is larger than 1 MiB");
	ret->size = (size_t)n;
	ret->data[n] = '\0';
	return 0;
}

/* UTF-16 (either order, told by its byte order mark) to UTF-8. */
static int from_utf16(struct buf *b, bool big, struct err *err)
{
	OWN_BUF struct buf out = { 0 };
	const unsigned char *p = (unsigned char *)b->data + 2, *end = (unsigned char *)b->data + b->size;

	if ((end - p) % 2)
		return err_set(err, ERR_INVALID, "the file is cut in the middle of a UTF-16 character");
	while (p < end) {
		uint32_t c = big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];

		p += 2;
		if (c >= 0xd800 && c < 0xdc00 && p < end) {
			uint32_t low = big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];

			if (low < 0xdc00 || low > 0xdfff)
				return err_set(err, ERR_INVALID, "the file is not valid UTF-16");
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			p += 2;
		} else if (c >= 0xd800 && c < 0xe000) {
			return err_set(err, ERR_INVALID, "the file is not valid UTF-16");
		}
		if (c < 0x80) {
			buf_addc(&out, (char)c);
		} else if (c < 0x800) {
			buf_addc(&out, (char)(0xc0 | c >> 6));
			buf_addc(&out, (char)(0x80 | (c & 0x3f)));
		} else if (c < 0x10000) {
			buf_addc(&out, (char)(0xe0 | c >> 12));
			buf_addc(&out, (char)(0x80 | (c >> 6 & 0x3f)));
			buf_addc(&out, (char)(0x80 | (c & 0x3f)));
		} else {
			buf_addc(&out, (char)(0xf0 | c >> 18));
			buf_addc(&out, (char)(0x80 | (c >> 12 & 0x3f)));
			buf_addc(&out, (char)(0x80 | (c >> 6 & 0x3f)));
			buf_addc(&out, (char)(0x80 | (c & 0x3f)));
		}
	}
	buf_reset(b);
	buf_add(b, out.data ? out.data : "", out.size);
	return 0;
}

static int decode_bom(struct buf *b, struct err *err)
{
	if (b->size >= 3 && memcmp(b->data, "\xef\xbb\xbf", 3) == 0)
		buf_shift(b, 3);
	else if (b->size >= 2 && memcmp(b->data, "\xff\xfe", 2) == 0)
		return from_utf16(b, false, err);
	else if (b->size >= 2 && memcmp(b->data, "\xfe\xff", 2) == 0)
		return from_utf16(b, true, err);
	return 0;
}

static int parse_file(struct config *cfg, const char *path, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	size_t skip = 0;
	int failed;

	failed = read_config(path, &b, err);
	if (!failed)
		failed = decode_bom(&b, err);
	if (!failed) {
		while (skip < b.size && strchr(" \t\r\n", b.data[skip]) && b.data[skip])
			skip++;
		if (skip < b.size)
			failed = b.data[skip] == '{' ? config_parse_json(cfg, b.data + skip, b.size - skip, err) :
				config_parse_ini(cfg, b.data, b.size, err);
	}
	if (failed)
		return err_wrap(err, "unable to configure the Docker daemon with file %s", path);
	str_set(&cfg->file, path);
	return 0;
}

void config_note_conflict(const struct config *flags, enum opt_id id, const char *file_text, struct strv *conflicts)
{
	OWN_FREE char *mine = NULL;
	bool secret = opts[id].bits & OPT_PROXY;

	if (flags->from[id] != FROM_FLAG || opts[id].bits & OPT_MERGE)
		return;
	mine = opt_text(flags, id);
	strv_addf(conflicts, "%s: (from flag: %s, from file: %s)", opts[id].key, mine, secret ? "xxxxx" : file_text);
}

int config_conflict_error(const struct strv *unknown, struct strv *conflicts, struct err *err)
{
	OWN_FREE char *list = NULL;

	if (unknown->len) {
		list = strv_join(unknown, ", ");
		return err_set(err, ERR_INVALID, "the following directives don't match any configuration option: %s", list);
	}
	if (!conflicts->len)
		return 0;
	strv_sort(conflicts);
	list = strv_join(conflicts, ", ");
	return err_set(err, ERR_INVALID, "the following directives are specified both as a flag and in the "
		"configuration file: %s", list);
}

/* ---- machine and environment ---- */

static void tls_default(char **field, const char *name)
{
	const char *dir = getenv("DOCKER_CERT_PATH"), *home = getenv("HOME");
	OWN_FREE char *made = NULL;

	if (str_empty(dir))
		dir = getenv("DOCKER_CONFIG");
	made = !str_empty(dir) ? xasprintf("%s/%s", dir, name) : xasprintf("%s/.docker/%s", str_empty(home) ? "/root" :
		home, name);
	str_set(field, made);
}

static void machine_defaults(struct config *cfg)
{
	/* On the unified hierarchy containers get a cgroup namespace; on the old one the host's, as Docker has it. */
	if (!fs_exists("/sys/fs/cgroup/cgroup.controllers"))
		str_set(&cfg->default_cgroupns_mode, "host");
	tls_default(&cfg->tlscacert, "ca.pem");
	tls_default(&cfg->tlscert, "cert.pem");
	tls_default(&cfg->tlskey, "key.pem");
	cfg->min_minor = CONFIG_MIN_MINOR;
	config_rootless_defaults(cfg);
}

static void apply_environment(struct config *cfg)
{
	const char *driver = getenv("DOCKER_DRIVER"), *debug = getenv("DEBUG"), *api = getenv("DOCKER_MIN_API_VERSION"),
		*verify = getenv("DOCKER_TLS_VERIFY");

	if (!str_empty(driver))
		str_set(&cfg->storage_driver, driver);
	if (!str_empty(debug) && cfg->from[OPT_ID_debug] == FROM_DEFAULT)
		cfg->debug = str_to_bool(debug);
	if (!str_empty(api))
		str_set(&cfg->min_api_version, api);
	if (!str_empty(verify) && cfg->from[OPT_ID_tlsverify] == FROM_DEFAULT)
		cfg->tlsverify = true;
}
