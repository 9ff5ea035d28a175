/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "mounts": the file systems every container has, unless one of its own stands there, then its own. */
#include "container/bundle/parts.h"

#include <sys/statvfs.h>

#include "base/fs.h"
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

/* What the host has set on a mount, nobody in a user namespace may take away: without these words a bind that is changed is refused. */
static void add_locked(const char *source, struct strv *options)
{
	static const struct { unsigned long flag; const char *word; } locked[] = {
		{ ST_RDONLY, "ro" }, { ST_NOSUID, "nosuid" }, { ST_NODEV, "nodev" }, { ST_NOEXEC, "noexec" }, { ST_NOATIME, "noatime" },
		{ ST_NODIRATIME, "nodiratime" }, { ST_RELATIME, "relatime" },
	};
	struct statvfs st;

	if (statvfs(source, &st) < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(locked); i++)
		if (st.f_flag & locked[i].flag && !strv_contains(options, locked[i].word))
			strv_add(options, locked[i].word);
}

static void put_container_mount(const struct bundle_in *in, const struct bundle_mount *m, struct jw *w)
{
	static const char *const none[] = { NULL };
	OWN_STRV struct strv options = { 0 };

	strv_copy(&options, &m->options);
	if (in->defaults->rootless && streq(m->type, "bind"))
		add_locked(m->source, &options);
	put_mount(w, m->type, m->source, m->destination, options.len ? (const char *const *)options.v : none, NULL);
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
	/* of processes that are not those of a namespace of ours */
	static const char *const proc[] = { "rbind", "nosuid", "noexec", "nodev", NULL };
	const struct host_config *hc = in->host;
	/* in a user namespace the owners of the files decide, as in Docker */
	bool rw_cgroup = hc->privileged || in->ids || security_of(hc).writable_cgroups.v;
	bool own_dev = has_own(in, "/dev"), host_ipc = hc->ipc_mode && streq(hc->ipc_mode, "host");
	bool host_pid = hc->pid_mode && streq(hc->pid_mode, "host");
	OWN_FREE char *shm_size = xasprintf("size=%lld", (long long)hc->shm_size);

	jw_karr(w, "mounts");
	if (!has_own(in, "/proc") && in->defaults->rootless && host_pid)
		put_mount(w, "bind", "/proc", "/proc", proc, NULL);
	else if (!has_own(in, "/proc"))
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
	/* the host's message queues are not the user namespace's to mount */
	if (!own_dev && !has_own(in, "/dev/mqueue") && !(bundle_nested(in) && host_ipc))
		put_mount(w, "mqueue", "mqueue", "/dev/mqueue", plain, NULL);
	else if (!own_dev && !has_own(in, "/dev/mqueue") && fs_exists("/dev/mqueue"))
		put_mount(w, "bind", "/dev/mqueue", "/dev/mqueue", bind, NULL);
	if (!has_own(in, "/dev/shm") && !own_dev) {
		if (in->shm_path)
			put_mount(w, "bind", in->shm_path, "/dev/shm", bind, NULL);
		else if (host_ipc)
			put_mount(w, "bind", "/dev/shm", "/dev/shm", bind, NULL);
		else if (!hc->ipc_mode || !streq(hc->ipc_mode, "none"))
			put_mount(w, "tmpfs", "shm", "/dev/shm", shm, shm_size);
	}
	if (bundle_nested(in))
		bundle_device_binds(hc, in->edits, w);
	for (size_t i = 0; i < in->n_mounts; i++) {
		const struct bundle_mount *m = &in->mounts[i];

		if (is_edited(in, m->destination))
			continue;
		put_container_mount(in, m, w);
	}
	for (size_t i = 0; in->edits && i < in->edits->mounts.len; i++) {
		const struct edit_mount *m = jlist_at(&in->edits->mounts, i, &edit_mount_desc);

		put_mount(w, str_empty(m->type) ? "bind" : m->type, m->host_path, m->container_path,
			m->options.len ? (const char *const *)m->options.v : bind, NULL);
	}
	jw_arr_end(w);
}
