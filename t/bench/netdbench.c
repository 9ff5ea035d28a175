/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What lookups and bytes cost the process that serves them. Ours is started here, in a network namespace of its own; another
 * one is named by its pid.
 *   netdbench [MB]                                      dockerd-netd: lookups, MB (4096) by a proxied port, connections, a range
 *   netdbench lookups                                   the first of these alone
 *   netdbench dns NETNS PID NAME [RATE] [SECONDS]       a resolver at 127.0.0.11 in NETNS; RATE 0: one after the other
 *   netdbench tcp PORT SERVER-PORT PID MB               a proxy at 127.0.0.1:PORT to 127.0.0.2:SERVER-PORT, in this namespace
 */
#include <dirent.h>

#include "../unit/netd-box.h"

/* CPU time of all threads of a process so far, in ns. */
static double cpu(pid_t pid)
{
	OWN_FREE char *dir = xasprintf("/proc/%d/task", (int)pid);
	OWN_DIR DIR *d = opendir(dir);
	double sum = 0;

	for (struct dirent *e; d && (e = readdir(d));) {
		OWN_FREE char *path = xasprintf("%s/%s/schedstat", dir, e->d_name);
		OWN_FILE FILE *f = fopen(path, "re");
		double ns;

		if (f && fscanf(f, "%lf", &ns) == 1)
			sum += ns;
	}
	return sum;
}

static size_t query(uint8_t *m, const char *name, uint16_t id, uint8_t type)
{
	size_t n = strlen(name);

	memcpy(m, "\0\0\1\0\0\1\0\0\0\0\0\0", 12);
	m[0] = (uint8_t)(id >> 8);
	m[1] = (uint8_t)id;
	m[12] = (uint8_t)n;
	memcpy(m + 13, name, n);
	memcpy(m + 13 + n, "\0\0\0\0\1", 5);
	m[13 + n + 2] = type;
	return 18 + n;
}

/* Each from a socket of its own, as a C library asks; which asks for A and AAAA at once (pair). */
static bool lookup(const char *netns, const char *name, uint16_t id, bool pair)
{
	OWN_FD int fd = nb_connect(netns, "127.0.0.11", 53, SOCK_DGRAM);
	uint8_t m[512];

	if (send(fd, m, query(m, name, id, 1), 0) < 0 || (pair && send(fd, m, query(m, name, id, 28), 0) < 0))
		return false;
	return recv(fd, m, sizeof(m), 0) > 16 && (!pair || recv(fd, m, sizeof(m), 0) > 16);
}

static void bench_dns(const char *who, const char *netns, pid_t pid, const char *name, unsigned rate, double seconds, bool pair)
{
	int64_t began = clock_mono();
	double before = cpu(pid), wall;
	unsigned long done = 0, failed = 0;

	while ((wall = (double)(clock_mono() - began) / 1e9) < seconds) {
		if (rate && (double)done > wall * rate) {
			usleep(1000);
			continue;
		}
		failed += !lookup(netns, name, (uint16_t)done, pair);
		done++;
	}
	printf("%s: %lu lookups in %.1f s (%lu failed), %.1f us of CPU each, %.3f %% of a CPU\n", who, done, wall, failed,
		(cpu(pid) - before) / (double)done / 1e3, (cpu(pid) - before) / wall / 1e7);
}

static void bench_tcp(const char *who, unsigned port, unsigned server_port, pid_t pid, unsigned mb)
{
	int server = nb_bind(NULL, "127.0.0.2", server_port, SOCK_STREAM), c, s;
	static char bytes[1 << 18];
	unsigned long long total = (unsigned long long)mb << 20, got = 0;
	int64_t began;
	double before, wall;
	pid_t sender;

	c = nb_connect(NULL, "127.0.0.1", port, SOCK_STREAM);
	s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	before = cpu(pid);
	began = clock_mono();
	sender = fork();
	if (sender == 0) {
		for (unsigned long long at = 0; at < total; at += sizeof(bytes))
			if (fs_write_all(c, bytes, sizeof(bytes)) < 0)
				_exit(1);
		_exit(0);
	}
	for (ssize_t n; got < total && (n = read(s, bytes, sizeof(bytes))) > 0;)
		got += (unsigned long long)n;
	wall = (double)(clock_mono() - began) / 1e9;
	waitpid(sender, NULL, 0);
	printf("%s: %u MB at %.2f GB/s, %.0f ms of CPU a GB\n", who, mb, (double)got / wall / 1e9, (cpu(pid) - before) / 1e6 / ((double)got / 1e9));
	close(c);
	close(s);
	close(server);
}

/* Connections one after the other, a byte there and a byte back. */
static void bench_connections(const char *who, unsigned port, unsigned server_port, pid_t pid, unsigned count)
{
	int server = nb_bind(NULL, "127.0.0.2", server_port, SOCK_STREAM);
	int64_t began = clock_mono();
	double before = cpu(pid), wall;
	char byte = 'x';

	for (unsigned i = 0; i < count; i++) {
		int c = nb_connect(NULL, "127.0.0.1", port, SOCK_STREAM), s;

		(void)!write(c, &byte, 1);
		s = accept4(server, NULL, NULL, SOCK_CLOEXEC);
		(void)!read(s, &byte, 1);
		(void)!write(s, &byte, 1);
		(void)!read(c, &byte, 1);
		close(s);
		close(c);
	}
	wall = (double)(clock_mono() - began) / 1e9;
	printf("%s: %.0f connections a second, %.0f us of CPU each\n", who, count / wall, (cpu(pid) - before) / count / 1e3);
	close(server);
}

static void ours(unsigned mb)
{
	OWN_STRV struct strv names = { 0 };
	struct netd_port p = { .proto = IPPROTO_TCP, .host_ip = "0.0.0.0", .host_port = 8090, .port = 8000, .proxy = true, .target = "127.0.0.2" },
		many = { .proto = IPPROTO_TCP, .host_ip = "0.0.0.0", .host_port = 20000, .count = 1000, .port = 20000, .proxy = true, .target = "127.0.0.2" };
	struct netd_net net = { .id = "n", .name = "n", .ipv4 = "172.30.0.2", .names = &names };
	struct netd_sandbox sb = { .id = "box", .nets = &net, .nets_len = 1 };
	struct netd_status st;
	struct netd *n;
	int64_t began;
	char *ns;

	if (!nb_begin())
		return;
	ns = nb_netns("bench");
	sb.netns_path = ns;
	strv_add(&names, "web");
	n = netd_new(nb_root, nb_program, nb_spawner);
	if (netd_sandbox(n, &sb, NULL) < 0 || netd_publish(n, "e", &p, 1, NULL) < 0 || netd_status(n, &st, NULL) < 0)
		printf("dockerd-netd does not run\n");
	bench_dns("dockerd-netd, 100 a second", ns, st.pid, "web", 100, 5, false);
	bench_dns("dockerd-netd, one after the other", ns, st.pid, "web", 0, 2, false);
	bench_dns("dockerd-netd, A and AAAA at once", ns, st.pid, "web", 0, 2, true);
	if (mb == 0)
		goto end;
	bench_tcp("dockerd-netd", 8090, 8000, st.pid, mb);
	bench_connections("dockerd-netd", 8090, 8000, st.pid, 2000);
	began = clock_mono();
	netd_publish(n, "many", &many, 1, NULL);
	printf("dockerd-netd: 1,000 ports in %.1f ms\n", (double)(clock_mono() - began) / 1e6);
end:
	netd_revoke(n, "e", NULL);
	netd_revoke(n, "many", NULL);
	netd_sandbox_drop(n, "box", NULL);
	netd_free(n);
	nb_netns_drop(ns);
	nb_end();
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	nb_home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	(void)tap_done;
	if (argc <= 2)
		ours(argc < 2 ? 4096 : streq(argv[1], "lookups") ? 0 : (unsigned)atoi(argv[1]));
	else if (argc >= 5 && streq(argv[1], "dns"))
		bench_dns("resolver", argv[2], atoi(argv[3]), argv[4], argc > 5 ? (unsigned)atoi(argv[5]) : 100, argc > 6 ? atof(argv[6]) : 5, false);
	else if (argc == 6 && streq(argv[1], "tcp")) {
		bench_tcp("proxy", (unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]), atoi(argv[4]), (unsigned)atoi(argv[5]));
		bench_connections("proxy", (unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]), atoi(argv[4]), 2000);
	} else
		return 2;
	return 0;
}
