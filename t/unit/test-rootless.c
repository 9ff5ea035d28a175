/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A user's daemon: where its files are, whose processes are a container's without control groups, and what rootlesskit is asked for published
 * ports. rootlesskit is a thread here that keeps a list of ports.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/rootless.h"
#include "config/config.h"
#include "container/bundle/cgroup.h"
#include "container/internal.h"
#include "network/kit.h"
#include "tap.h"

static char dir[] = "/tmp/test-rootless-XXXXXX";

/* ---- a rootlesskit ---- */

static struct {
	int fd;
	char *socket;
	pthread_t thread;
	const char *driver;       /* "builtin", "slirp4netns", "none" */
	const char *raw;          /* what is answered in place of anything sensible */
	int asked, returned;      /* POST, DELETE */
	json_t *ports;            /* [{"id","spec"}] */
	int next;
	int64_t pid;
	int taken;                /* a port of the host's that is somebody's */
	bool no_ipv6;
} kit = { .driver = "builtin", .next = 1, .pid = 77 };

static void say(int fd, int status, const char *text)
{
	dprintf(fd, "HTTP/1.0 %d X\r\nContent-Type: application/json\r\n\r\n%s", status, text);
}

static void say_json(int fd, int status, json_t *js)
{
	char *text = json_dumps(js, JSON_COMPACT | JSON_ENCODE_ANY);

	say(fd, status, text);
	free(text);
	json_decref(js);
}

static void add_port(int fd, const char *body)
{
	json_t *spec = json_loads(body, 0, NULL), *one;
	const char *proto = json_string_value(json_object_get(spec, "proto"));

	kit.asked++;
	if (json_integer_value(json_object_get(spec, "parentPort")) == kit.taken) {
		say(fd, 400, "{\"message\":\"listen tcp4 0.0.0.0:1: bind: address already in use\"}");
		json_decref(spec);
		return;
	}
	if (kit.no_ipv6 && strchr(proto, '6')) {
		say(fd, 400, "{\"message\":\"listen tcp6 [::]:1: socket: address family not supported by protocol\"}");
		json_decref(spec);
		return;
	}
	one = json_pack("{s:i, s:o}", "id", kit.next++, "spec", spec);
	json_array_append(kit.ports, one);
	say_json(fd, 201, one);
}

static void drop_port(int fd, int id)
{
	size_t i;
	json_t *one;

	kit.returned++;
	json_array_foreach(kit.ports, i, one)
		if (json_integer_value(json_object_get(one, "id")) == id) {
			json_array_remove(kit.ports, i);
			say(fd, 200, "");
			return;
		}
	say(fd, 400, "{\"message\":\"unknown id\"}");
}

static void answer(int fd)
{
	char text[8192];
	ssize_t n = 0, more;
	char *end = NULL, *size;
	int id;

	do {
		more = read(fd, text + n, sizeof(text) - 1 - (size_t)n);
		n += more > 0 ? more : 0;
		text[n] = '\0';
		end = strstr(text, "\r\n\r\n");
		size = strstr(text, "Content-Length: ");
	} while (more > 0 && (!end || (size && strlen(end + 4) < (size_t)atoi(size + 16))));
	if (kit.raw)
		(void)!write(fd, kit.raw, strlen(kit.raw));
	else if (strncmp(text, "GET /v1/info ", 13) == 0)
		say_json(fd, 200, json_pack("{s:s, s:s, s:s, s:I, s:{s:s, s:s}, s:{s:s, s:[s, s, s*]}}", "apiVersion", "1.1.1", "version", "1.1.0", "stateDir", dir,
			"childPID", (json_int_t)kit.pid, "networkDriver", "driver", "slirp4netns", "childIP", "10.0.2.100", "portDriver", "driver", kit.driver,
			"protos", "tcp4", "udp4", strcmp(kit.driver, "builtin") == 0 ? "tcp6" : NULL));
	else if (strncmp(text, "GET /v1/ports ", 14) == 0)
		say_json(fd, 200, json_array_size(kit.ports) ? json_incref(kit.ports) : json_null());
	else if (strncmp(text, "POST /v1/ports ", 15) == 0 && end)
		add_port(fd, end + 4);
	else if (sscanf(text, "DELETE /v1/ports/%d ", &id) == 1)
		drop_port(fd, id);
	else
		say(fd, 404, "404 page not found\n");
}

static void *serve(void *unused)
{
	int fd;

	while ((fd = accept4(kit.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		answer(fd);
		close(fd);
	}
	return NULL;
}

static void kit_begin(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/api.sock", dir);
	kit.ports = json_array();
	kit.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(kit.fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(kit.fd, 16) < 0 || pthread_create(&kit.thread, NULL, serve, NULL) != 0)
		abort();
	kit.socket = xstrdup(a.sun_path);
}

static void kit_end(void)
{
	shutdown(kit.fd, SHUT_RDWR);
	pthread_join(kit.thread, NULL);
	close(kit.fd);
	json_decref(kit.ports);
	unlink(kit.socket);
	free(kit.socket);
}

static size_t listening(void)
{
	return json_array_size(kit.ports);
}

/* "PROTO PARENT CHILD" of the n-th. */
static const char *lead(size_t n)
{
	static char text[200];
	json_t *s = json_object_get(json_array_get(kit.ports, n), "spec");

	snprintf(text, sizeof(text), "%s %s:%d %s:%d", json_string_value(json_object_get(s, "proto")), json_string_value(json_object_get(s, "parentIP")),
		(int)json_integer_value(json_object_get(s, "parentPort")), json_string_value(json_object_get(s, "childIP")),
		(int)json_integer_value(json_object_get(s, "childPort")));
	return text;
}

/* ---- what it is asked ---- */

static void test_places(void)
{
	static const struct { const char *driver, *at; bool ipv6; const char *inside; } cases[] = {
		{ "builtin", "0.0.0.0", false, "0.0.0.0" }, { "builtin", "::", true, "::" }, { "builtin", "127.0.0.1", false, "127.0.0.1" },
		{ "builtin", "127.0.0.9", false, "127.0.0.9" }, { "builtin", "192.168.1.5", false, "127.168.1.5" },
		{ "builtin", "10.0.0.0", false, "127.0.0.1" }, { "builtin", "10.255.255.255", false, "127.0.0.1" }, { "builtin", "fd00::1", true, "::1" },
		{ "slirp4netns", "0.0.0.0", false, "0.0.0.0" }, { "slirp4netns", "127.0.0.1", false, "10.0.2.100" },
		{ "slirp4netns", "192.168.1.5", false, "10.0.2.100" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWN_ERR struct err err = ERR_INIT;
		char inside[IP_TEXT] = "";
		struct kit *k;

		kit.driver = cases[i].driver;
		k = kit_open(dir, dir, &err);
		if (k)
			kit_inside(k, cases[i].at, cases[i].ipv6, inside);
		is_str(inside, cases[i].inside, "%s with %s is in here", cases[i].at, cases[i].driver);
		if (k)
			ok(kit_leads(k, IPPROTO_TCP, true) == (strcmp(cases[i].driver, "builtin") == 0) && kit_leads(k, IPPROTO_TCP, false) &&
				!kit_leads(k, IPPROTO_SCTP, false), "what it leads");
		kit_close(k);
	}
	kit.driver = "builtin";
}

static void test_publish(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct kit *k = kit_open(dir, dir, &err);
	struct kit_port v[3] = {
		{ .proto = IPPROTO_TCP, .host_ip = "0.0.0.0", .inside = "0.0.0.0", .port = 8000, .count = 2 },
		{ .proto = IPPROTO_TCP, .host_ip = "::", .inside = "::", .port = 8000, .count = 1, .maybe = true },
		{ .proto = IPPROTO_UDP, .host_ip = "10.9.9.9", .inside = "127.9.9.9", .port = 53, .count = 1 },
	};
	size_t failed;

	kit.asked = kit.returned = 0;
	ok(k && kit_publish(k, "box", v, 3, &failed, &err) == 0, "published: %s", err_text(&err));
	is_int(listening(), 4, "each port of a run");
	is_str(lead(0), "tcp4 0.0.0.0:8000 127.0.0.1:8000", "the first");
	is_str(lead(1), "tcp4 0.0.0.0:8001 127.0.0.1:8001", "the second");
	is_str(lead(2), "tcp6 :::8000 ::1:8000", "by IPv6");
	is_str(lead(3), "udp4 10.9.9.9:53 127.9.9.9:53", "at one address");
	ok(kit_publish(k, "box", v, 3, &failed, &err) == 0 && kit.asked == 4 && kit.returned == 0, "the same again asks for nothing");
	ok(kit_publish(k, "box", v, 1, &failed, &err) == 0 && kit.asked == 4 && kit.returned == 2 && listening() == 2, "fewer: what is beyond goes");
	/* what another container has is not touched */
	v[2].port = 54;
	ok(kit_publish(k, "other", &v[2], 1, &failed, &err) == 0 && listening() == 3, "another's");
	kit_revoke(k, "box");
	is_int(listening(), 1, "revoked");
	is_str(lead(0), "udp4 10.9.9.9:54 127.9.9.9:54", "the other's stays");

	kit.taken = 8001;
	ok(kit_publish(k, "box", v, 1, &failed, &err) < 0 && failed == 0 &&
		strstr(err_text(&err), "error while calling RootlessKit PortManager.AddPort(): listen tcp4 0.0.0.0:1: bind: address already in use"),
		"a port of the host's: %s", err_text(&err));
	is_int(listening(), 1, "all or none");
	err_done(&err);
	kit.taken = 0;
	kit.no_ipv6 = true;
	ok(kit_publish(k, "box", v, 2, &failed, &err) == 0 && listening() == 3, "a host without IPv6: %s", err_text(&err));
	v[1].maybe = false;
	ok(kit_publish(k, "box", v, 2, &failed, &err) < 0 && failed == 2, "which was asked for by name");
	err_done(&err);
	kit.no_ipv6 = false;
	v[0].proto = IPPROTO_SCTP;
	ok(kit_publish(k, "box", v, 1, &failed, &err) < 0 && failed == 1 &&
		strstr(err_text(&err), "protocol \"sctp4\" is not supported by the RootlessKit port driver \"builtin\""), "SCTP: %s", err_text(&err));
	kit_revoke(k, "other");
	is_int(listening(), 0, "nothing is left");
	kit_close(k);
}

/* A daemon that was killed, and the next one. */
static void test_crash(void)
{
	const struct kit_port v[2] = {
		{ .proto = IPPROTO_TCP, .host_ip = "0.0.0.0", .inside = "0.0.0.0", .port = 7000, .count = 1 },
		{ .proto = IPPROTO_TCP, .host_ip = "0.0.0.0", .inside = "0.0.0.0", .port = 7001, .count = 1 },
	};
	OWN_ERR struct err err = ERR_INIT;
	static const struct { int pid; const char *rest; bool is_new; } lists[] = {
		{ 78, "", false }, { 78, ",\"userns\":1", true }, { 79, "", true }, { 0, "{\"ports\":[]}", false }, { 0, "{", false },
	};
	OWN_FREE char *file = xasprintf("%s/rootlesskit-ports", dir);
	struct kit *k = kit_open(dir, dir, &err);
	size_t failed;

	json_array_append_new(kit.ports, json_pack("{s:i, s:{s:s, s:s, s:i, s:i}}", "id", 900, "spec", "proto", "tcp", "parentIP", "0.0.0.0", "parentPort", 2375,
		"childPort", 2375));
	ok(kit_publish(k, "a", &v[0], 1, &failed, &err) == 0 && kit_publish(k, "b", &v[1], 1, &failed, &err) == 0, "two containers");
	kit_close(k); /* gives nothing back */
	is_int(listening(), 3, "which rootlesskit goes on with");
	kit.asked = kit.returned = 0;
	k = kit_open(dir, dir, &err);
	ok(k && kit_publish(k, "a", &v[0], 1, &failed, &err) == 0 && kit.asked == 0, "the next daemon takes one over");
	ok(!kit_is_new(k), "in the same namespaces");
	kit_sweep(k);
	ok(kit.returned == 1 && listening() == 2, "and gives back what nobody claims, but not the user's own");
	kit_close(k);
	kit.pid++; /* another run of rootlesskit: numbers mean something else there */
	k = kit_open(dir, dir, &err);
	ok(kit_is_new(k), "others");
	kit_sweep(k);
	is_int(listening(), 2, "another rootlesskit's ports are not those of the list");
	kit_close(k);
	k = kit_open(dir, dir, &err);
	ok(!kit_is_new(k), "which are this run's from then on");
	kit_close(k);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		OWN_FREE char *text = lists[i].pid ? xasprintf("{\"rootlesskit\":\"%d at %s\"%s,\"ports\":[]}", lists[i].pid, dir, lists[i].rest) :
			xstrdup(lists[i].rest);

		fs_write_atomic(AT_FDCWD, file, text, strlen(text), 0600, FS_RENAME_ONLY, NULL);
		k = kit_open(dir, dir, &err);
		ok(k && kit_is_new(k) == lists[i].is_new, "%s: %s", lists[i].is_new ? "new" : "not new", text);
		kit_close(k);
	}
	json_array_clear(kit.ports);
}

static void test_nonsense(void)
{
	static const char *const cases[] = { "", "HTTP/1.0 200 OK\r\n", "nonsense\r\n\r\n{}", "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n[1,2]",
		"HTTP/1.0 500 X\r\n\r\n{\"message\":\"no\"}", "HTTP/1.0 200 OK\r\n\r\n{\"portDriver\":7}" };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWN_ERR struct err err = ERR_INIT;
		struct kit *k;

		kit.raw = cases[i];
		k = kit_open(dir, dir, &err);
		ok(!k && *err_text(&err), "%zu: %s", i, err_text(&err));
		kit_close(k);
	}
	kit.raw = NULL;
}

/* ---- places, ids, processes ---- */

static void test_places_of_files(void)
{
	struct config cfg;
	OWN_FREE char *lib = NULL, *ini = NULL, *host = NULL;

	setenv("HOME", "/home/joe", 1);
	setenv("XDG_RUNTIME_DIR", "/run/user/1000", 1);
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("XDG_DATA_HOME");
	unsetenv("ROOTLESSKIT_STATE_DIR");
	config_init(&cfg);
	ok(!cfg.rootless, "without rootlesskit: as ever");
	is_str(cfg.data_root, "/var/lib/docker", "the data-root");
	config_done(&cfg);

	setenv("ROOTLESSKIT_STATE_DIR", "/run/user/1000/kit", 1);
	config_init(&cfg);
	ok(cfg.rootless, "rootlesskit makes it rootless");
	is_str(cfg.data_root, "/home/joe/.local/share/docker", "the data-root");
	is_str(cfg.exec_root, "/run/user/1000/docker", "the exec-root");
	is_str(cfg.pidfile, "/run/user/1000/docker.pid", "the pid file");
	is_str(cfg.config_file, "/home/joe/.config/docker/daemon.json", "the configuration");
	config_done(&cfg);
	is_str(host = config_default_socket(), "unix:///run/user/1000/docker.sock", "the socket");
	is_str(ini = config_ini_path(), "/home/joe/.config/dockerd/dockerd.conf", "the INI file");
	is_str(lib = rootless_path(ROOTLESS_LIB, "x"), "/home/joe/.local/lib/x", "libraries");
	setenv("XDG_CONFIG_HOME", "/c", 1);
	setenv("XDG_DATA_HOME", "relative", 1);
	config_init(&cfg);
	is_str(cfg.config_file, "/c/docker/daemon.json", "XDG_CONFIG_HOME counts");
	is_str(cfg.data_root, "/home/joe/.local/share/docker", "what is no absolute path does not");
	config_done(&cfg);
	unsetenv("XDG_RUNTIME_DIR");
	unsetenv("HOME");
	ok(!rootless_path(ROOTLESS_RUNTIME, "x") && !rootless_path(ROOTLESS_LIB, "x"), "no place without the variables");
	unsetenv("ROOTLESSKIT_STATE_DIR");
}

static void test_user(void)
{
	uid_t uid;

	setenv("ROOTLESSKIT_PARENT_EUID", "1000", 1);
	ok(rootless_user(&uid) && uid == 1000, "the user");
	setenv("ROOTLESSKIT_PARENT_EUID", "4294967295", 1);
	ok(!rootless_user(&uid), "no user");
	unsetenv("ROOTLESSKIT_PARENT_EUID");
	ok(!rootless_user(&uid), "none told");
}

static void test_pids(void)
{
	OWN_STRV struct strv pids = { 0 };
	OWN_FREE char *first = NULL, *second = NULL;
	int ready[2];
	pid_t child, grandchild = 0;

	cgroup_have_none();
	ok(cgroup_none() && !cgroup_can(CGROUP_MEMORY) && !cgroup_controller("memory"), "no control groups");
	if (pipe2(ready, O_CLOEXEC) < 0)
		abort();
	child = fork();
	if (child == 0) {
		pid_t pid = fork();

		if (pid > 0)
			(void)!write(ready[1], &pid, sizeof(pid));
		pause();
		_exit(0);
	}
	ok(read(ready[0], &grandchild, sizeof(grandchild)) == sizeof(grandchild), "a process with a child");
	container_pids(child, &pids);
	first = xasprintf("%d", (int)child);
	second = xasprintf("%d", (int)grandchild);
	ok(pids.len == 2 && strv_contains(&pids, first) && strv_contains(&pids, second), "both, and nobody else of this namespace (%zu)", pids.len);
	kill(grandchild, SIGKILL);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(ready[0]);
	close(ready[1]);
	cgroup_set_root("");
	ok(!cgroup_none(), "there are some again");
}

int main(void)
{
	OWN_FREE char *file = NULL;

	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return 1;
	file = xasprintf("%s/rootlesskit-ports", dir);
	kit_begin();
	test_places();
	test_publish();
	test_crash();
	test_nonsense();
	kit_end();
	test_places_of_files();
	test_user();
	test_pids();
	unlink(file);
	ok(rmdir(dir) == 0, "nothing else was written");
	return tap_done();
}
