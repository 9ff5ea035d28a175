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

/* "name:ip" or "name=ip". */
static int add_extra_hosts(const struct strv *extra, struct buf *b, struct err *err)
{
	for (size_t i = 0; i < extra->len; i++) {
		size_t n = strcspn(extra->v[i], ":=");
		OWN_FREE char *name = xstrndup(extra->v[i], n);
		OWN_FREE char *ip = xstrdup(extra->v[i][n] ? extra->v[i] + n + 1 : "");
		size_t len = strlen(ip);
		unsigned char raw[16];

		if (streq(ip, "host-gateway"))
			return err_set(err, ERR_INVALID, "unable to derive the IP value for host-gateway");
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

static void resolv_conf(const struct host_config *h, struct buf *b)
{
	OWN_BUF struct buf host = { 0 };
	OWN_STRV struct strv lines = { 0 };

	copy_host_file("/etc/resolv.conf", &host);
	if (!h->dns.len && !h->dns_search.len && !h->dns_options.len) {
		buf_add(b, host.data ? host.data : "", host.size);
		return;
	}
	if (h->dns_search.len && !(h->dns_search.len == 1 && streq(h->dns_search.v[0], "."))) {
		OWN_FREE char *words = strv_join(&h->dns_search, " ");

		buf_addf(b, "search %s\n", words);
	}
	for (size_t i = 0; i < h->dns.len; i++)
		buf_addf(b, "nameserver %s\n", h->dns.v[i]);
	strv_split(&lines, host.data ? host.data : "", "\n");
	for (size_t i = 0; i < lines.len; i++)
		if ((!h->dns.len && str_has_prefix(lines.v[i], "nameserver")) ||
			(!h->dns_search.len && str_has_prefix(lines.v[i], "search")) ||
			(!h->dns_options.len && str_has_prefix(lines.v[i], "options")))
			buf_addf(b, "%s\n", lines.v[i]);
	if (h->dns_options.len) {
		OWN_FREE char *words = strv_join(&h->dns_options, " ");

		buf_addf(b, "options %s\n", words);
	}
}

int netfiles_write(struct container *c, const char *mode, struct err *err)
{
	OWN_FREE char *dir = container_dir(c);
	OWN_BUF struct buf hostname = { 0 };
	OWN_BUF struct buf hosts = { 0 };
	OWN_BUF struct buf resolv = { 0 };

	buf_addf(&hostname, "%s\n", c->rec.config.hostname ? c->rec.config.hostname : "");
	if (streq(mode, "host"))
		copy_host_file("/etc/hosts", &hosts);
	else
		buf_adds(&hosts, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n"
			"ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n");
	if (add_extra_hosts(&c->host.extra_hosts, &hosts, err) < 0)
		return -1;
	resolv_conf(&c->host, &resolv);
	if (write_file(c, dir, "hostname", &hostname, &c->rec.hostname_path, err) < 0 ||
	    write_file(c, dir, "hosts", &hosts, &c->rec.hosts_path, err) < 0 ||
	    write_file(c, dir, "resolv.conf", &resolv, &c->rec.resolv_path, err) < 0)
		return -1;
	return 0;
}
