/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The configuration of containers: create bodies, merging, checks with Docker's texts, users, bundles. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fs.h"
#include "container/bundle/apparmor.h"
#include "container/bundle/bundle.h"
#include "container/bundle/caps.h"
#include "container/bundle/security.h"
#include "container/signals.h"
#include "container/spec.h"
#include "container/validate.h"

#include "tap.h"

static struct daemon_defaults defaults = {
	.shm_size = 64 << 20, .default_runtime = "runc", .ipc_mode = "private", .cgroupns_mode = "host", .log_driver = "json-file",
	.seccomp_profile = "builtin",
};

static int decode(const char *text, struct create_body *b, struct err *err)
{
	OWN_JSON json_t *js = json_read(text, strlen(text), err);

	return js ? create_body_decode(js, b, err) : -1;
}

static int decode_any(const char *text, struct create_body *b, struct err *err)
{
	OWN_JSON json_t *js = json_read(text, strlen(text), err);

	create_body_any_case(js);
	return js ? create_body_decode(js, b, err) : -1;
}

static void refused(const char *host, const char *want)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_STRV struct strv warnings = { 0 };
	OWN_FREE char *text = NULL;
	struct create_body b = { 0 };

	text = xasprintf("{\"Image\":\"x\",%s}", host);
	if (decode(text, &b, &err) == 0) {
		host_config_defaults(&b.host, &defaults);
		if (container_validate_asked(&b.config, &b.host, &err) == 0)
			container_validate(&b.config, &b.host, &defaults, false, &warnings, &err);
	}
	is_str(err_text(&err), want, "%.60s", host);
	create_body_done(&b);
}

static void test_refusals(void)
{
	refused("\"HostConfig\":{\"Memory\":1000}", "Minimum memory limit allowed is 6MB");
	refused("\"HostConfig\":{\"MemorySwap\":100000000}", "You should always set the Memory limit when using Memoryswap limit, see usage");
	refused("\"HostConfig\":{\"MemorySwappiness\":101}", "Invalid value: 101, valid memory swappiness range is 0-100");
	refused("\"HostConfig\":{\"NanoCpus\":1000000000,\"CpuQuota\":1000}", "Conflicting options: Nano CPUs and CPU Quota cannot both be set");
	refused("\"HostConfig\":{\"CpusetCpus\":\"abc\"}", "Invalid value abc for cpuset cpus: invalid format: abc");
	refused("\"HostConfig\":{\"OomScoreAdj\":2000}", "Invalid value 2000, range for oom score adj is [-1000, 1000]");
	refused("\"HostConfig\":{\"CapAdd\":[\"FOO\"]}", "invalid CapAdd: unknown capability: \"CAP_FOO\"");
	refused("\"HostConfig\":{\"CgroupnsMode\":\"foo\"}", "invalid cgroup namespace mode: foo");
	refused("\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"foo\"}}", "invalid restart policy 'foo'");
	refused("\"HostConfig\":{\"AutoRemove\":true,\"RestartPolicy\":{\"Name\":\"always\"}}", "can't create 'AutoRemove' container with restart policy");
	refused("\"HostConfig\":{\"Runtime\":\"foo\"}", "Unknown runtime specified foo");
	refused("\"HostConfig\":{\"SecurityOpt\":[\"foo=bar\"]}", "invalid --security-opt 2: \"foo=bar\"");
	refused("\"HostConfig\":{\"Isolation\":\"foo\"}", "Invalid isolation: \"foo\" - linux only supports 'default'");
	refused("\"HostConfig\":{\"Tmpfs\":{\"x\":\"\"}}", "invalid mount path: 'x' mount path must be absolute");
	refused("\"HostConfig\":{\"PortBindings\":{\"foo\":[{}]}}", "invalid port specification: \"foo\"");
	refused("\"HostConfig\":{\"Sysctls\":{\"kernel.shm_rmid_forced\":\"1+kernel.core_pattern=|/x\"}}", "invalid value for sysctl 'kernel.shm_rmid_forced'");
	refused("\"HostConfig\":{\"Sysctls\":{\"kernel.core_pattern\":\"x\"}}", "sysctl 'kernel.core_pattern' is not allowed");
	refused("\"HostConfig\":{\"ExtraHosts\":[\"a:1.2.3.4\\n5.6.7.8 b\"]}", "bad format for add-host: \"a:1.2.3.4\n5.6.7.8 b\"");
	refused("\"WorkingDir\":\"foo\"", "the working directory 'foo' is invalid, it needs to be an absolute path");
	refused("\"StopSignal\":\"FOO\"", "Invalid signal: FOO");
	refused("\"Env\":[\"=x\"]", "invalid environment variable: =x");
	refused("\"User\":\"a\\nroot2::0:0::/:/bin/sh\"", "invalid user: control characters are not allowed");
	refused("\"Hostname\":\"a\\nb\"", "invalid hostname: control characters are not allowed");
	refused("\"HostConfig\":{\"Binds\":[1]}", "invalid JSON: /HostConfig/Binds/0: expected a string, got an integer");
	refused("\"HostConfig\":{\"CpusetCpus\":\"0,\"}", "Invalid value 0, for cpuset cpus: invalid format: 0,");
	refused("\"HostConfig\":{\"IOMaximumIOps\":1}", "Invalid QoS settings: linux does not support configuration of maximum IOPs");
	refused("\"HostConfig\":{\"Sysctls\":{\"kernel.msgmax\":\"1\"},\"IpcMode\":\"host\"}", "sysctl 'kernel.msgmax' is not allowed because host ipc is used");
	refused("\"HostConfig\":{\"Sysctls\":{\"net/ipv4/../x\":\"1\"}}", "sysctl 'net/ipv4/../x' is not allowed");
	refused("\"HostConfig\":{\"NetworkMode\":\"container\"}", "Invalid network mode: invalid container format container:<name|id>");
	refused("\"HostConfig\":{\"CpusetCpus\":\"0-2147483647\"}", "Invalid value 0-2147483647 for cpuset cpus: value of out range, maximum is 8192");
}

/* What is taken without effect is named. */
static void warned(const char *members, const char *text)
{
	OWN_FREE char *body = xasprintf("{\"Image\":\"x\",\"HostConfig\":{%s}}", members);
	OWN_STRV struct strv warnings = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct create_body b;

	ok(decode(body, &b, &err) == 0, "%s", members);
	host_config_defaults(&b.host, &defaults);
	ok(container_validate(&b.config, &b.host, &defaults, false, &warnings, &err) == 0, "taken");
	is_str(warnings.len ? warnings.v[0] : "", text, "and warned about");
	create_body_done(&b);
}

static void test_warnings(void)
{
	warned("\"KernelMemory\":5000000", "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded.");
	warned("\"CpuPercent\":5", "linux does not support CPU percent. Percent discarded.");
	warned("\"CpuCount\":5", "linux does not support CPU count. Count discarded.");
	warned("\"Cgroup\":\"x\"", "The field Cgroup has no effect: no driver of this daemon reads it.");
	warned("\"SecurityOpt\":[\"label=level:s0\"]", "SELinux is not enabled. The label options have no effect.");
	warned("\"Memory\":0", "");
	if (!apparmor_on())
		warned("\"SecurityOpt\":[\"apparmor=foo\"]", "Your kernel does not support AppArmor. The profile foo has no effect.");
}

static void test_body(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct create_body b;

	ok(decode("{}", &b, &err) < 0 && err.class == ERR_INVALID, "an empty body is refused");
	is_str(err_text(&err), "Config cannot be empty in order to create a container", "with Docker's text");
	ok(decode("{\"Image\":\"x\",\"HostConfig\":{\"privileged\":true}}", &b, &err) < 0 && err.class == ERR_INVALID, "a key in another case is refused");
	is_str(err_text(&err), "invalid JSON: /HostConfig/privileged: the key is written Privileged", "with its place and its name");
	err_done(&err);
	create_body_done(&b);
	ok(decode("{\"Image\":\"x\",\"HostConfig\":{\"PortBindings\":{\"80/tcp\":[{\"hostPort\":\"81\"}]}}}", &b, &err) == 0 && publish_check(&b.host, &err) < 0, "nor in a binding");
	is_str(err_text(&err), "invalid JSON: /HostConfig/PortBindings/80/tcp/0/hostPort: the key is written HostPort", "with its place, too");
	err_done(&err);
	create_body_done(&b);
	ok(decode_any("{\"image\":\"x\",\"CMD\":[\"a\"],\"hostconfig\":{\"memory\":1,\"restartPolicy\":{\"name\":\"always\"},\"portbindings\":{\"80/tcp\":[{\"hostport\":\"81\",\"HOSTIP\":\"\"}]}},"
		"\"networkingConfig\":{\"endpointsconfig\":{\"net\":{\"aliases\":[\"a\"]}}},\"labels\":{\"image\":\"kept\"}}", &b, &err) == 0, "where nobody judges, any spelling will do: %s", err_text(&err));
	ok(streq(b.config.image, "x") && b.config.cmd.len == 1 && b.host.memory == 1 && streq(b.host.restart.name, "always") && streq(strmap_get(&b.config.labels, "image"), "kept"), "of all members");
	is_str(b.host.port_bindings, "{\"80/tcp\":[{\"HostPort\":\"81\",\"HostIp\":\"\"}]}", "and of bindings");
	is_str(b.networking, "{\"EndpointsConfig\":{\"net\":{\"Aliases\":[\"a\"]}}}", "and of endpoints");
	create_body_done(&b);
	ok(decode("{\"Image\":\"x\",\"Cmd\":\"a b\",\"Unknown\":1,\"HostConfig\":{\"ConsoleSize\":[24,80],\"Nope\":{}}}", &b, &err) == 0, "unknown keys are not");
	is_str(b.config.image, "x", "image");
	ok(b.config.cmd.len == 1 && b.host.console_size[1] == 80 && !b.config.rest && !b.host.rest, "unknown members are not kept");
	create_body_done(&b);
}

static void test_merge(void)
{
	struct container_config c = { 0 };
	struct image_config img = { 0 };

	strv_add(&img.cmd, "sh");
	strv_add(&img.entrypoint, "/entry");
	strv_add(&img.env, "A=1");
	strv_add(&img.env, "B=2");
	strv_add(&c.env, "A=9");
	container_config_merge(&c, &img);
	ok(c.cmd.len == 1 && c.entrypoint.len == 1, "command and entrypoint come from the image");
	ok(c.env.len == 2 && streq(strv_env_get(&c.env, "A"), "9") && streq(strv_env_get(&c.env, "B"), "2"), "the container's variables win");
	jdesc_clear(&container_config_desc, &c);
	strv_add(&img.env, "A=3");
	strv_add(&img.env, "");
	strv_add(&img.env, "=x");
	container_config_merge(&c, &img);
	ok(c.env.len == 3 && streq(c.env.v[2], "A=3"), "what the image says twice comes twice, what has no name not at all");
	jdesc_clear(&container_config_desc, &c);
	strv_add(&c.entrypoint, "");
	container_config_merge(&c, &img);
	ok(c.entrypoint.len == 0 && c.cmd.len == 0, "an empty entrypoint clears the image's");
	jdesc_clear(&container_config_desc, &c);
	strv_add(&c.cmd, "ls");
	container_config_merge(&c, &img);
	ok(c.entrypoint.len == 1 && streq(c.cmd.v[0], "ls"), "a command keeps the entrypoint");
	jdesc_clear(&container_config_desc, &c);
	c.volumes.set = true;
	container_config_merge(&c, &img);
	ok(!c.volumes.set, "no volumes of either: null, as in Docker");
	strv_add(&img.volumes, "/a");
	container_config_merge(&c, &img);
	ok(c.volumes.set && c.volumes.len == 1, "those of the image");
	jdesc_clear(&container_config_desc, &c);
	strv_add(&c.volumes, "/b");
	container_config_merge(&c, &img);
	ok(c.volumes.len == 2, "and those of both");
	jdesc_clear(&container_config_desc, &c);
	strv_done(&img.volumes);
	strv_done(&img.cmd);
	strv_done(&img.entrypoint);
	strv_done(&img.env);
}

static char root[] = "/tmp/dkd-spec-XXXXXX";

static void put_file(int fd, const char *path, const char *text)
{
	OWN_ERR struct err err = ERR_INIT;

	ok(fs_write_atomic(fd, path, text, strlen(text), 0644, FS_RENAME_ONLY, &err) == 0, "writes %s %s", path, err_text(&err));
}

static int truncate_at(int dirfd, const char *path, off_t size)
{
	OWN_FD int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -1 : ftruncate(fd, size);
}

static void test_users(int fd)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_STRV struct strv more = { 0 };
	struct user_ids u;

	put_file(fd, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n1:x:0:0::/:/bin/sh\n");
	put_file(fd, "etc/group", "root:x:0:\nusers:x:100:\nextra:x:7:bob,ann\n");
	strv_add(&more, "33");
	ok(user_lookup(fd, "ann", &more, &u, &err) == 0 && u.uid == 1000 && u.gid == 100 && u.groups.len == 3, "a name brings its groups and --group-add");
	is_str(u.home, "/home/ann", "and its home");
	user_ids_done(&u);
	ok(user_lookup(fd, "1", NULL, &u, &err) == 0 && u.uid == 1, "a number is never a name");
	user_ids_done(&u);
	ok(user_lookup(fd, "1000:extra", NULL, &u, &err) == 0 && u.gid == 7, "uid and group name");
	user_ids_done(&u);
	ok(user_lookup(fd, "nope", NULL, &u, &err) < 0, "unknown user");
	is_str(err_text(&err), "unable to find user nope: no matching entries in passwd file", "Docker's text");
	user_ids_done(&u);
	ok(user_lookup(fd, "2147483648", NULL, &u, &err) < 0 && user_lookup(fd, "-1", NULL, &u, &err) < 0, "out of range");
	ok(user_lookup(fd, "5:6:7", NULL, &u, &err) == 0 && u.uid == 5 && u.gid == 6, "a third part is not looked at");
	user_ids_done(&u);
	ok(user_lookup(fd, "ann:users:", NULL, &u, &err) == 0 && u.uid == 1000 && u.gid == 100, "nor behind names");
	user_ids_done(&u);
	unlinkat(fd, "etc/passwd", 0);
	unlinkat(fd, "etc/group", 0);
}

/* Puts something else into the place of passwd and group. */
static void put_odd(int fd, const char *kind)
{
	static const char *const files[] = { "etc/passwd", "etc/group" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		unlinkat(fd, files[i], 0);
		unlinkat(fd, files[i], AT_REMOVEDIR);
		if (streq(kind, "folder"))
			ok(mkdirat(fd, files[i], 0755) == 0, "mkdir");
		else if (streq(kind, "FIFO"))
			ok(mkfifoat(fd, files[i], 0600) == 0, "mkfifo");
		else if (streq(kind, "link"))
			ok(symlinkat("loop", fd, files[i]) == 0, "symlink");
		else if (streq(kind, "device"))
			ok(geteuid() != 0 || mknodat(fd, files[i], S_IFCHR | 0600, makedev(1, 5)) == 0, "mknod");
		else if (!streq(kind, "nothing"))
			put_file(fd, files[i], "x:x:9:9:\n");
		if (streq(kind, "large"))
			ok(truncate_at(fd, files[i], 3 << 20) == 0, "truncate");
	}
}

static void test_odd_users(int fd)
{
	static const char *const kinds[] = { "FIFO", "folder", "device", "link", "large", "nothing" };

	ok(symlinkat("loop", fd, "etc/loop") == 0, "a link to itself");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		OWN_ERR struct err err = ERR_INIT;
		struct user_ids u;

		put_odd(fd, kinds[i]);
		if (streq(kinds[i], "FIFO")) {
			ok(user_lookup(fd, "5", NULL, &u, &err) < 0 && err.class == ERR_INVALID && strstr(err_text(&err), "is a FIFO"),
				"%s: a number is refused, too: %s", kinds[i], err_text(&err));
			ok(user_lookup(fd, "", NULL, &u, &err) < 0 && user_lookup(fd, "ann", NULL, &u, &err) < 0 && user_lookup(fd, "5:6", NULL, &u, &err) < 0,
				"%s: and nobody, names and groups", kinds[i]);
			continue;
		}
		ok(user_lookup(fd, "5", NULL, &u, &err) == 0 && u.uid == 5 && u.gid == 0, "%s: a numeric user: %s", kinds[i], err_text(&err));
		user_ids_done(&u);
		ok(user_lookup(fd, "", NULL, &u, &err) == 0 && u.uid == 0, "%s: nobody named: %s", kinds[i], err_text(&err));
		user_ids_done(&u);
		ok(user_lookup(fd, "5:6", NULL, &u, &err) == 0 && u.gid == 6, "%s: a numeric group: %s", kinds[i], err_text(&err));
		user_ids_done(&u);
		ok(user_lookup(fd, "ann", NULL, &u, &err) < 0 && err.class == ERR_INVALID && str_has_prefix(err_text(&err), "unable to find user ann: "),
			"%s: a name: %s", kinds[i], err_text(&err));
		user_ids_done(&u);
		ok(user_lookup(fd, "5:extra", NULL, &u, &err) < 0 && str_has_prefix(err_text(&err), "unable to find group extra: "), "%s: a group: %s",
			kinds[i], err_text(&err));
		user_ids_done(&u);
	}
	unlinkat(fd, "etc/loop", 0);
}

static void test_bundle(int fd)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf b = { 0 };
	OWN_STRV struct strv args = { 0 };
	struct create_body body;
	struct sandbox sb = { .netns_path = (char *)"/run/netns/x" };
	struct bundle_in in = { .id = "abc", .hostname = "h", .rootfs = root, .config = &body.config, .host = &body.host,
		.defaults = &defaults, .sandbox = &sb, .path = "ls", .args = &args };
	json_t *js;

	ok(decode("{\"Image\":\"x\",\"WorkingDir\":\"/link/deep\",\"Env\":[\"K=v\"],\"HostConfig\":{\"Memory\":10000000,\"CapDrop\":[\"ALL\"],"
		"\"CapAdd\":[\"net_raw\"],\"ReadonlyRootfs\":true}}", &body, &err) == 0, "body %s", err_text(&err));
	host_config_defaults(&body.host, &defaults);
	ok(symlinkat("/tmp", fd, "link") == 0, "a link that leads out");
	ok(bundle_write(&in, root, &err) == 0, "writes %s", err_text(&err));
	ok(!fs_exists("/tmp/deep"), "the working directory is made inside");
	ok(fs_read(fd, "config.json", 1 << 20, &b, &err) == 0, "reads back");
	js = json_loadb(b.data, b.size, JSON_DECODE_INT_AS_REAL, NULL); /* seccomp's masks have 64 bits */
	ok(js != NULL, "is JSON");
	is_int(json_array_size(json_object_get(json_object_get(json_object_get(js, "process"), "capabilities"), "bounding")), 1, "one capability");
	is_int(json_is_true(json_object_get(json_object_get(js, "root"), "readonly")), 1, "read-only root");
	is_int((int64_t)json_real_value(json_object_get(json_object_get(json_object_get(json_object_get(js, "linux"), "resources"), "memory"), "limit")), 10000000, "memory limit");
	ok(strstr(b.data, "/proc/interrupts") && strstr(b.data, "/proc/kcore"), "masked paths");
	ok(strstr(b.data, "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\"") != NULL, "seccomp");
	json_decref(js);
	create_body_done(&body);
}

/* The policy that apparmor_parser makes of a text for a kernel of the ABI 3.0, as bytes. */
static void compile(const char *text, struct buf *ret)
{
	OWN_FREE char *path = xasprintf("%s/profile", root);
	OWN_FREE char *cmd = xasprintf("/sbin/apparmor_parser --skip-kernel-load --skip-cache --stdout --features-file /etc/apparmor.d/abi/3.0 %s 2>&1", path);
	char chunk[4096];
	size_t n;
	FILE *f;

	BUG_ON(fs_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, FS_RENAME_ONLY, NULL) < 0);
	f = popen(cmd, "r");
	while (f && (n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(ret, chunk, n);
	if (!f || pclose(f) != 0)
		buf_reset(ret);
}

/* Docker's rules, in another order. */
static char *docker_profile(const char *daemon)
{
	const char *top = getenv("top_srcdir");
	OWN_FREE char *path = xasprintf("%s/t/unit/apparmor-facts.txt", top ? top : ".");
	OWN_BUF struct buf facts = { 0 }, b = { 0 };
	OWN_STRV struct strv lines = { 0 };

	BUG_ON(fs_read(AT_FDCWD, path, 65536, &facts, NULL) < 0);
	buf_addc(&facts, '\0');
	strv_split(&lines, facts.data, "\n");
	buf_adds(&b, "#include <tunables/global>\nprofile docker-default flags=(attach_disconnected,mediate_deleted) {\n#include <abstractions/base>\n");
	for (size_t i = 0; i < lines.len; i++) {
		const char *at = strstr(lines.v[i], "DAEMON");

		if (lines.v[i][0] == '#')
			continue;
		if (at)
			buf_addf(&b, "%.*s%s%s\n", (int)(at - lines.v[i]), lines.v[i], daemon, at + strlen("DAEMON"));
		else
			buf_addf(&b, "%s\n", lines.v[i]);
	}
	buf_adds(&b, "}\n");
	buf_addc(&b, '\0');
	return buf_steal(&b);
}

static void test_policy(const char *own)
{
	OWN_FREE char *docker = docker_profile("/usr/sbin/docker d"), *other = docker_profile("/usr/sbin/other");
	OWN_BUF struct buf a = { 0 }, b = { 0 }, c = { 0 };

	if (access("/sbin/apparmor_parser", X_OK) < 0 || access("/etc/apparmor.d/abi/3.0", R_OK) < 0) {
		skip("Docker's policy", "no apparmor_parser");
		return;
	}
	compile(own, &a);
	compile(docker, &b);
	compile(other, &c);
	ok(a.size > 1000 && a.size == b.size && memcmp(a.data, b.data, a.size) == 0, "the policy is Docker's newest (%zu bytes, %zu)", a.size, b.size);
	ok(c.size && (a.size != c.size || memcmp(a.data, c.data, a.size) != 0), "and another one is not");
}

/* The kernel's answer to it is 43-apparmor's. */
static void test_apparmor(void)
{
	OWN_BUF struct buf text = { 0 }, confined = { 0 };
	struct host_config hc = { 0 };

	is_str(apparmor_profile(&hc), "docker-default", "apparmor: who says nothing");
	hc.privileged = true;
	is_str(apparmor_profile(&hc), "unconfined", "privileged");
	strv_add(&hc.security_opt, "apparmor=own");
	is_str(apparmor_profile(&hc), "own", "its own");
	strv_done(&hc.security_opt);
	apparmor_text(NULL, &text);
	apparmor_text("/usr/sbin/docker d", &confined);
	buf_addc(&text, '\0');
	buf_addc(&confined, '\0');
	ok(!strstr(text.data, "docker d") && strstr(confined.data, "signal (receive) peer=\"/usr/sbin/docker d\","), "a daemon that is confined may end containers");
	test_policy(confined.data);
}

int main(void)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FD int fd = -1;

	strmap_set(&defaults.runtimes, "runc", "/usr/sbin/runc");
	ok(mkdtemp(root) != NULL, "scratch");
	fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdirat(fd, "etc", 0755);
	test_warnings();
	test_apparmor();
	test_body();
	test_refusals();
	test_merge();
	test_odd_users(fd);
	test_users(fd);
	test_bundle(fd);
	is_int(signal_parse("SIGTERM"), 15, "signal name");
	is_int(signal_parse("9"), 9, "signal number");
	is_int(signal_parse("nope"), -1, "no signal");
	strmap_done(&defaults.runtimes);
	ok(fs_remove_tree(AT_FDCWD, root, &err) == 0, "cleans up");
	return tap_done();
}
