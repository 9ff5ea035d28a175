/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Published ports of a container: what PortBindings and PublishAllPorts ask the network for, and what the record keeps. */
#include <netinet/in.h>

#include "base/err.h"
#include "container/internal.h"
#include "tap.h"

static const char *refuse;
static char asked[4096]; /* PROTO IP:LO-HI>PORT of each port of the last call */
static int calls;

/* Both families for no address; an open port is the lowest one that may be, from 40000 on where any may. */
static int fake_publish(struct net_controller *nc, const char *id, const struct net_port *ports, size_t len, struct net_port **ret, size_t *ret_len,
	struct err *err)
{
	struct net_port *v = xcalloc(2 * len + 1, sizeof(*v));
	unsigned any = 40000;
	size_t n = 0, at = 0;

	(void)nc;
	(void)id;
	calls++;
	*asked = '\0';
	for (size_t i = 0; i < len; i++) {
		const struct net_port *p = &ports[i];
		unsigned host = p->host_port ? p->host_port : any++;

		at += (size_t)snprintf(asked + at, sizeof(asked) - at, "%s%d %s:%u-%u>%u", i ? " " : "", p->proto, p->host_ip, p->host_port, p->host_port_end,
			p->port);
		for (int k = 0; k < (*p->host_ip ? 1 : 2); k++)
			v[n++] = (struct net_port){ .proto = p->proto, .host_ip = xstrdup(*p->host_ip ? p->host_ip : k ? "::" : "0.0.0.0"), .host_port = host,
				.host_port_end = host, .port = p->port };
	}
	if (refuse) {
		net_ports_free(v, n);
		return err_set(err, ERR_INTERNAL, "%s", refuse);
	}
	*ret = v;
	*ret_len = n;
	return 0;
}

#define sandbox_publish fake_publish
#include "container/publish.c"

static struct container_store store = { .deps = { .nets = (struct net_controller *)&store } };
static struct container box = { .store = &store, .sandbox = { .leads_out = true } };
static struct host_config hc;

static void ask_for(const char *bindings)
{
	str_set(&hc.port_bindings, bindings);
}

/* "" when it is taken, else the words. */
static const char *check(const char *bindings)
{
	static char text[512];
	OWN_ERR struct err err = ERR_INIT;

	ask_for(bindings);
	*text = '\0';
	if (publish_check(&hc, &err) < 0)
		snprintf(text, sizeof(text), "%s%s", err.class == ERR_INVALID ? "" : "(wrong class) ", err_text(&err));
	return text;
}

static void test_check(void)
{
	static const char *const good[] = { "{}", "null", "{\"80/tcp\":null}", "{\"80/tcp\":[]}", "{\"80\":[{}]}", "{\"80/TCP\":[{\"HostPort\":\"\"}]}",
		"{\"80/sctp\":[{\"HostIp\":\"::1\",\"HostPort\":\"65535\"}]}", "{\"65535/udp\":[{\"HostIp\":null,\"HostPort\":\"1-65535\"}]}" };
	static const struct { const char *bindings, *words; } bad[] = {
		{ "[]", "invalid JSON: /HostConfig/PortBindings: expected an object" },
		{ "{\"80/tcp\":{}}", "invalid JSON: /HostConfig/PortBindings/80/tcp: expected an array" },
		{ "{\"80/tcp\":[5]}", "invalid JSON: /HostConfig/PortBindings/80/tcp/0: expected an object" },
		{ "{\"80/tcp\":[{},{\"HostPort\":80}]}", "invalid JSON: /HostConfig/PortBindings/80/tcp/1/HostPort: expected a string" },
		{ "{\"80/tcp\":[{\"HostIp\":1}]}", "invalid JSON: /HostConfig/PortBindings/80/tcp/0/HostIp: expected a string" },
		{ "{\"80/icmp\":[]}", "invalid port specification: \"80/icmp\"" },
		{ "{\"/tcp\":[]}", "invalid port specification: \"\"" },
		{ "{\"x/tcp\":[]}", "invalid port specification: \"x\"" },
		{ "{\"-1/tcp\":[]}", "invalid port specification: \"-1\"" },
		{ "{\"65536/tcp\":[]}", "invalid port specification: \"65536\"" },
		{ "{\"80-81/tcp\":[]}", "invalid port specification: \"80-81\"" },
		{ "{\"80/tcp\":[{\"HostPort\":\"90-80\"}]}", "invalid port specification: \"90-80\"" },
		{ "{\"80/tcp\":[{\"HostPort\":\"80-\"}]}", "invalid port specification: \"80-\"" },
		{ "{\"80/tcp\":[{\"HostPort\":\"80-+1\"}]}", "invalid port specification: \"80-+1\"" },
		{ "{\"80/tcp\":[{\"HostPort\":\" 80\"}]}", "invalid port specification: \" 80\"" },
		{ "{\"80/tcp\":[{\"HostPort\":\"000080\"}]}", "invalid port specification: \"000080\"" },
		{ "{\"80/tcp\":[{\"HostPort\":\"65536\"}]}", "invalid port specification: \"65536\"" },
		{ "{\"80/tcp\":[{\"HostIp\":\"localhost\"}]}", "invalid host IP address of a port: \"localhost\"" },
		{ "{\"80/tcp\":[{\"HostIp\":\"1.2.3\"}]}", "invalid host IP address of a port: \"1.2.3\"" },
	};

	is_str(check(NULL), "", "no bindings");
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		is_str(check(good[i]), "", "taken: %s", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		is_str(check(bad[i].bindings), bad[i].words, "refused: %s", bad[i].bindings);
	ask_for("{}");
	ok(!publish_any(&hc), "an empty object asks for nothing");
	ask_for("null");
	ok(!publish_any(&hc), "nor does null");
	hc.publish_all_ports = true;
	ok(publish_any(&hc), "all ports are some");
	hc.publish_all_ports = false;
	ask_for("{\"80/tcp\":[]}");
	ok(publish_any(&hc), "so is one");
}

/* What is asked for; the words when it is refused. */
static const char *publish(const char *bindings)
{
	static char text[4096];
	OWN_ERR struct err err = ERR_INIT;

	ask_for(bindings);
	calls = 0;
	*asked = '\0';
	snprintf(text, sizeof(text), "%s", publish_do(&box, &hc, &err) < 0 ? err_text(&err) : calls ? asked : "(not asked)");
	return text;
}

static const char *kept(void)
{
	return box.rec.net.ports ? box.rec.net.ports : "(none)";
}

static void test_wanted(void)
{
	is_str(publish("{}"), "(not asked)", "without ports nobody is asked");
	is_str(publish("{\"80/tcp\":[{\"HostPort\":\"8080\"}]}"), "6 :8080-8080>80", "a port of all addresses");
	is_str(kept(), "{\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8080\"},{\"HostIp\":\"::\",\"HostPort\":\"8080\"}]}", "is kept as Docker does");
	is_str(publish("{\"53/udp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"5300-5310\"}],\"80\":[{\"HostPort\":\"81\"},{\"HostPort\":\"80\"}]}"),
		"17 127.0.0.1:5300-5310>53 6 :81-81>80 6 :80-80>80", "several, of several forms");
	is_str(kept(), "{\"53/udp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"5300\"}],\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"80\"},"
		"{\"HostIp\":\"::\",\"HostPort\":\"80\"},{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"81\"},{\"HostIp\":\"::\",\"HostPort\":\"81\"}]}", "in order");
	is_str(publish("{\"80/tcp\":null}"), "", "none any more: the network is told");
	is_str(kept(), "(none)", "and nothing is kept");
	strv_add(&box.rec.config.exposed_ports, "90/udp");
	strv_add(&box.rec.config.exposed_ports, "80/tcp");
	strv_add(&box.rec.config.exposed_ports, "nonsense");
	is_str(publish("{}"), "(not asked)", "what is exposed alone is not published");
	hc.publish_all_ports = true;
	is_str(publish("{\"80/tcp\":[{\"HostPort\":\"8080\"}]}"), "6 :8080-8080>80 17 :0-0>90", "all that are exposed and not bound");
	hc.publish_all_ports = false;
	publish_forget(&box);
	is_str(kept(), "(none)", "forgotten");
}

static void test_chosen(void)
{
	publish("{\"80/tcp\":[{\"HostPort\":\"\"},{\"HostPort\":\"8080\"},{\"HostPort\":\"9000-9010\"}]}");
	is_str(publish("{\"80/tcp\":[{\"HostPort\":\"\"},{\"HostPort\":\"8080\"},{\"HostPort\":\"9000-9010\"}]}"),
		"6 :40000-40000>80 6 :8080-8080>80 6 :9000-9000>80", "what was chosen is asked for again");
	is_str(publish("{\"80/tcp\":[{\"HostPort\":\"\"},{\"HostPort\":\"\"}]}"), "6 :8080-8080>80 6 :9000-9000>80", "whatever chose it");
	publish_forget(&box);
	publish("{\"80/tcp\":[{\"HostPort\":\"\"}]}");
	is_str(publish("{\"80/tcp\":[{\"HostPort\":\"40000\"},{\"HostPort\":\"\"}]}"), "6 :40000-40000>80 6 :0-0>80", "but nobody has what another asks for by its number");
	publish_forget(&box);
	publish("{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\"}]}");
	is_str(publish("{\"80/tcp\":[{\"HostPort\":\"\"}]}"), "6 :0-0>80", "an address is no other address");
	is_str(publish("{\"80/udp\":[{\"HostPort\":\"\"}]}"), "17 :0-0>80", "a protocol no other protocol");
	is_str(publish("{\"81/udp\":[{\"HostPort\":\"\"}]}"), "17 :0-0>81", "a port no other port");
	str_set(&box.rec.net.ports, "{\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"41234\"},{\"HostIp\":\"::\",\"HostPort\":\"41234\"}],\"x\":[{}],\"7/udp\":null}");
	publish_read(&box);
	is_int(box.n_published, 2, "an earlier daemon's record is read");
	is_str(publish("{\"80/tcp\":[{}]}"), "6 :41234-41234>80", "and what it chose is asked for");
	str_set(&box.rec.net.ports, "{{{");
	publish_read(&box);
	is_int(box.n_published, 0, "nonsense is nothing");
}

static void test_failures(void)
{
	OWN_BUF struct buf many = { 0 };

	publish("{\"80/tcp\":[{\"HostPort\":\"8080\"}]}");
	refuse = "port is already allocated";
	is_str(publish("{\"80/tcp\":[{\"HostPort\":\"8081\"}]}"), refuse, "a refusal is handed on");
	refuse = NULL;
	is_str(kept(), "{\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8080\"},{\"HostIp\":\"::\",\"HostPort\":\"8080\"}]}", "and what was, stays");
	box.sandbox.leads_out = false;
	is_str(publish("{\"80/tcp\":[{\"HostPort\":\"8080\"}]}"), "", "without a way out there is no way in");
	is_str(kept(), "(none)", "which is kept");
	is_str(publish("{\"80/tcp\":[{\"HostPort\":\"8080\"}]}"), "(not asked)", "and not said twice");
	box.sandbox.leads_out = true;
	buf_adds(&many, "{\"80/tcp\":[");
	for (int i = 0; i <= PORTS_MOST; i++)
		buf_adds(&many, i ? ",{}" : "{}");
	buf_adds(&many, "]}");
	is_str(publish(many.data), "too many published ports: 70001", "there is an end to ports");
	store.deps.nets = NULL;
	is_str(publish("{\"80/tcp\":[{\"HostPort\":\"8080\"}]}"), "(not asked)", "a daemon without networks publishes nothing");
}

int main(void)
{
	lock_init(&box.lock, LOCK_OBJECT);
	test_check();
	test_wanted();
	test_chosen();
	test_failures();
	publish_forget(&box);
	ask_for(NULL);
	strv_done(&box.rec.config.exposed_ports);
	lock_done(&box.lock);
	return tap_done();
}
