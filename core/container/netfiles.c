/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files that a container finds as /etc/hostname, /etc/hosts and /etc/resolv.conf. */
#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "base/log.h"
#include "container/internal.h"
#include "network/cidr.h"

#define HOST_FILE_MAX (1u << 20)

static int write_file(struct container *c, const char *dir, const char *name, const struct buf *b, char **field, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/%s", dir, name);
	struct fs_owner owner = container_root_owner(c);

	if (fs_write_atomic(AT_FDCWD, path, b->data ? b->data : "", b->size, 0644, FS_RENAME_ONLY, err) < 0)
		return -1;
	if (owner.uid && lchown(path, owner.uid, owner.gid) < 0)
		return err_errno(err, errno, "own %s", path);
	container_set_text(c, field, path);
	return 0;
}

static void copy_host_file(const char *path, struct buf *b)
{
	OWN_ERR struct err ignored = ERR_INIT;

	if (fs_read(AT_FDCWD, path, HOST_FILE_MAX, b, &ignored) < 0)
		buf_reset(b);
}

/* The addresses for "host-gateway": what the daemon was told, else the default bridge's own, else the network's gateway. */
static void host_gateways(const struct container *c, struct strv *ret)
{
	const struct strv *told = c->store->deps.defaults ? c->store->deps.defaults->host_gateway_ips : NULL;
	OWN_NETWORK struct network *n = c->store->deps.nets ? net_find(c->store->deps.nets, "bridge", NULL) : NULL;

	for (size_t i = 0; told && i < told->len; i++)
		strv_add(ret, told->v[i]);
	for (size_t i = 0; !ret->len && n && i < n->pools_len; i++)
		if (!str_empty(n->pools[i].gateway) && !strchr(n->pools[i].gateway, ':')) {
			OWN_FREE char *ip = cidr_plain_dup(n->pools[i].gateway);

			strv_add(ret, ip);
		}
	for (size_t i = 0; !ret->len && i < c->sandbox.eps_len; i++)
		if (!str_empty(c->sandbox.eps[i].gateway4))
			strv_add(ret, c->sandbox.eps[i].gateway4);
}

/* "name:ip" or "name=ip". */
static int add_extra_hosts(const struct strv *extra, const struct strv *gateways, struct buf *b, struct err *err)
{
	for (size_t i = 0; i < extra->len; i++) {
		size_t n = strcspn(extra->v[i], ":=");
		OWN_FREE char *name = xstrndup(extra->v[i], n);
		OWN_FREE char *ip = xstrdup(extra->v[i][n] ? extra->v[i] + n + 1 : "");
		size_t len = strlen(ip);
		unsigned char raw[16];

		if (streq(ip, "host-gateway")) {
			if (!gateways->len)
				return err_set(err, ERR_INVALID, "unable to derive the IP value for host-gateway");
			for (size_t k = 0; k < gateways->len; k++)
				buf_addf(b, "%s\t%s\n", gateways->v[k], name);
			continue;
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

/* The container's own line of one address: its name with the domain first. */
static void add_own_line(const struct container_config *cfg, const char *cidr, struct buf *b)
{
	const char *name = cfg->hostname ? cfg->hostname : "", *domain = cfg->domainname ? cfg->domainname : "";
	OWN_FREE char *full = xasprintf("%s%s%s", name, *domain ? "." : "", domain);
	size_t first = strcspn(full, "."), len = cidr ? strcspn(cidr, "/") : 0;

	if (!len || !*name)
		return;
	buf_addf(b, "%.*s\t%s", (int)len, cidr, full);
	if (full[first])
		buf_addf(b, " %.*s", (int)first, full);
	buf_adds(b, "\n");
}

/* Those of a network. */
static void add_own_lines(const struct container *c, const struct net_endpoint *ep, struct buf *b)
{
	add_own_line(&c->rec.config, ep->ipv4, b);
	add_own_line(&c->rec.config, ep->ipv6, b);
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

static const struct daemon_defaults *defaults_of(const struct container *c)
{
	static const struct daemon_defaults none;

	return c->store->deps.defaults ? c->store->deps.defaults : &none;
}

/* The words of a line of the host's file. */
static void host_words(const struct buf *host, const char *key, struct strv *ret)
{
	OWN_STRV struct strv lines = { 0 };

	strv_split(&lines, host->data ? host->data : "", "\n");
	for (size_t i = 0; i < lines.len; i++) {
		OWN_STRV struct strv words = { 0 };

		if (!str_has_prefix(lines.v[i], key) || !strchr(" \t", lines.v[i][strlen(key)]))
			continue;
		strv_split(&words, lines.v[i] + strlen(key), " \t");
		for (size_t k = 0; k < words.len; k++)
			if (*words.v[k])
				strv_add(ret, words.v[k]);
	}
}

void netfiles_servers(const struct container *c, struct strv *servers, struct strv *search)
{
	const struct daemon_defaults *d = defaults_of(c);
	const struct strv *dns = either(&c->host.dns, d->dns), *domains = either(&c->host.dns_search, d->dns_search);
	OWN_BUF struct buf host = { 0 };
	OWN_STRV struct strv found = { 0 };

	if (dns)
		strv_copy(servers, dns);
	if (domains)
		strv_copy(search, domains);
	copy_host_file("/etc/resolv.conf", &host);
	if (!domains)
		host_words(&host, "search", search);
	if (!dns)
		host_words(&host, "nameserver", &found);
	/* one that only the host reaches is asked from there */
	for (size_t i = 0; i < found.len; i++)
		strv_addf(servers, "%s%s", str_has_prefix(found.v[i], "127.") || streq(found.v[i], "::1") ? "host:" : "", found.v[i]);
}

/* In a sandbox with names of its own: the resolver there is asked, with what it is not asked for taken from where it was. */
static void resolv_names(const struct container *c, const struct strv *options, const struct buf *host, struct buf *b)
{
	OWN_STRV struct strv servers = { 0 }, search = { 0 }, opts = { 0 };
	OWN_FREE char *domains = NULL, *words = NULL;
	bool ndots = false;

	netfiles_servers(c, &servers, &search);
	if (options)
		strv_copy(&opts, options);
	else
		host_words(host, "options", &opts);
	for (size_t i = 0; i < opts.len; i++)
		ndots |= str_has_prefix(opts.v[i], "ndots:");
	if (!ndots)
		strv_add(&opts, "ndots:0");
	domains = strv_join(&search, " ");
	words = strv_join(&opts, " ");
	if (search.len && !streq(domains, "."))
		buf_addf(b, "search %s\n", domains);
	buf_addf(b, "nameserver 127.0.0.11\noptions %s\n", words);
}

static void resolv_conf(const struct container *c, bool filter, bool names, struct buf *b)
{
	const struct daemon_defaults *d = defaults_of(c);
	const struct strv *dns = either(&c->host.dns, d->dns), *search = either(&c->host.dns_search, d->dns_search),
		*options = either(&c->host.dns_options, d->dns_opts);
	OWN_BUF struct buf host = { 0 };

	read_host_resolv(&host);
	if (names) {
		resolv_names(c, options, &host, b);
		return;
	}
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

int netfiles_write(struct container *c, const char *mode, struct err *err)
{
	OWN_FREE char *dir = container_dir(c);
	OWN_BUF struct buf hostname = { 0 };
	OWN_BUF struct buf hosts = { 0 };
	OWN_BUF struct buf resolv = { 0 };
	OWN_STRV struct strv links = { 0 }, gateways = { 0 };

	buf_addf(&hostname, "%s\n", c->rec.config.hostname ? c->rec.config.hostname : "");
	if (streq(mode, "host"))
		copy_host_file("/etc/hosts", &hosts);
	else
		buf_adds(&hosts, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n"
			"ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n");
	if (c->host.extra_hosts.len)
		host_gateways(c, &gateways);
	if (add_extra_hosts(&c->host.extra_hosts, &gateways, &hosts, err) < 0)
		return -1;
	if (links_collect(c, false, &links, NULL, err) < 0)
		return -1;
	for (size_t i = 0; i < links.len; i++)
		buf_addf(&hosts, "%s\n", links.v[i]);
	for (size_t i = 0; i < c->sandbox.eps_len; i++)
		add_own_lines(c, &c->sandbox.eps[i], &hosts);
	resolv_conf(c, !streq(mode, "host"), c->sandbox.resolver, &resolv);
	if (write_file(c, dir, "hostname", &hostname, &c->rec.hostname_path, err) < 0 ||
	    write_file(c, dir, "hosts", &hosts, &c->rec.hosts_path, err) < 0 ||
	    write_file(c, dir, "resolv.conf", &resolv, &c->rec.resolv_path, err) < 0)
		return -1;
	return 0;
}

/* A file that is mounted in the container: its bytes change, the file stays. */
static int open_file(const char *path, struct buf *ret)
{
	int fd = str_empty(path) ? -1 : open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0 && fs_read(AT_FDCWD, path, HOST_FILE_MAX, ret, NULL) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void write_in_place(int fd, const char *path, const struct buf *b)
{
	if (pwrite(fd, b->data ? b->data : "", b->size, 0) != (ssize_t)b->size || ftruncate(fd, (off_t)b->size) < 0)
		log_warn("cannot rewrite %s", path);
}

void netfiles_joined(struct container *c, const struct net_endpoint *ep)
{
	OWN_BUF struct buf b = { 0 };
	OWN_FD int fd = open_file(c->rec.hosts_path, &b);

	if (fd < 0)
		return;
	if (b.size && b.data[b.size - 1] != '\n')
		buf_adds(&b, "\n");
	add_own_lines(c, ep, &b);
	write_in_place(fd, c->rec.hosts_path, &b);
}

void netfiles_leaving(struct container *c, const struct net_endpoint *ep)
{
	OWN_BUF struct buf old = { 0 };
	OWN_BUF struct buf own = { 0 };
	OWN_BUF struct buf b = { 0 };
	OWN_FD int fd = open_file(c->rec.hosts_path, &old);
	OWN_STRV struct strv lines = { 0 }, gone = { 0 };

	if (fd < 0)
		return;
	add_own_lines(c, ep, &own);
	strv_split(&gone, own.data ? own.data : "", "\n");
	strv_split(&lines, old.data ? old.data : "", "\n");
	for (size_t i = 0; i < lines.len; i++)
		if ((*lines.v[i] && !strv_contains(&gone, lines.v[i])) || (!*lines.v[i] && i + 1 < lines.len))
			buf_addf(&b, "%s\n", lines.v[i]);
	write_in_place(fd, c->rec.hosts_path, &b);
}

void netfiles_resolver(struct container *c, bool was)
{
	OWN_BUF struct buf now = { 0 };
	OWN_BUF struct buf before = { 0 };
	OWN_BUF struct buf b = { 0 };
	OWN_FD int fd = was == c->sandbox.resolver ? -1 : open_file(c->rec.resolv_path, &now);

	if (fd < 0)
		return;
	resolv_conf(c, true, was, &before);
	if (now.size != before.size || (now.size && memcmp(now.data, before.data, now.size) != 0))
		return; /* the container's own by now */
	resolv_conf(c, true, c->sandbox.resolver, &b);
	write_in_place(fd, c->rec.resolv_path, &b);
}
