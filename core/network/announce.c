/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/announce.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <netpacket/packet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "network/cidr.h"

#define OPTION_COUNT "com.docker.network.advertise_addr_nmsgs"
#define OPTION_INTERVAL "com.docker.network.advertise_addr_ms"
#define COUNT_DEFAULT 3
#define COUNT_MAX 3
#define INTERVAL_DEFAULT 1000
#define INTERVAL_MIN 100
#define INTERVAL_MAX 2000
/* Sockets that wait for being closed; behind them who comes closes his own, and so waits for the kernel. */
#define CLOSING_MAX 512
#define STACK_SIZE (64 * 1024)

struct frame_arp {
	struct ether_header eth;
	struct ether_arp arp;
} __attribute__((packed));

struct frame_na {
	struct ether_header eth;
	struct ip6_hdr ip;
	struct nd_neighbor_advert na;
	uint8_t type, len, mac[ETH_ALEN];
} __attribute__((packed));

/* One endpoint's. */
struct voice {
	char endpoint[65];
	int index;
	bool v4, v6;
	struct frame_arp arp;
	struct frame_na na;
	unsigned left;
	int64_t interval, due;
};

struct announcement {
	int fd;
	struct voice *v;
	size_t len;
	struct announcement *next;
};

struct announcer {
	pthread_t thread;
	struct lock lock;             /* LOCK_LEAF: all below */
	pthread_cond_t changed;
	struct announcement *pending; /* the thread takes one out while it speaks: until then its voices are nobody's to change */
	struct announcement *speaking;
	struct strv stopped;          /* endpoints of the one that speaks which are to be silent */
	size_t closing;
	bool running, ending;
};

static int number(const struct strmap *options, const char *key, const char *what, int least, int most, int otherwise, int *ret, struct err *err)
{
	const char *text = options ? strmap_get(options, key) : NULL;
	int64_t n;

	*ret = otherwise;
	if (str_empty(text))
		return 0;
	if (!str_to_i64(text, &n))
		return err_set(err, ERR_INVALID, "value for option %s \"%.64s\" must be %s", key, text, what);
	if (n < least || n > most)
		return err_set(err, ERR_INVALID, "%s must be in the range %d to %d", key, least, most);
	*ret = (int)n;
	return 0;
}

static int read_count(const struct strmap *options, int *ret, struct err *err)
{
	return number(options, OPTION_COUNT, "an integer", 0, COUNT_MAX, COUNT_DEFAULT, ret, err);
}

static int read_interval(const struct strmap *options, int *ret, struct err *err)
{
	return number(options, OPTION_INTERVAL, "integer milliseconds", INTERVAL_MIN, INTERVAL_MAX, INTERVAL_DEFAULT, ret, err);
}

int announcer_check(const struct strmap *options, struct err *err)
{
	int ignored;

	return read_count(options, &ignored, err) < 0 || read_interval(options, &ignored, err) < 0 ? -1 : 0;
}

struct announcement *announcement_new(int packet)
{
	struct announcement *t;

	if (packet < 0)
		return NULL;
	t = xcalloc(1, sizeof(*t));
	t->fd = packet;
	return t;
}

static void announcement_free(struct announcement *t)
{
	fd_close(&t->fd);
	free(t->v);
	free(t);
}

/* Its index and MAC; false for one whose neighbours ask nobody. */
static bool look(int fd, const char *interface, int *ret_index, uint8_t mac[ETH_ALEN])
{
	struct ifreq r = { 0 };

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", interface);
	if (ioctl(fd, SIOCGIFFLAGS, &r) < 0 || r.ifr_flags & (IFF_NOARP | IFF_LOOPBACK) || ioctl(fd, SIOCGIFINDEX, &r) < 0)
		return false;
	*ret_index = r.ifr_ifindex;
	if (ioctl(fd, SIOCGIFHWADDR, &r) < 0 || r.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return false;
	memcpy(mac, r.ifr_hwaddr.sa_data, ETH_ALEN);
	return true;
}

static void fill_arp(struct frame_arp *f, const uint8_t mac[ETH_ALEN], const uint8_t address[4])
{
	*f = (struct frame_arp){
		.eth.ether_type = htons(ETHERTYPE_ARP),
		.arp.ea_hdr = { htons(ARPHRD_ETHER), htons(ETHERTYPE_IP), ETH_ALEN, 4, htons(ARPOP_REQUEST) },
	};
	memset(f->eth.ether_dhost, 0xff, ETH_ALEN);
	memcpy(f->eth.ether_shost, mac, ETH_ALEN);
	memcpy(f->arp.arp_sha, mac, ETH_ALEN);
	memcpy(f->arp.arp_spa, address, 4);
	memcpy(f->arp.arp_tpa, address, 4);
}

static uint32_t sum16(uint32_t sum, const void *data, size_t size)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < size; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

/* All fields of the sum are of an even size. */
static uint16_t checksum(const struct frame_na *f, size_t size)
{
	uint32_t sum = (uint32_t)size + IPPROTO_ICMPV6;

	sum = sum16(sum, &f->ip.ip6_src, 2 * sizeof(f->ip.ip6_src));
	sum = sum16(sum, &f->na, size);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void fill_na(struct frame_na *f, const uint8_t mac[ETH_ALEN], const uint8_t address[16])
{
	static const uint8_t all_nodes[16] = { 0xff, 2, [15] = 1 }, all_nodes_mac[ETH_ALEN] = { 0x33, 0x33, 0, 0, 0, 1 };
	const size_t size = sizeof(*f) - sizeof(f->eth) - sizeof(f->ip);

	*f = (struct frame_na){ .eth.ether_type = htons(ETHERTYPE_IPV6), .type = ND_OPT_TARGET_LINKADDR, .len = 1 };
	memcpy(f->eth.ether_dhost, all_nodes_mac, ETH_ALEN);
	memcpy(f->eth.ether_shost, mac, ETH_ALEN);
	f->ip.ip6_flow = htonl(6u << 28);
	f->ip.ip6_plen = htons((uint16_t)size);
	f->ip.ip6_nxt = IPPROTO_ICMPV6;
	f->ip.ip6_hlim = 255;
	memcpy(&f->ip.ip6_src, address, 16);
	memcpy(&f->ip.ip6_dst, all_nodes, 16);
	f->na.nd_na_type = ND_NEIGHBOR_ADVERT;
	f->na.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE;
	memcpy(&f->na.nd_na_target, address, 16);
	memcpy(f->mac, mac, ETH_ALEN);
	f->na.nd_na_cksum = checksum(f, size);
}

static bool address_bytes(const char *cidr, int family, uint8_t *ret)
{
	char plain[IP_TEXT];

	cidr_plain(cidr, plain);
	return inet_pton(family, plain, ret) == 1;
}

void announcement_add(struct announcement *t, const struct net_endpoint *ep, const struct strmap *options)
{
	uint8_t mac[ETH_ALEN], address[16];
	struct voice v = { 0 };
	int count, interval;

	if (!t || str_empty(ep->interface) || read_count(options, &count, NULL) < 0 || !count || read_interval(options, &interval, NULL) < 0 ||
	    !look(t->fd, ep->interface, &v.index, mac))
		return;
	snprintf(v.endpoint, sizeof(v.endpoint), "%s", ep->id);
	v.left = (unsigned)count;
	v.interval = interval * NSEC_PER_MSEC;
	v.v4 = address_bytes(ep->ipv4, AF_INET, address);
	if (v.v4)
		fill_arp(&v.arp, mac, address);
	v.v6 = address_bytes(ep->ipv6, AF_INET6, address);
	if (v.v6)
		fill_na(&v.na, mac, address);
	if (!v.v4 && !v.v6)
		return;
	t->v = xrealloc(t->v, (t->len + 1) * sizeof(*t->v));
	t->v[t->len++] = v;
}

static void send_frame(int fd, int index, const void *frame, size_t size)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = index, .sll_halen = ETH_ALEN };

	/* who lacks a message has the next, or asks */
	(void)!sendto(fd, frame, size, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof(to));
}

/* What is due of it. No lock is held. */
static void speak(struct announcement *t, int64_t now)
{
	lock_none_held();
	for (size_t i = 0; i < t->len; i++) {
		struct voice *v = &t->v[i];

		if (!v->left || v->due > now)
			continue;
		if (v->v4)
			send_frame(t->fd, v->index, &v->arp, sizeof(v->arp));
		if (v->v6)
			send_frame(t->fd, v->index, &v->na, sizeof(v->na));
		v->left--;
		v->due = now + v->interval;
	}
}

/* When it has something to say; -1: it has said all. */
static int64_t due(const struct announcement *t)
{
	int64_t first = -1;

	for (size_t i = 0; i < t->len; i++)
		if (t->v[i].left && (first < 0 || t->v[i].due < first))
			first = t->v[i].due;
	return first;
}

static void silence(struct announcement *t, const char *endpoint_id)
{
	for (size_t i = 0; i < t->len; i++)
		if (streq(t->v[i].endpoint, endpoint_id))
			t->v[i].left = 0;
}

/* Under a->lock. The next to speak or to be closed, out of the list; else how long there is time (-1: for ever). */
static struct announcement *next(struct announcer *a, int64_t now, int64_t *ret_wait)
{
	struct announcement **done = NULL, **ready = NULL, **p, *t;

	*ret_wait = -1;
	for (t = *(p = &a->pending); t; t = *(p = &t->next)) {
		int64_t when = due(t);

		if (when < 0 || a->ending)
			done = done ? done : p;
		else if (when <= now)
			ready = ready ? ready : p;
		else if (*ret_wait < 0 || when - now < *ret_wait)
			*ret_wait = when - now;
	}
	/* closing takes its time, which the others have to spare */
	p = ready ? ready : done;
	if (!p)
		return NULL;
	t = *p;
	*p = t->next;
	t->next = NULL;
	return t;
}

/* Back into the list, unless all is said. */
static struct announcement *put_back(struct announcer *a, struct announcement *t)
{
	WITH_LOCK(&a->lock);

	for (size_t i = 0; i < a->stopped.len; i++)
		silence(t, a->stopped.v[i]);
	strv_done(&a->stopped);
	a->speaking = NULL;
	if (due(t) < 0 || a->ending)
		return t;
	t->next = a->pending;
	a->pending = t;
	return NULL;
}

static void end(struct announcer *a, struct announcement *t)
{
	announcement_free(t);
	WITH_LOCK(&a->lock);
	a->closing--;
}

static void *run(void *arg)
{
	struct announcer *a = arg;
	struct announcement *t;
	int64_t wait;

	for (;;) {
		lock_take(&a->lock);
		while (!(t = next(a, clock_mono(), &wait)) && !a->ending)
			lock_wait(&a->lock, &a->changed, wait);
		a->speaking = t;
		lock_drop(&a->lock);
		if (!t)
			return NULL;
		speak(t, clock_mono());
		t = put_back(a, t);
		if (t)
			end(a, t);
	}
}

struct announcer *announcer_new(void)
{
	struct announcer *a = xcalloc(1, sizeof(*a));

	lock_init(&a->lock, LOCK_LEAF);
	lock_cond_init(&a->changed);
	return a;
}

void announcer_free(struct announcer *a)
{
	bool running;

	if (!a)
		return;
	lock_take(&a->lock);
	a->ending = true;
	running = a->running;
	pthread_cond_broadcast(&a->changed);
	lock_drop(&a->lock);
	if (running)
		pthread_join(a->thread, NULL);
	strv_done(&a->stopped);
	pthread_cond_destroy(&a->changed);
	lock_done(&a->lock);
	free(a);
}

/* Under a->lock. */
static bool start(struct announcer *a)
{
	pthread_attr_t attr;

	if (a->running)
		return true;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	a->running = pthread_create(&a->thread, &attr, run, a) == 0;
	pthread_attr_destroy(&attr);
	return a->running;
}

/* The thread's from now on, unless it has too much to do already. */
static bool hand_over(struct announcer *a, struct announcement *t)
{
	WITH_LOCK(&a->lock);

	if (a->ending || a->closing >= CLOSING_MAX || !start(a))
		return false;
	a->closing++;
	t->next = a->pending;
	a->pending = t;
	pthread_cond_signal(&a->changed);
	return true;
}

void announcer_begin(struct announcer *a, struct announcement *t)
{
	if (!t)
		return;
	speak(t, clock_mono());
	if (!hand_over(a, t))
		announcement_free(t);
}

void announcer_stop(struct announcer *a, const char *endpoint_id)
{
	WITH_LOCK(&a->lock);

	for (struct announcement *t = a->pending; t; t = t->next)
		silence(t, endpoint_id);
	if (a->speaking)
		strv_add(&a->stopped, endpoint_id);
	pthread_cond_signal(&a->changed);
}

void announcer_close(struct announcer *a, int packet)
{
	if (packet >= 0)
		announcer_begin(a, announcement_new(packet));
}
