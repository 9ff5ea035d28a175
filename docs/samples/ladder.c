/* SPDX-License-Identifier: MIT */
/*
 * An address driver of one's own: each container gets the lowest free rung of its network's IPv4 subnet.
 *
 *	cc -shared -fPIC -Wl,-z,defs $(pkg-config --cflags dockerd-driver) -o ladder.so ladder.c
 *	docker network create --ipam-driver ladder --subnet 10.9.8.0/24 net
 *
 * A pool is the folder ROOT/10.9.8.0_24, an address the empty file 10.9.8.1 in it: whoever can make it has it, also after a crash.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dockerd/ipam.h>

struct dkd_ipam {
	const struct dkd_host *host;
	char root[3072];
};

struct subnet { uint32_t first, last; unsigned bits; }; /* addresses in host order */

static int parse_subnet(const char *text, char slash, struct subnet *ret)
{
	char address[INET_ADDRSTRLEN] = "", *end = NULL;
	const char *at = text ? strchr(text, slash) : NULL;
	struct in_addr in;

	if (!at || (size_t)(at - text) >= sizeof(address))
		return -1;
	memcpy(address, text, (size_t)(at - text));
	ret->bits = (unsigned)strtoul(at + 1, &end, 10);
	if (inet_pton(AF_INET, address, &in) != 1 || end == at + 1 || *end || ret->bits < 8 || ret->bits > 30)
		return -1;
	ret->first = ntohl(in.s_addr) & ~(UINT32_MAX >> ret->bits);
	ret->last = ret->first | UINT32_MAX >> ret->bits;
	return 0;
}

static const char *words(uint32_t address, char ret[INET_ADDRSTRLEN])
{
	struct in_addr in = { htonl(address) };

	return inet_ntop(AF_INET, &in, ret, INET_ADDRSTRLEN);
}

static int32_t ladder_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_ipam_open *open, struct dkd_ipam **ret)
{
	struct dkd_ipam *i = calloc(1, sizeof(*i));
	char *slash;

	if (!i)
		return dkd_failf(host, call, DKD_ERR_INTERNAL, ENOMEM, "out of memory");
	i->host = host;
	snprintf(i->root, sizeof(i->root), "%s", open->root);
	for (slash = strchr(i->root + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(i->root, 0711);
		*slash = '/';
	}
	if (mkdir(i->root, 0700) == 0 || errno == EEXIST) {
		*ret = i;
		return 0;
	}
	dkd_failf(host, call, DKD_ERR_INTERNAL, errno, "make %s", i->root);
	return free(i), -1;
}

static void ladder_close(struct dkd_ipam *i)
{
	free(i);
}

static int32_t ladder_capabilities(const struct dkd_call *call, struct dkd_ipam *i, struct dkd_ipam_caps *ret)
{
	(void)call, (void)i, (void)ret; /* nothing to say */
	return 0;
}

static int32_t ladder_spaces(const struct dkd_call *call, struct dkd_ipam *i, dkd_emit_pair *emit, void *to)
{
	(void)call, (void)i;
	if (emit(to, "local", "ladder") == 0)
		emit(to, "global", "ladder-global");
	return 0;
}

static int32_t ladder_request_pool(const struct dkd_call *call, struct dkd_ipam *i, const struct dkd_ipam_pool_wish *wish, dkd_emit_pool *emit, void *to)
{
	char path[4096], id[64], subnet[64], address[INET_ADDRSTRLEN];
	struct dkd_ipam_pool pool = { .size = sizeof(pool), .id = id, .subnet = subnet };
	struct subnet s;

	if (wish->flags & DKD_IPAM_IPV6 || wish->range)
		return dkd_failf(i->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "ladder has no %s", wish->range ? "ranges" : "IPv6 addresses");
	if (parse_subnet(wish->pool, '/', &s) < 0)
		return dkd_failf(i->host, call, DKD_ERR_INVALID, 0, "ladder wants an IPv4 subnet of 8 to 30 bits, not \"%s\"", wish->pool ? wish->pool : "");
	words(s.first, address);
	snprintf(id, sizeof(id), "%s_%u", address, s.bits);
	snprintf(subnet, sizeof(subnet), "%s/%u", address, s.bits);
	snprintf(path, sizeof(path), "%s/%s", i->root, id);
	if (mkdir(path, 0700) < 0)
		return dkd_failf(i->host, call, errno == EEXIST ? DKD_ERR_CONFLICT : DKD_ERR_INTERNAL, errno, "pool %s", subnet);
	emit(to, &pool);
	return 0;
}

static int32_t ladder_release_pool(const struct dkd_call *call, struct dkd_ipam *i, const char *pool)
{
	char path[4096];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", i->root, pool);
	if (!(dir = opendir(path)))
		return errno == ENOENT ? 0 : dkd_failf(i->host, call, DKD_ERR_INTERNAL, errno, "pool %s", pool);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
	return rmdir(path) < 0 ? dkd_failf(i->host, call, DKD_ERR_INTERNAL, errno, "pool %s", pool) : 0;
}

/* 0, or -1 with errno EEXIST where somebody has it. */
static int take(const struct dkd_ipam *i, const char *pool, uint32_t address)
{
	char path[4096], text[INET_ADDRSTRLEN];
	int fd;

	snprintf(path, sizeof(path), "%s/%s/%s", i->root, pool, words(address, text));
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? -1 : close(fd);
}

static int32_t ladder_request_address(const struct dkd_call *call, struct dkd_ipam *i, const char *pool, const char *address, const struct dkd_pair *options,
	uint32_t options_len, dkd_emit *emit, void *to)
{
	char text[INET_ADDRSTRLEN], answer[64];
	uint32_t a = 0;
	struct in_addr in;
	struct subnet s;

	(void)options, (void)options_len;
	if (parse_subnet(pool, '_', &s) < 0 || (address && inet_pton(AF_INET, address, &in) != 1))
		return dkd_failf(i->host, call, DKD_ERR_INVALID, 0, "no address %s in pool %s", address ? address : "", pool);
	if (address) {
		a = ntohl(in.s_addr);
		if (a <= s.first || a >= s.last)
			return dkd_failf(i->host, call, DKD_ERR_INVALID, 0, "%s is not in pool %s", address, pool);
		if (take(i, pool, a) < 0)
			return dkd_failf(i->host, call, errno == EEXIST ? DKD_ERR_CONFLICT : DKD_ERR_INTERNAL, errno, "address %s", address);
	} else {
		for (a = s.first + 1; a < s.last && take(i, pool, a) < 0; a++)
			if (errno != EEXIST)
				return dkd_failf(i->host, call, DKD_ERR_INTERNAL, errno, "an address of pool %s", pool);
		if (a == s.last)
			return dkd_failf(i->host, call, DKD_ERR_UNAVAILABLE, 0, "pool %s is used up", pool);
	}
	snprintf(answer, sizeof(answer), "%s/%u", words(a, text), s.bits);
	emit(to, answer);
	return 0;
}

static int32_t ladder_release_address(const struct dkd_call *call, struct dkd_ipam *i, const char *pool, const char *address)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s/%s", i->root, pool, address);
	return unlink(path) < 0 && errno != ENOENT ? dkd_failf(i->host, call, DKD_ERR_INTERNAL, errno, "address %s", address) : 0;
}

static const struct dkd_ipam_ops ops = {
	.open = ladder_open,
	.close = ladder_close,
	.capabilities = ladder_capabilities,
	.address_spaces = ladder_spaces,
	.request_pool = ladder_request_pool,
	.release_pool = ladder_release_pool,
	.request_address = ladder_request_address,
	.release_address = ladder_release_address,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_IPAM, .abi_major = DKD_IPAM_MAJOR, .abi_minor = DKD_IPAM_MINOR, .ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_PARALLEL, .name = "ladder", .version = "1.0", .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
