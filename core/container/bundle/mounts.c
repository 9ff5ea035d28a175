/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "mounts": the file systems every container has, unless one of its own stands there, then its own. */
#include "container/bundle/parts.h"

#include "container/bundle/cdi.h"
#include "container/bundle/security.h"

/* Options are words behind each other, NULL-terminated. */
static void put_mount(struct jw *w, const char *type, const char *source, const char *dest, const char *const *options, const char *more)
{
	jw_obj(w);
	jw_kstr(w, "destination", dest);
	jw_kstr(w, "type", type);
	jw_kstr(w, "source", source);
	jw_karr(w, "options");
	for (; *options; options++)
		jw_str(w, *options);
	if (more)
		jw_str(w, more);
	jw_arr_end(w);
	jw_obj_end(w);
}

static bool has_own(const struct bundle_in *in, const char *dest)
{
	for (size_t i = 0; i < in->n_mounts; i++)
		if (streq(in->mounts[i].destination, dest))
			return true;
	return false;
}

/* Docker's daemon lets the file of a device have the place. */
static bool is_edited(const struct bundle_in *in, const char *dest)
{
	for (size_t i = 0; in->edits && i < in->edits->mounts.len; i++)
		if (streq(((struct edit_mount *)jlist_at(&in->edits->mounts, i, &edit_mount_desc))->container_path, dest))
			return true;
	return false;
}

void bundle_mounts(const struct bundle_in *in, struct jw *w)
{
	static const char *const plain[] = { "nosuid", "noexec", "nodev", NULL };
	static const char *const dev[] = { "nosuid", "strictatime", "mode=755", "size=65536k", NULL };
	static const char *const pts[] = { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5", NULL };
	static const char *const ro[] = { "nosuid", "noexec", "nodev", "ro", NULL };
	static const char *const shm[] = { "nosuid", "noexec", "nodev", "mode=1777", NULL };
	static const char *const bind[] = { "rbind", "rprivate", NULL };
	const struct host_config *hc = in->host;
	bool rw_cgroup = hc->privileged || security_of(hc).writable_cgroups.v;
	bool own_dev = has_own(in, "/dev");
	OWN_FREE char *shm_size = xasprintf("size=%lld", (long long)hc->shm_size);

	jw_karr(w, "mounts");
	if (!has_own(in, "/proc"))
		put_mount(w, "proc", "proc", "/proc", plain, NULL);
	if (!own_dev) {
		put_mount(w, "tmpfs", "tmpfs", "/dev", dev, NULL);
		if (!has_own(in, "/dev/pts"))
			put_mount(w, "devpts", "devpts", "/dev/pts", pts, NULL);
	}
	if (!has_own(in, "/sys"))
		put_mount(w, "sysfs", "sysfs", "/sys", hc->privileged ? plain : ro, NULL);
	if (!has_own(in, "/sys/fs/cgroup"))
		put_mount(w, "cgroup", "cgroup", "/sys/fs/cgroup", rw_cgroup ? plain : ro, NULL);
	if (!own_dev && !has_own(in, "/dev/mqueue"))
		put_mount(w, "mqueue", "mqueue", "/dev/mqueue", plain, NULL);
	if (!has_own(in, "/dev/shm") && !own_dev) {
		if (in->shm_path)
			put_mount(w, "bind", in->shm_path, "/dev/shm", bind, NULL);
		else if (hc->ipc_mode && streq(hc->ipc_mode, "host"))
			put_mount(w, "bind", "/dev/shm", "/dev/shm", bind, NULL);
		else if (!hc->ipc_mode || !streq(hc->ipc_mode, "none"))
			put_mount(w, "tmpfs", "shm", "/dev/shm", shm, shm_size);
	}
	for (size_t i = 0; i < in->n_mounts; i++) {
		const struct bundle_mount *m = &in->mounts[i];
		const char *none[] = { NULL };

		if (is_edited(in, m->destination))
			continue;
		put_mount(w, m->type, m->source, m->destination, m->options.len ? (const char *const *)m->options.v : none, NULL);
	}
	for (size_t i = 0; in->edits && i < in->edits->mounts.len; i++) {
		const struct edit_mount *m = jlist_at(&in->edits->mounts, i, &edit_mount_desc);

		put_mount(w, str_empty(m->type) ? "bind" : m->type, m->host_path, m->container_path,
			m->options.len ? (const char *const *)m->options.v : bind, NULL);
	}
	jw_arr_end(w);
}
