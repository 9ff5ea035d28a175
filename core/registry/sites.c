/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whom to ask for what belongs to a domain, and the certificates of /etc/docker/certs.d. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/rootless.h"
#include "registry/session.h"

#define CERTS "/etc/docker/certs.d"
#define PEM_MAX (1u << 20)
#define AUTH_MAX (64u << 10)

struct pems { struct buf ca; char *cert, *key; /* names of files */ };

/* A user's daemon has the user's. */
static char *certs_of(const struct registry_config *cfg, const char *host, const char *file)
{
	OWN_FREE char *own = !cfg->certs && rootless_state() ? rootless_path(ROOTLESS_CONFIG, "docker/certs.d") : NULL;

	return xasprintf("%s/%s%s", cfg->certs ? cfg->certs : own ? own : CERTS, host, file);
}

static bool is_docker(const char *domain)
{
	return streq(domain, "docker.io");
}

static bool is_listed(const struct registry_config *cfg, const char *host)
{
	for (size_t i = 0; cfg->insecure && i < cfg->insecure->len; i++)
		if (!strchr(cfg->insecure->v[i], '/') && strcasecmp(cfg->insecure->v[i], host) == 0)
			return true;
	return false;
}

json_t *sites_cidrs(const struct registry_config *cfg)
{
	json_t *all = json_pack("[s, s]", "127.0.0.0/8", "::1/128");

	for (size_t i = 0; cfg->insecure && i < cfg->insecure->len; i++)
		if (strchr(cfg->insecure->v[i], '/'))
			json_array_append_new(all, json_string(cfg->insecure->v[i]));
	return all;
}

static int read_file(int dir, const char *name, struct buf *ret, struct err *err)
{
	return fs_read(dir, name, PEM_MAX, ret, err) < 0 ? err_wrap(err, "certificates of the registry") : 0;
}

static char *with_end(const char *name, const char *from, const char *to)
{
	return xasprintf("%.*s%s", (int)(strlen(name) - strlen(from)), name, to);
}

/* One file of the folder, by its end. */
static int take_file(int dir, const char *path, const char *name, struct pems *p, struct err *err)
{
	OWN_FREE char *other = NULL;

	if (str_has_suffix(name, ".crt")) {
		if (read_file(dir, name, &p->ca, err) < 0)
			return -1;
		buf_adds(&p->ca, "\n");
		return 0;
	}
	if (str_has_suffix(name, ".cert")) {
		other = with_end(name, ".cert", ".key");
		if (faccessat(dir, other, F_OK, 0) < 0)
			return err_set(err, ERR_INVALID, "missing key %s for client certificate %s. CA certificates must use the extension .crt", other, name);
		if (!p->cert || strcmp(name, p->cert) < 0) {
			str_set(&p->cert, name);
			str_set(&p->key, other);
		}
	} else if (str_has_suffix(name, ".key")) {
		other = with_end(name, ".key", ".cert");
		if (faccessat(dir, other, F_OK, 0) < 0)
			return err_set(err, ERR_INVALID, "missing client certificate %s for key %s", other, name);
	}
	return 0;
}

/* What the folder of a host has; nothing is fine. ret_dir: its descriptor, or -1. */
static int read_pems(const struct registry_config *cfg, const char *host, struct pems *p, int *ret_dir, struct err *err)
{
	OWN_FREE char *path = certs_of(cfg, host, "");
	OWN_STRV struct strv names = { 0 };
	OWN_DIR DIR *d = NULL;

	*ret_dir = -1;
	if (strchr(host, '/') || *host == '.' || !(d = opendir(path)))
		return 0;
	for (struct dirent *e; (e = readdir(d));)
		if (*e->d_name != '.')
			strv_add(&names, e->d_name);
	strv_sort(&names);
	for (size_t i = 0; i < names.len; i++)
		if (take_file(dirfd(d), path, names.v[i], p, err) < 0)
			return -1;
	*ret_dir = dup(dirfd(d));
	return 0;
}

/* A copy of the bytes that the process can read, whatever rights the file has. */
static int add_memory(const void *data, size_t size, json_t *site, const char *key, int *fds, size_t max, size_t *n, struct err *err)
{
	OWN_FD int fd = memfd_create("pem", MFD_CLOEXEC);

	if (*n == max)
		return err_set(err, ERR_INVALID, "too many registries with certificates");
	if (fd < 0 || fs_write_all(fd, data, size) < 0)
		return err_errno(err, errno, "hand certificates on");
	json_object_set_new(site, key, json_integer((json_int_t)*n));
	fds[(*n)++] = STEAL_FD(fd);
	return 0;
}

static int add_file(int dir, const char *name, json_t *site, const char *key, int *fds, size_t max, size_t *n, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	int rc = read_file(dir, name, &b, err) < 0 ? -1 : add_memory(b.data, b.size, site, key, fds, max, n, err);

	if (b.data)
		explicit_bzero(b.data, b.size);
	return rc;
}

static int add_pems(const struct registry_config *cfg, const char *host, json_t *site, int *fds, size_t max, size_t *n, struct err *err)
{
	struct pems p = { 0 };
	OWN_FD int dir = -1;
	int rc = read_pems(cfg, host, &p, &dir, err);

	if (rc == 0 && p.ca.size)
		rc = add_memory(p.ca.data, p.ca.size, site, "ca", fds, max, n, err);
	if (rc == 0 && p.cert)
		rc = add_file(dir, p.cert, site, "cert", fds, max, n, err);
	if (rc == 0 && p.key)
		rc = add_file(dir, p.key, site, "key", fds, max, n, err);
	buf_done(&p.ca);
	free(p.cert);
	free(p.key);
	return rc;
}

/* "https://h:1/" -> "h:1" */
static char *mirror_host(const char *url)
{
	const char *host = strstr(url, "://");

	host = host ? host + 3 : url;
	return xstrndup(host, strcspn(host, "/"));
}

/* A mirror's own credentials: auth.json beside its certificates. Nobody else gets them. */
static int add_auth(const struct registry_config *cfg, const char *host, json_t *site, struct err *err)
{
	static const char *const keys[] = { "username", "password", "identitytoken", "registrytoken" };
	OWN_FREE char *path = certs_of(cfg, host, "/auth.json");
	OWN_BUF struct buf text = { 0 };
	OWN_JSON json_t *js = NULL;
	struct stat st;
	int rc = 0;

	if (strchr(host, '/') || *host == '.' || lstat(path, &st) < 0)
		return 0;
	if (!S_ISREG(st.st_mode) || st.st_mode & 077)
		return err_set(err, ERR_INVALID, "%s must be a file that nobody else can read (chmod 600)", path);
	js = fs_read(AT_FDCWD, path, AUTH_MAX, &text, err) < 0 ? NULL : json_read(text.data, text.size, err);
	if (!js)
		rc = err_wrap(err, "%s", path);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(keys); i++)
		if (json_is_string(json_object_get(js, keys[i])))
			json_object_set(site, keys[i], json_object_get(js, keys[i]));
	if (text.data)
		explicit_bzero(text.data, text.size);
	return rc;
}

static int add_mirror(const struct registry_config *cfg, json_t *all, const char *given, int *fds, size_t max, size_t *n, struct err *err)
{
	OWN_FREE char *host = mirror_host(given), *prefix = NULL;
	const char *scheme = strstr(given, "://"), *path = scheme ? strchr(scheme + 3, '/') : NULL;
	OWN_FREE char *url = xstrndup(given, path ? (size_t)(path - given) : strlen(given));
	json_t *site = json_pack("{s:s, s:b, s:b}", "url", url, "mirror", 1, "insecure", is_listed(cfg, host));

	prefix = xstrdup(path ? path + strspn(path, "/") : "");
	while (str_has_suffix(prefix, "/"))
		prefix[strlen(prefix) - 1] = '\0';
	if (*prefix)
		json_object_set_new(site, "prefix", json_string(prefix));
	json_array_append_new(all, site);
	return add_pems(cfg, host, site, fds, max, n, err) < 0 ? -1 : add_auth(cfg, host, site, err);
}

static const char *mirror_of(const char *entry, const char *domain)
{
	size_t n = strlen(domain);

	return strncasecmp(entry, domain, n) == 0 && entry[n] == '=' ? entry + n + 1 : NULL;
}

json_t *sites_of(const struct registry_config *cfg, const char *domain, int *fds, size_t max, size_t *ret_nfds, struct err *err)
{
	OWN_JSON json_t *all = json_array();
	json_t *site;
	int rc = 0;

	*ret_nfds = 0;
	if (!domain)
		return STEAL(all);
	for (size_t i = 0; is_docker(domain) && cfg->mirrors && i < cfg->mirrors->len && rc == 0; i++)
		rc = add_mirror(cfg, all, cfg->mirrors->v[i], fds, max, ret_nfds, err);
	for (size_t i = 0; cfg->mirrors_of && i < cfg->mirrors_of->len && rc == 0; i++)
		if (mirror_of(cfg->mirrors_of->v[i], domain))
			rc = add_mirror(cfg, all, mirror_of(cfg->mirrors_of->v[i], domain), fds, max, ret_nfds, err);
	if (is_docker(domain))
		site = json_pack("{s:s}", "url", "https://registry-1.docker.io");
	else if (streq(domain, "index.docker.io"))
		site = json_pack("{s:s}", "url", "https://index.docker.io");
	else
		site = json_pack("{s:s, s:b}", "host", domain, "insecure", is_listed(cfg, domain));
	json_array_append_new(all, site);
	if (rc == 0 && site)
		rc = add_pems(cfg, is_docker(domain) ? "docker.io" : domain, site, fds, max, ret_nfds, err);
	return rc == 0 ? STEAL(all) : NULL;
}
