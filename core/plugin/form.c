/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The form of a plugin's config.json: read as people write it, with keys in any case, and written as Docker does: its members, in its order. What it says is
 * judged by config.c.
 */
#include "base/cleanup.h"
#include "plugin/managed_i.h"

/* One of Env, Mounts and Devices; each uses some of it. The pointers that Docker prints as null are JSON texts here. */
struct setting { char *description, *name, *destination, *type, *text; struct strv settable, options; };
struct network { char *type; };
struct interface { char *scheme, *socket; struct strv types; };
struct linux_part { bool all_devices; struct strv capabilities; struct jlist devices; };
struct user { int64_t uid, gid; };
struct args { char *description, *name; struct strv settable, value; };
struct rootfs { struct strv diff_ids; char *type; };
struct form {
	struct args args;
	char *description, *version, *documentation, *propagated, *workdir;
	struct strv entrypoint;
	struct jlist env, mounts;
	struct interface interface;
	bool ipc_host, pid_host;
	struct linux_part linux_part;
	struct network network;
	struct user user;
	struct rootfs *rootfs;
};

#define ANY J_ANY_CASE
#define SETTING(member, key, type, flags) JFIELD(setting, member, key, type, ANY | (flags))
JDESC_STATIC(env_desc, setting,
	SETTING(description, "Description", J_STR, 0), SETTING(name, "Name", J_STR, 0), SETTING(settable, "Settable", J_STRV, 0), SETTING(text, "Value", J_RAW, 0));
JDESC_STATIC(mount_desc, setting,
	SETTING(description, "Description", J_STR, 0), SETTING(destination, "Destination", J_STR, 0), SETTING(name, "Name", J_STR, 0),
	SETTING(options, "Options", J_STRV, 0), SETTING(settable, "Settable", J_STRV, 0), SETTING(text, "Source", J_RAW, 0), SETTING(type, "Type", J_STR, 0));
JDESC_STATIC(device_desc, setting,
	SETTING(description, "Description", J_STR, 0), SETTING(name, "Name", J_STR, 0), SETTING(text, "Path", J_RAW, 0), SETTING(settable, "Settable", J_STRV, 0));
JDESC_STATIC(args_desc, args,
	JFIELD(args, description, "Description", J_STR, ANY), JFIELD(args, name, "Name", J_STR, ANY), JFIELD(args, settable, "Settable", J_STRV, ANY),
	JFIELD(args, value, "Value", J_STRV, ANY));
JDESC_STATIC(interface_desc, interface,
	JFIELD(interface, scheme, "ProtocolScheme", J_STR, ANY | J_OMITEMPTY), JFIELD(interface, socket, "Socket", J_STR, ANY),
	JFIELD(interface, types, "Types", J_STRV, ANY));
JDESC_STATIC(linux_desc, linux_part,
	JFIELD(linux_part, all_devices, "AllowAllDevices", J_BOOL, ANY), JFIELD(linux_part, capabilities, "Capabilities", J_STRV, ANY),
	JFIELD_SUB(linux_part, devices, "Devices", J_LIST, ANY, device_desc));
JDESC_STATIC(network_desc, network, JFIELD(network, type, "Type", J_STR, ANY));
JDESC_STATIC(user_desc, user, JFIELD(user, gid, "GID", J_I64, ANY | J_OMITEMPTY), JFIELD(user, uid, "UID", J_I64, ANY | J_OMITEMPTY));
JDESC_STATIC(rootfs_desc, rootfs, JFIELD(rootfs, diff_ids, "diff_ids", J_STRV, ANY | J_OMITEMPTY), JFIELD(rootfs, type, "type", J_STR, ANY | J_OMITEMPTY));
JDESC_STATIC(form_desc, form,
	JFIELD_SUB(form, args, "Args", J_OBJ, ANY, args_desc),
	JFIELD(form, description, "Description", J_STR, ANY),
	JFIELD(form, version, "DockerVersion", J_STR, ANY | J_OMITEMPTY),
	JFIELD(form, documentation, "Documentation", J_STR, ANY),
	JFIELD(form, entrypoint, "Entrypoint", J_STRV, ANY),
	JFIELD_SUB(form, env, "Env", J_LIST, ANY, env_desc),
	JFIELD_SUB(form, interface, "Interface", J_OBJ, ANY, interface_desc),
	JFIELD(form, ipc_host, "IpcHost", J_BOOL, ANY),
	JFIELD_SUB(form, linux_part, "Linux", J_OBJ, ANY, linux_desc),
	JFIELD_SUB(form, mounts, "Mounts", J_LIST, ANY, mount_desc),
	JFIELD_SUB(form, network, "Network", J_OBJ, ANY, network_desc),
	JFIELD(form, pid_host, "PidHost", J_BOOL, ANY),
	JFIELD(form, propagated, "PropagatedMount", J_STR, ANY),
	JFIELD_SUB(form, user, "User", J_OBJ, ANY, user_desc),
	JFIELD(form, workdir, "WorkDir", J_STR, ANY),
	JFIELD_SUB(form, rootfs, "rootfs", J_PTR, ANY | J_OMITEMPTY, rootfs_desc));

static int check_texts(const struct jlist *l, const struct jdesc *d, const char *what, struct err *err)
{
	for (size_t i = 0; i < l->len; i++) {
		const struct setting *s = jlist_at(l, i, d);

		if (s->text && *s->text != '"' && !streq(s->text, "null"))
			return err_set(err, ERR_INVALID, "%s \"%.100s\" is no text", what, s->name ? s->name : "");
	}
	return 0;
}

static void set_root(struct form *f, const char *digest)
{
	if (f->rootfs)
		jdesc_clear(&rootfs_desc, f->rootfs);
	else
		f->rootfs = xcalloc(1, sizeof(*f->rootfs));
	strv_add(&f->rootfs->diff_ids, digest);
	f->rootfs->type = xstrdup("layers");
	str_set(&f->version, PACKAGE_VERSION);
}

char *managed_form(const char *text, size_t size, const char *layer, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	struct form f = { 0 };
	struct jw w;
	int rc = jdesc_parse(&form_desc, text, size, &f, err);

	if (rc == 0)
		rc = check_texts(&f.env, &env_desc, "the variable", err) < 0 || check_texts(&f.mounts, &mount_desc, "the source of mount", err) < 0 ||
			check_texts(&f.linux_part.devices, &device_desc, "the path of device", err) < 0 ? -1 : 0;
	if (rc == 0 && layer)
		set_root(&f, layer);
	if (rc == 0) {
		jw_init(&w, &b);
		jdesc_encode(&form_desc, &f, &w);
	}
	jdesc_clear(&form_desc, &f);
	return rc == 0 ? buf_steal(&b) : NULL;
}
