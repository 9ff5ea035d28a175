/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <strings.h>

#include "size.h"
#include "thin.h"

#define GIB (UINT64_C(1) << 30)
/* What the kernel takes for a block of data: 64 KiB to 1 GiB, in steps of 64 KiB. */
#define BLOCK_STEP 128
#define BLOCK_MAX (1u << 21)

struct row;
typedef int set_fn(struct dm_options *o, const struct row *row, const char *value, struct dm_error *e);

struct row {
	const char *name;
	set_fn *set;
	size_t at;      /* in struct dm_options */
	unsigned limit; /* of percentages */
};

static set_fn set_size, set_base_size, set_fs, set_mkfs_arg, set_mount_option, set_text, set_pool, set_bool, set_discard, set_block, set_min_free,
	set_retries, set_percent, set_level;
static int check(struct dm_options *o, bool removal, bool deletion, bool defers, struct dm_error *e);

#define AT(member) offsetof(struct dm_options, member)
static const struct row rows[] = {
	{ "basesize", set_base_size, 0, 0 },
	{ "loopdatasize", set_size, AT(data_size), 0 },
	{ "loopmetadatasize", set_size, AT(meta_size), 0 },
	{ "fs", set_fs, 0, 0 },
	{ "mkfsarg", set_mkfs_arg, 0, 0 },
	{ "mountopt", set_mount_option, 0, 0 },
	{ "datadev", set_text, AT(data_device), 0 },
	{ "metadatadev", set_text, AT(meta_device), 0 },
	{ "thinpooldev", set_pool, 0, 0 },
	{ "blkdiscard", set_discard, 0, 0 },
	{ "blocksize", set_block, 0, 0 },
	{ "override_udev_sync_check", set_bool, AT(override_udev), 0 },
	{ "use_deferred_removal", set_bool, AT(deferred_removal), 0 },
	{ "use_deferred_deletion", set_bool, AT(deferred_deletion), 0 },
	{ "min_free_space", set_min_free, 0, 0 },
	{ "xfs_nospace_max_retries", set_retries, 0, 0 },
	{ "libdm_log_level", set_level, 0, 0 },
	{ "directlvm_device", set_text, AT(lvm.device), 0 },
	{ "directlvm_device_force", set_bool, AT(lvm.force), 0 },
	{ "thinp_percent", set_percent, AT(lvm.percent), 99 },
	{ "thinp_metapercent", set_percent, AT(lvm.meta_percent), 99 },
	{ "thinp_autoextend_percent", set_percent, AT(lvm.extend_percent), 100 },
	{ "thinp_autoextend_threshold", set_percent, AT(lvm.extend_threshold), 100 },
};

/* "dm.fs"; "devicemapper.fs" and "devicemapper.dm.fs" of the configuration's section. */
static const char *bare(const char *key)
{
	if (strncasecmp(key, "devicemapper.", 13) == 0)
		return strncasecmp(key + 13, "dm.", 3) == 0 ? key + 16 : key + 13;
	return strncasecmp(key, "dm.", 3) == 0 ? key + 3 : "";
}

int dm_options_parse(struct dm_options *o, const struct dkd_pair *v, uint32_t len, bool defers, struct dm_error *e)
{
	*o = (struct dm_options){
		.base_size = 10 * GIB, .data_size = 100 * GIB, .meta_size = 2 * GIB, .discard = true, .block_sectors = 128,
		.deferred_removal = defers, .deferred_deletion = defers, .min_free = 10, .log_level = THIN_LOG_FATAL,
	};
	for (uint32_t i = 0; i < len; i++) {
		const char *name = bare(v[i].key);
		size_t n = 0;

		while (n < sizeof(rows) / sizeof(rows[0]) && strcasecmp(rows[n].name, name) != 0)
			n++;
		if (n == sizeof(rows) / sizeof(rows[0]))
			return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: Unknown option %s", v[i].key);
		if (rows[n].set(o, &rows[n], v[i].value ? v[i].value : "", e) < 0)
			return -1;
	}
	return check(o, o->deferred_removal, o->deferred_deletion, defers, e);
}

void dm_options_done(struct dm_options *o)
{
	for (unsigned i = 0; i < o->mkfs_args_len; i++)
		free(o->mkfs_args[i]);
	free(o->data_device);
	free(o->meta_device);
	free(o->pool);
	free(o->lvm.device);
	*o = (struct dm_options){ 0 };
}

/* What options say together */

static int check_lvm(const struct dm_options *o, struct dm_error *e)
{
	const struct dm_lvm_options *l = &o->lvm;

	if (!l->device && (l->percent || l->meta_percent || l->extend_percent || l->extend_threshold))
		return dm_refuse(e, DKD_ERR_INVALID, 0, "must provide device path in `dm.directlvm_device` in order to configure direct-lvm");
	if (!l->percent != !l->meta_percent)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "must set both `dm.thinp_percent` and `dm.thinp_metapercent` if either is specified");
	if (l->percent + l->meta_percent > 100)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "combined `dm.thinp_percent` and `dm.thinp_metapercent` must not be greater than 100");
	if (l->device && o->pool)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "cannot setup direct-lvm when `dm.thinpooldev` is also specified");
	return 0;
}

static int check(struct dm_options *o, bool removal, bool deletion, bool defers, struct dm_error *e)
{
	if (removal && !defers)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: Deferred removal can not be enabled as kernel does not support it");
	if (deletion && !removal)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: Deferred deletion can not be enabled as deferred removal is not enabled. "
			"Enable deferred removal using --storage-opt dm.use_deferred_removal=true parameter");
	if (o->pool && (o->data_device || o->meta_device))
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: dm.thinpooldev names a whole pool: dm.datadev and dm.metadatadev cannot be given beside it");
	/* on whole devices it is seldom of use, and slow */
	if (!o->discard_given && (o->data_device || o->pool || o->lvm.device))
		o->discard = false;
	return check_lvm(o, e);
}

/* Values */

static int out_of_memory(struct dm_error *e)
{
	return dm_refuse(e, DKD_ERR_INTERNAL, ENOMEM, "devmapper: options");
}

static int parse_size(const char *value, uint64_t *ret, struct dm_error *e)
{
	if (size_parse(value, ret))
		return 0;
	return dm_refuse(e, DKD_ERR_INVALID, 0, "invalid size: '%s'", value);
}

static int parse_number(const char *value, uint64_t most, uint64_t *ret, const char *before, struct dm_error *e)
{
	char *end;

	errno = 0;
	*ret = strtoull(value, &end, 10);
	if (!isdigit((unsigned char)*value) || *end)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "%sstrconv.ParseUint: parsing \"%s\": invalid syntax", before, value);
	if (errno || *ret > most)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "%sstrconv.ParseUint: parsing \"%s\": value out of range", before, value);
	return 0;
}

/* A number with or without a percent sign. */
static int parse_percent(const char *value, const char *before, uint64_t *ret, struct dm_error *e)
{
	size_t len = strlen(value);
	char number[32];

	if (len && value[len - 1] == '%')
		len--;
	snprintf(number, sizeof(number), "%.*s", (int)len, value);
	return parse_number(number, UINT32_MAX, ret, before, e);
}

static int set_size(struct dm_options *o, const struct row *row, const char *value, struct dm_error *e)
{
	return parse_size(value, (uint64_t *)(void *)((char *)o + row->at), e);
}

static int set_base_size(struct dm_options *o, const struct row *row, const char *value, struct dm_error *e)
{
	(void)row;
	o->base_size_given = true;
	return parse_size(value, &o->base_size, e);
}

static int set_fs(struct dm_options *o, const struct row *row, const char *value, struct dm_error *e)
{
	(void)row;
	if (strcmp(value, "ext4") != 0 && strcmp(value, "xfs") != 0)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: Unsupported filesystem %s", value);
	snprintf(o->fs, sizeof(o->fs), "%s", value);
	return 0;
}

static int set_mkfs_arg(struct dm_options *o, const struct row *row, const char *value, struct dm_error *e)
{
	(void)row;
	if (o->mkfs_args_len == DM_MKFS_ARGS)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: more than %d times dm.mkfsarg", DM_MKFS_ARGS);
	o->mkfs_args[o->mkfs_args_len] = strdup(value);
	return o->mkfs_args[o->mkfs_args_len] ? o->mkfs_args_len++, 0 : out_of_memory(e);
}

static int set_mount_option(struct dm_options *o, const struct row *row, const char *value, struct dm_error *e)
{
	size_t used = strlen(o->mount_options), room = sizeof(o->mount_options) - used;

	(void)row;
	if (!*value)
		return 0;
	if ((size_t)snprintf(o->mount_options + used, room, "%s%s", used ? "," : "", value) >= room)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: dm.mountopt is longer than %zu bytes", sizeof(o->mount_options) - 1);
	return 0;
}

static int set_text(struct dm_options *o, const struct row *row, const char *value, struct dm_error *e)
{
	char **at = (char **)(void *)((char *)o + row->at);

	free(*at);
	*at = *value ? strdup(value) : NULL;
	return *value && !*at ? out_of_memory(e) : 0;
}

static int set_pool(struct dm_options *o, const struct row *row, const char *value, struct dm_error *e)
{
	(void)row;
	if (strncmp(value, "/dev/mapper/", 12) == 0)
		value += 12;
	if (strchr(value, '/') || strlen(value) >= THIN_NAME_MAX)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: dm.thinpooldev=%s is no name below /dev/mapper", value);
	free(o->pool);
	o->pool = *value ? strdup(value) : NULL;
	return *value && !o->pool ? out_of_memory(e) : 0;
}

static int set_bool(struct dm_options *o, const struct row *row, const char *value, struct dm_error *e)
{
	static const char *const words[] = { "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(value, words[i]) == 0)
			return *(bool *)((char *)o + row->at) = i < 6, 0;
	return dm_refuse(e, DKD_ERR_INVALID, 0, "strconv.ParseBool: parsing \"%s\": invalid syntax", value);
}

static int set_discard(struct dm_options *o, const struct row *row, const char *value, struct dm_error *e)
{
	struct row there = *row;

	there.at = AT(discard);
	o->discard_given = true;
	return set_bool(o, &there, value, e);
}

static int set_block(struct dm_options *o, const struct row *row, const char *value, struct dm_error *e)
{
	uint64_t bytes;

	(void)row;
	if (parse_size(value, &bytes, e) < 0)
		return -1;
	if (bytes % (BLOCK_STEP * THIN_SECTOR) || bytes == 0 || bytes / THIN_SECTOR > BLOCK_MAX)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: dm.blocksize=%s: a multiple of 64K is needed, up to 1G", value);
	o->block_sectors = (uint32_t)(bytes / THIN_SECTOR);
	return 0;
}

static int set_min_free(struct dm_options *o, const struct row *row, const char *value, struct dm_error *e)
{
	size_t len = strlen(value);
	uint64_t n;

	(void)row;
	if (!len || value[len - 1] != '%')
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: Option dm.min_free_space requires %% suffix");
	if (parse_percent(value, "", &n, e) < 0)
		return -1;
	if (n >= 100)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: Invalid value %s for option dm.min_free_space", value);
	o->min_free = (unsigned)n;
	return 0;
}

static int set_retries(struct dm_options *o, const struct row *row, const char *value, struct dm_error *e)
{
	uint64_t n;

	(void)row;
	if (parse_number(value, UINT64_MAX, &n, "", e) < 0)
		return -1;
	snprintf(o->nospace_retries, sizeof(o->nospace_retries), "%llu", (unsigned long long)n);
	return 0;
}

static int set_percent(struct dm_options *o, const struct row *row, const char *value, struct dm_error *e)
{
	char before[128];
	uint64_t n;

	snprintf(before, sizeof(before), "could not parse `dm.%s=%.40s`: ", row->name, value);
	if (parse_percent(value, before, &n, e) < 0)
		return -1;
	if (n > row->limit)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "dm.%s must be greater than 0 and less than 100", row->name);
	*(unsigned *)(void *)((char *)o + row->at) = (unsigned)n;
	return 0;
}

static int set_level(struct dm_options *o, const struct row *row, const char *value, struct dm_error *e)
{
	char before[96];
	uint64_t n;

	(void)row;
	snprintf(before, sizeof(before), "could not parse `dm.libdm_log_level=%.40s`: ", value);
	if (parse_number(value, INT32_MAX, &n, before, e) < 0)
		return -1;
	if (n < THIN_LOG_FATAL || n > THIN_LOG_DEBUG)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "dm.libdm_log_level must be in range [%d,%d]", THIN_LOG_FATAL, THIN_LOG_DEBUG);
	o->log_level = (int)n;
	return 0;
}
