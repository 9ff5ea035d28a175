/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Device nodes and the device cgroup's rules of an OCI configuration. */
#include "container/bundle/parts.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.h"
#include "container/bundle/cdi.h"

struct node { char type; unsigned major, minor; mode_t mode; uid_t uid; gid_t gid; };

static bool read_node(const char *path, struct node *n)
{
	struct stat st;

	if (stat(path, &st) < 0 || (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)))
		return false;
	*n = (struct node){ S_ISBLK(st.st_mode) ? 'b' : 'c', major(st.st_rdev), minor(st.st_rdev), st.st_mode & 07777, st.st_uid, st.st_gid };
	return true;
}

static void put_node(struct jw *w, const char *path, const struct node *n)
{
	char type[2] = { n->type, 0 };

	jw_obj(w);
	jw_kstr(w, "path", path);
	jw_kstr(w, "type", type);
	jw_kint(w, "major", n->major);
	jw_kint(w, "minor", n->minor);
	jw_kint(w, "fileMode", n->mode);
	jw_kint(w, "uid", n->uid);
	jw_kint(w, "gid", n->gid);
	jw_obj_end(w);
}

static void put_bind(struct jw *w, const char *host, const char *inside)
{
	jw_obj(w);
	jw_kstr(w, "destination", inside);
	jw_kstr(w, "type", "bind");
	jw_kstr(w, "source", host);
	jw_karr(w, "options");
	jw_str(w, "bind");
	jw_str(w, "rprivate");
	jw_str(w, "nosuid");
	jw_str(w, "noexec");
	jw_arr_end(w);
	jw_obj_end(w);
}

static void put_rule(struct jw *w, const struct node *n, const char *access)
{
	char type[2] = { n->type, 0 };

	jw_obj(w);
	jw_kbool(w, "allow", true);
	jw_kstr(w, "type", type);
	jw_kint(w, "major", n->major);
	jw_kint(w, "minor", n->minor);
	jw_kstr(w, "access", access);
	jw_obj_end(w);
}

/* Folders of a host's /dev that are not devices of it: the runtime makes its own. */
static bool is_own_dir(const char *name)
{
	static const char *const own[] = { "pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev" };

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (streq(name, own[i]))
			return true;
	return false;
}

/* all: also what a container's own /dev has. made counts. */
struct device_sink { struct jw *nodes, *rules, *binds; const char *access; bool all; size_t made; };

static void add_device(struct device_sink *s, const char *host, const char *inside)
{
	struct node n;

	if (!read_node(host, &n))
		return;
	s->made++;
	if (s->nodes)
		put_node(s->nodes, inside, &n);
	if (s->rules)
		put_rule(s->rules, &n, s->access);
	if (s->binds)
		put_bind(s->binds, host, inside);
}

static void add_folder(struct device_sink *s, const char *host, const char *inside, int depth)
{
	OWN_DIR DIR *d = opendir(host);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		OWN_FREE char *h = NULL, *c = NULL;
		struct stat st;

		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		if (!s->all && (e->d_name[0] == '.' || is_own_dir(e->d_name) || streq(e->d_name, "console")))
			continue;
		h = xasprintf("%s/%s", host, e->d_name);
		c = xasprintf("%s/%s", inside, e->d_name);
		if (lstat(h, &st) < 0 || S_ISLNK(st.st_mode))
			continue;
		if (S_ISDIR(st.st_mode)) {
			if (depth < 8)
				add_folder(s, h, c, depth + 1);
		} else {
			add_device(s, h, c);
		}
	}
}

static int each_mapping(const struct host_config *hc, struct jw *nodes, struct jw *rules, struct jw *binds, struct err *err)
{
	for (size_t i = 0; i < hc->devices.len; i++) {
		const struct device_mapping *d = jlist_at(&hc->devices, i, &device_mapping_desc);
		const char *inside = str_empty(d->path_in_container) ? d->path_on_host : d->path_in_container;
		struct device_sink s = { nodes, rules, binds, str_empty(d->cgroup_permissions) ? "rwm" : d->cgroup_permissions, true, 0 };
		struct stat st;

		/* a privileged container has the host's already, under their names there */
		if (hc->privileged && streq(inside, d->path_on_host))
			continue;

		if (stat(d->path_on_host, &st) < 0)
			return err_set(err, ERR_INVALID, "error gathering device information while adding custom device \"%s\": %s",
				d->path_on_host, errno == ENOENT ? "no such file or directory" : strerror(errno));
		if (S_ISDIR(st.st_mode))
			add_folder(&s, d->path_on_host, inside, 0);
		else
			add_device(&s, d->path_on_host, inside);
		if (!s.made)
			return err_set(err, ERR_INVALID, "error gathering device information while adding custom device \"%s\": not a device node", d->path_on_host);
	}
	return 0;
}

/* A node of an edit, with what it leaves open taken from the host's. */
static int edit_read(const struct edit_node *e, struct node *n, struct err *err)
{
	const char *host = str_empty(e->host_path) ? e->path : e->host_path;

	*n = (struct node){ .mode = 0666 };
	if ((!e->major.set || str_empty(e->type)) && !read_node(host, n))
		return err_set(err, ERR_INVALID, "CDI device injection failed: failed to stat CDI host device \"%.256s\"", host);
	if (!str_empty(e->type))
		n->type = streq(e->type, "u") ? 'c' : *e->type;
	if (e->major.set) {
		n->major = (unsigned)e->major.v;
		n->minor = (unsigned)e->minor.v;
	}
	if (e->mode.set)
		n->mode = (mode_t)e->mode.v & 07777;
	return 0;
}

static int put_edited(const struct device_edits *edits, uint32_t uid, uint32_t gid, struct jw *w, struct err *err)
{
	for (size_t i = 0; edits && i < edits->nodes.len; i++) {
		const struct edit_node *e = jlist_at(&edits->nodes, i, &edit_node_desc);
		struct node n;

		if (edit_read(e, &n, err) < 0)
			return -1;
		/* the container's user may use it, unless the file says whose it is */
		n.uid = e->uid.set ? (uid_t)e->uid.v : uid ? uid : n.uid;
		n.gid = e->gid.set ? (gid_t)e->gid.v : gid ? gid : n.gid;
		put_node(w, e->path, &n);
	}
	return 0;
}

static int allow_edited(const struct device_edits *edits, struct jw *w, struct err *err)
{
	for (size_t i = 0; edits && i < edits->nodes.len; i++) {
		const struct edit_node *e = jlist_at(&edits->nodes, i, &edit_node_desc);
		struct node n;

		if (edit_read(e, &n, err) < 0)
			return -1;
		if (n.type != 'p')
			put_rule(w, &n, str_empty(e->permissions) ? "rwm" : e->permissions);
	}
	return 0;
}

int bundle_device_nodes(const struct host_config *hc, const struct device_edits *edits, uint32_t uid, uint32_t gid, struct jw *w, struct err *err)
{
	if (hc->privileged) {
		struct device_sink s = { w, NULL, NULL, NULL, false, 0 };

		add_folder(&s, "/dev", "/dev", 0);
	}
	return each_mapping(hc, w, NULL, NULL, err) < 0 ? -1 : put_edited(edits, uid, gid, w, err);
}

void bundle_device_binds(const struct host_config *hc, const struct device_edits *edits, struct jw *w)
{
	OWN_ERR struct err told_later = ERR_INIT;

	each_mapping(hc, NULL, NULL, w, &told_later);
	for (size_t i = 0; edits && i < edits->nodes.len; i++) {
		const struct edit_node *e = jlist_at(&edits->nodes, i, &edit_node_desc);

		put_bind(w, str_empty(e->host_path) ? e->path : e->host_path, e->path);
	}
}

static bool number_or_star(const char *s, int64_t *ret)
{
	*ret = -1;
	return streq(s, "*") || (str_to_i64(s, ret) && *ret >= 0 && *ret <= UINT32_MAX);
}

bool bundle_device_rule(const char *rule, struct jw *w)
{
	char type[2], maj[16], min[16], access[8];
	int64_t a, b;
	int used = 0;

	if (sscanf(rule, "%1[abc] %15[0-9*]:%15[0-9*] %7[rwm]%n", type, maj, min, access, &used) != 4 || rule[used] || strlen(access) > 3 ||
	    strstr(rule, "  "))
		return false;
	if (!number_or_star(maj, &a) || !number_or_star(min, &b))
		return false;
	if (!w)
		return true;
	jw_obj(w);
	jw_kbool(w, "allow", true);
	jw_kstr(w, "type", type);
	if (a >= 0)
		jw_kint(w, "major", a);
	if (b >= 0)
		jw_kint(w, "minor", b);
	jw_kstr(w, "access", access);
	jw_obj_end(w);
	return true;
}

int bundle_device_rules(const struct host_config *hc, const struct device_edits *edits, struct jw *w, struct err *err)
{
	/* null zero full random urandom tty console; everything else is denied. The runtime adds ptmx and pts itself. */
	static const char *const allowed[] = { "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:1 rwm" };

	jw_obj(w);
	jw_kbool(w, "allow", hc->privileged);
	jw_kstr(w, "access", "rwm");
	jw_obj_end(w);
	if (hc->privileged)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		bundle_device_rule(allowed[i], w);
	if (each_mapping(hc, NULL, w, NULL, err) < 0 || allow_edited(edits, w, err) < 0)
		return -1;
	for (size_t i = 0; i < hc->device_cgroup_rules.len; i++)
		bundle_device_rule(hc->device_cgroup_rules.v[i], w);
	return 0;
}
