/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files that a container finds as /etc/hostname, /etc/hosts and /etc/resolv.conf. */
#include <arpa/inet.h>

#include "container/internal.h"

#define HOST_FILE_MAX (1u << 20)

static int write_file(struct container *c, const char *dir, const char *name, const struct buf *b, char **field, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/%s", dir, name);

	if (fs_write_atomic(AT_FDCWD, path, b->data ? b->data : "", b->size, 0644, FS_RENAME_ONLY, err) < 0)
		return -1;
	container_set_text(c, field, path);
	return 0;
}

static void copy_host_file(const char *path, struct buf *b)
{
	OWN_ERR struct err ignored = ERR_INIT;

	if (fs_read(AT_FDCWD, path, HOST_FILE_MAX, b, &ignored) < 0)
		buf_reset(b);
}

/* One address for "host-gateway": what the daemon was told, else the network's gateway. */
static const char *host_gateway(const struct container *c, const struct net_endpoint *ep)
{
	const struct strv *told = c->store->deps.defaults ? c->store->deps.defaults->host_gateway_ips : NULL;

	return told && told->len ? told->v[0] : ep->gateway4;
}

/* "name:ip" or "name=ip". */
static int add_extra_hosts(const struct strv *extra, const char *gateway, struct buf *b, struct err *err)
{
	for (size_t i = 0; i < extra->len; i++) {
		size_t n = strcspn(extra->v[i], ":=");
		OWN_FREE char *name = xstrndup(extra->v[i], n);
		OWN_FREE char *ip = xstrdup(extra->v[i][n] ? extra->v[i] + n + 1 : "");
		size_t len = strlen(ip);
		unsigned char raw[16];

		if (streq(ip, "host-gateway")) {
			if (str_empty(gateway))
				return err_set(err, ERR_INVALID, "unable to derive the IP value for host-gateway");
			str_set(&ip, gateway);
			len = strlen(ip);
		}
		if (*ip == '[' && ip[len - 1] == ']') {
			ip[len - 1] = '\0';
			memmove(ip, ip + 1, len - 1);
		}
		if (!*name || strpbrk(name, " \t\n") || (inet_pton(AF_INET, ip, raw) != 1 && inet_pton(AF_INET6, ip, raw) != 1))
			return err_set(err, ERR_INVALID, "invalid IP address in add-host: \"%s\"", ip);
		buf_addf(b, "%s\t%s\n", ip, name);
	}
	return 0;
}

/* The container's own line: its name with the domain first. */
static void add_own_name(const struct container_config *cfg, const struct net_endpoint *ep, struct buf *b)
{
	const char *name = cfg->hostname ? cfg->hostname : "", *domain = cfg->domainname ? cfg->domainname : "";
	OWN_FREE char *full = xasprintf("%s%s%s", name, *domain ? "." : "", domain);
	size_t first = strcspn(full, "."), len = ep->ipv4 ? strcspn(ep->ipv4, "/") : 0;

	if (!len || !*name)
		return;
	buf_addf(b, "%.*s\t%s", (int)len, ep->ipv4, full);
	if (full[first])
		buf_addf(b, " %.*s", (int)first, full);
	buf_adds(b, "\n");
}

/* What the container asked for, else what the daemon gives all, else NULL. */
static const struct strv *either(const struct strv *own, const struct strv *general)
{
	return own->len ? own : general && general->len ? general : NULL;
}

/* A resolver that only the host itself reaches, or one of a family that the container has not. */
static bool is_out_of_reach(const char *line)
{
	const char *server = line + strlen("nameserver");

	server += strspn(server, " \t");
	return str_has_prefix(server, "127.") || strchr(server, ':');
}

/* systemd's own stub is of no use outside; the servers behind it stand in another file. */
static void read_host_resolv(struct buf *host)
{
	OWN_STRV struct strv lines = { 0 };
	size_t servers = 0, stubs = 0;

	copy_host_file("/etc/resolv.conf", host);
	strv_split(&lines, host->data ? host->data : "", "\n");
	for (size_t i = 0; i < lines.len; i++) {
		if (!str_has_prefix(lines.v[i], "nameserver"))
			continue;
		servers++;
		stubs += strstr(lines.v[i], "127.0.0.53") != NULL;
	}
	if (servers && servers == stubs && fs_exists("/run/systemd/resolve/resolv.conf")) {
		buf_reset(host);
		copy_host_file("/run/systemd/resolve/resolv.conf", host);
	}
}

/* The host's file with the lines that are answered otherwise left out. */
static bool add_host_lines(const struct buf *host, bool filter, bool servers, bool search, bool options, struct buf *b)
{
	OWN_STRV struct strv lines = { 0 };
	bool any = false;

	strv_split(&lines, host->data ? host->data : "", "\n");
	for (size_t i = 0; i < lines.len; i++) {
		const char *l = lines.v[i];

		if (str_has_prefix(l, "nameserver")) {
			if (!servers || (filter && is_out_of_reach(l)))
				continue;
			any = true;
		} else if ((str_has_prefix(l, "search") && !search) || (str_has_prefix(l, "options") && !options)) {
			continue;
		}
		if (*l)
			buf_addf(b, "%s\n", l);
	}
	return any;
}

static void resolv_conf(const struct container *c, bool filter, struct buf *b)
{
	static const struct daemon_defaults none;
	const struct daemon_defaults *d = c->store->deps.defaults ? c->store->deps.defaults : &none;
	const struct strv *dns = either(&c->host.dns, d->dns), *search = either(&c->host.dns_search, d->dns_search),
		*options = either(&c->host.dns_options, d->dns_opts);
	OWN_BUF struct buf host = { 0 };

	read_host_resolv(&host);
	if (search && !(search->len == 1 && streq(search->v[0], "."))) {
		OWN_FREE char *words = strv_join(search, " ");

		buf_addf(b, "search %s\n", words);
	}
	for (size_t i = 0; dns && i < dns->len; i++)
		buf_addf(b, "nameserver %s\n", dns->v[i]);
	/* Docker's last resort */
	if (!add_host_lines(&host, filter, !dns, !search, !options, b) && !dns && filter)
		buf_adds(b, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
	if (options) {
		OWN_FREE char *words = strv_join(options, " ");

		buf_addf(b, "options %s\n", words);
	}
}

int netfiles_share(struct container *c, struct container *other, struct err *err)
{
	OWN_FREE char *name = NULL, *domain = NULL, *hostname = NULL, *hosts = NULL, *resolv = NULL;

	lock_take(&other->lock);
	name = xstrdup(other->rec.config.hostname);
	domain = xstrdup(other->rec.config.domainname);
	hostname = xstrdup(other->rec.hostname_path);
	hosts = xstrdup(other->rec.hosts_path);
	resolv = xstrdup(other->rec.resolv_path);
	lock_drop(&other->lock);
	if (str_empty(hostname) || str_empty(hosts) || str_empty(resolv))
		return err_set(err, ERR_CONFLICT, "container %s has no files of a network to share", other->id);
	container_set_text(c, &c->rec.config.hostname, name);
	container_set_text(c, &c->rec.config.domainname, domain);
	container_set_text(c, &c->rec.hostname_path, hostname);
	container_set_text(c, &c->rec.hosts_path, hosts);
	container_set_text(c, &c->rec.resolv_path, resolv);
	return 0;
}

int netfiles_write(struct container *c, const char *mode, const struct net_endpoint *ep, struct err *err)
{
	OWN_FREE char *dir = container_dir(c);
	OWN_BUF struct buf hostname = { 0 };
	OWN_BUF struct buf hosts = { 0 };
	OWN_BUF struct buf resolv = { 0 };
	OWN_STRV struct strv links = { 0 };

	buf_addf(&hostname, "%s\n", c->rec.config.hostname ? c->rec.config.hostname : "");
	if (streq(mode, "host"))
		copy_host_file("/etc/hosts", &hosts);
	else
		buf_adds(&hosts, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n"
			"ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n");
	if (add_extra_hosts(&c->host.extra_hosts, host_gateway(c, ep), &hosts, err) < 0)
		return -1;
	if (links_collect(c, false, &links, NULL, err) < 0)
		return -1;
	for (size_t i = 0; i < links.len; i++)
		buf_addf(&hosts, "%s\n", links.v[i]);
	add_own_name(&c->rec.config, ep, &hosts);
	resolv_conf(c, !streq(mode, "host"), &resolv);
	if (write_file(c, dir, "hostname", &hostname, &c->rec.hostname_path, err) < 0 ||
	    write_file(c, dir, "hosts", &hosts, &c->rec.hosts_path, err) < 0 ||
	    write_file(c, dir, "resolv.conf", &resolv, &c->rec.resolv_path, err) < 0)
		return -1;
	return 0;
}
