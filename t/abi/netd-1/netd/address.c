/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netd/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "base/str.h"

/* Its index; 0 for none. */
static unsigned interface(const char *name)
{
	struct ifreq r = { .ifr_ifindex = 0 };
	OWN_FD int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	size_t size = strlen(name);

	if (fd < 0 || size >= sizeof(r.ifr_name))
		return 0;
	memcpy(r.ifr_name, name, size);
	return ioctl(fd, SIOCGIFINDEX, &r) < 0 ? 0 : (unsigned)r.ifr_ifindex;
}

bool address_parse(const char *text, uint16_t port, struct address *ret)
{
	char plain[INET6_ADDRSTRLEN];
	const char *percent = strchr(text, '%');
	size_t size = percent ? (size_t)(percent - text) : strlen(text);
	uint64_t scope = 0;

	memset(ret, 0, sizeof(*ret));
	if (!percent && inet_pton(AF_INET, text, &ret->in.sin_addr) == 1) {
		ret->in.sin_family = AF_INET;
		ret->in.sin_port = htons(port);
		return true;
	}
	if (percent && !str_to_u64(percent + 1, &scope))
		scope = interface(percent + 1);
	if (size >= sizeof(plain) || (percent && (!scope || scope > UINT32_MAX)))
		return false;
	memcpy(plain, text, size);
	plain[size] = '\0';
	if (inet_pton(AF_INET6, plain, &ret->in6.sin6_addr) != 1)
		return false;
	ret->in6.sin6_family = AF_INET6;
	ret->in6.sin6_port = htons(port);
	ret->in6.sin6_scope_id = (uint32_t)scope;
	return true;
}

socklen_t address_size(const struct address *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->in6) : sizeof(a->in);
}

uint16_t address_port(const struct address *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port);
}

void address_set_port(struct address *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons(port);
	else
		a->in.sin_port = htons(port);
}

static bool same_host(const struct address *a, const struct address *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET6)
		return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr)) == 0 && a->in6.sin6_scope_id == b->in6.sin6_scope_id;
	return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
}

static bool is_any(const struct address *a)
{
	return a->sa.sa_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr) : a->in.sin_addr.s_addr == htonl(INADDR_ANY);
}

bool address_same(const struct address *a, const struct address *b)
{
	return same_host(a, b) && address_port(a) == address_port(b);
}

bool address_overlaps(const struct address *a, const struct address *b)
{
	return a->sa.sa_family == b->sa.sa_family && (is_any(a) || is_any(b) || same_host(a, b));
}

const char *address_text(const struct address *a, char ret[ADDRESS_TEXT])
{
	char host[INET6_ADDRSTRLEN];

	if (a->sa.sa_family == AF_INET6)
		snprintf(ret, ADDRESS_TEXT, "[%s]:%u", inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host)), address_port(a));
	else
		snprintf(ret, ADDRESS_TEXT, "%s:%u", inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host)), address_port(a));
	return ret;
}
