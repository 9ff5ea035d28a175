/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Queries of containers, and what a server upstream may say to one: no answer is larger than what the asker takes. */
#include "../../core/netd/resolve.c"

#include "fuzz.h"

static struct dns_query asked;
static bool readable, by_tcp;
static unsigned replies;

/* An answer has the query's id and is read by others: head, question, records to the last byte. */
void box_reply(const struct asker *who, const uint8_t *m, size_t size)
{
	size_t at = DNS_HEAD, records;

	replies++;
	FUZZ_CHECK(size >= DNS_HEAD && size <= DNS_MAX && (m[2] & 0x80));
	if (!readable)
		return;
	FUZZ_CHECK(by_tcp || size <= asked.limit);
	FUZZ_CHECK((m[0] << 8 | m[1]) == asked.id);
	if (m[5])
		at = asked.end;
	records = (size_t)(m[6] << 8 | m[7]) + (size_t)(m[8] << 8 | m[9]) + (size_t)(m[10] << 8 | m[11]);
	for (; records; records--) {
		while (m[at] && m[at] < 0xC0)
			at += 1u + m[at];
		at += m[at] ? 2 : 1;
		FUZZ_CHECK(at + 10 <= size);
		at += 10u + (unsigned)(m[at + 8] << 8 | m[at + 9]);
	}
	FUZZ_CHECK(at == size);
}

void forward(const struct asker *who, const uint8_t *m, size_t size, const struct dns_query *q)
{
	if (!box_search(who, m, q))
		box_refuse(who, m, q, DNS_SERVFAIL);
}

static struct box *make_box(void)
{
	static struct box b;
	static struct box_net nets[2];
	static struct alias aliases[] = { { (char *)"store", (char *)"db.1.x" } };
	struct in6_addr six = { .s6_addr = { 0xFD, [15] = 2 } };

	if (b.nets)
		return &b;
	nets[0].net = names_get("1", "front");
	nets[1].net = names_get("2", "back");
	for (unsigned i = 0; i < 300; i++) {
		struct in_addr four = { htonl(0xAC1E0002 + i) };
		char text[16];

		snprintf(text, sizeof(text), "c%u", i);
		names_add(nets[i % 2].net, &b.own, text, true, &four, i % 3 ? &six : NULL);
		names_add(nets[0].net, &b.own, i % 2 ? "web" : "db.1.x", false, &four, &six);
	}
	strv_add(&b.search, "corp.example.");
	b.nets_len = 2;
	b.aliases = aliases;
	b.aliases_len = 1;
	b.nets = nets;
	return &b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct asker who = { .box = make_box() };
	struct in6_addr address;
	OWN_FREE uint8_t *m = NULL;
	bool due;

	if (size < 1 || size > DNS_MAX)
		return 0;
	by_tcp = data[0] & 1;
	who.conn = by_tcp ? (struct conn *)&who : NULL;
	m = xmalloc(size); /* to the byte, so that a look behind its end is seen */
	memcpy(m, data + 1, size - 1);
	readable = dns_read_query(m, size - 1, &asked) == DNS_NOERROR;
	replies = 0;
	due = box_query(&who, m, size - 1);
	FUZZ_CHECK(replies == due);
	if (!readable)
		return 0;
	FUZZ_CHECK(!dns_answers(m, size - 1, m, asked.end));
	dns_reverse(asked.name, &address);
	m[2] |= 0x80;
	FUZZ_CHECK(dns_answers(m, size - 1, m, asked.end));
	FUZZ_CHECK(dns_cut(m, &asked) <= size - 1);
	return 0;
}
