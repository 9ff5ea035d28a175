/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Flags, daemon.json, the INI file, validation, reload. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "config/value.h"
#include "reexec.h"
#include "tap.h"

static char dir[] = "/tmp/test-config-XXXXXX";
static struct config cfg;
static char *said;     /* last error text */
static int status;
static enum config_what what;

static char *file_named(const char *name, const char *text, size_t size)
{
	char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	fs_write_all(fd, text, size);
	close(fd);
	return path;
}

static void rewrite(const char *text)
{
	free(file_named("conf", text, strlen(text)));
}

/* Parses "a b c" as a command line. */
static int args(const char *line)
{
	OWN_STRV struct strv v = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	int rc;

	config_done(&cfg);
	config_init(&cfg);
	strv_split(&v, line, " ");
	status = 0;
	rc = config_parse_args(&cfg, (int)v.len, v.v, &what, &status, &err);
	str_set(&said, err_text(&err));
	return rc;
}

/* flags plus a file of that text; loads and validates. */
static int load(const char *flags, const char *text, size_t size)
{
	OWN_FREE char *path = file_named("conf", text, size);
	OWN_FREE char *line = xasprintf("dockerd --config-file %s%s%s", path, *flags ? " " : "", flags);
	OWN_ERR struct err err = ERR_INIT;
	int rc = args(line);

	if (rc == 0) {
		rc = config_load_file(&cfg, &err);
		if (rc == 0)
			rc = config_validate(&cfg, &err);
		str_set(&said, err_text(&err));
	}
	return rc;
}
#define LOAD(flags, text) load(flags, text, strlen(text))

static void has(const char *part, const char *what_for)
{
	if (!ok(strstr(said, part) != NULL, "%s", what_for))
		printf("#  got: %s\n# want: %s\n", said, part);
}

static void test_flags(void)
{
	ok(args("dockerd -D --mtu=1400 -H unix:///a -Hunix:///b --label a=1 --icc=false -l warn") == 0, "a command line");
	ok(cfg.debug && cfg.mtu == 1400 && !cfg.icc, "values by =, separate and alone");
	is_int(cfg.hosts.len, 2, "lists grow");
	is_str(cfg.hosts.v[1], "unix:///b", "a short flag with its value behind");
	is_str(cfg.log_level, "warn", "a short flag with its value next");
	is_int(cfg.from[OPT_ID_mtu], FROM_FLAG, "remembers who set it");
	is_int(cfg.from[OPT_ID_bip], FROM_DEFAULT, "and what nobody set");
	ok(args("dockerd -Dp /x") == 0 && cfg.debug && streq(cfg.pidfile, "/x"), "shorts combine");
	ok(args("dockerd -D=false") == 0 && !cfg.debug, "a short switch with =");
	ok(args("dockerd --nope") < 0, "unknown flag");
	is_str(said, "unknown flag: --nope\nSee 'dockerd --help'.", "in Docker's words");
	is_int(status, 125, "with Docker's status");
	args("dockerd -DZ");
	is_str(said, "unknown shorthand flag: 'Z' in -DZ\nSee 'dockerd --help'.", "unknown letter");
	args("dockerd --host");
	is_str(said, "flag needs an argument: --host\nSee 'dockerd --help'.", "argument missing");
	args("dockerd -H");
	is_str(said, "flag needs an argument: 'H' in -H\nSee 'dockerd --help'.", "argument of a letter missing");
	args("dockerd --=x");
	is_str(said, "bad flag syntax: --=x\nSee 'dockerd --help'.", "bad syntax");
	args("dockerd --debug=foo");
	is_str(said, "invalid argument \"foo\" for \"-D, --debug\" flag: strconv.ParseBool: parsing \"foo\": invalid syntax\n"
		"See 'dockerd --help'.", "bad boolean");
	args("dockerd --default-ulimit nofile");
	has("invalid ulimit argument: nofile", "bad ulimit");
	args("dockerd --default-ulimit nofile=20:10");
	has("ulimit soft limit must be less than or equal to hard limit: 20 > 10", "soft above hard");
	args("dockerd --add-runtime runc=/x");
	has("runtime name 'runc' is reserved", "runc is reserved");
	args("dockerd --registry-mirror foo");
	has("invalid mirror: unsupported scheme \"\" in \"foo\"", "bad mirror");
	args("dockerd --registry-mirror https://m.example/path");
	has("invalid mirror: path, query, or fragment at end of the URI", "a mirror of docker.io has no path");
	ok(args("dockerd --registry-mirror-of q.example:5000=https://m.example/path --registry-mirror-of q.example:5000=http://n") == 0, "another registry's may have one");
	is_int(cfg.registry_mirrors_of.len, 2, "there may be many");
	args("dockerd --registry-mirror-of https://m.example/path");
	has("is not made of a registry's host[:port], '=' and a URL", "a mirror of nothing");
	args("dockerd --registry-mirror-of q=m.example");
	has("invalid mirror: unsupported scheme", "a mirror that is no URL");
	args("dockerd --registry-mirror-of q=https://u:p@m.example");
	has("username/password not allowed in URI", "a mirror with a password");
	ok(LOAD("", "{\"registry-mirrors-of\":{\"q.example\":[\"https://a/x\",\"https://b\"],\"r.example\":[\"https://c\"]}}") == 0, "the same in daemon.json");
	is_str(cfg.registry_mirrors_of.v[1], "q.example=https://b", "in order");
	LOAD("", "{\"registry-mirrors-of\":{\"q.example\":\"https://a\"}}");
	has("\"registry-mirrors-of\" must be an object of arrays, not a string", "of another type");
	LOAD("", "{\"max-download-stall\":0}");
	has("invalid max download stall: 0", "no patience at all");
	LOAD("", "{\"min-download-rate\":-1}");
	has("invalid min download rate: -1", "a rate below nothing");
	args("dockerd -H foo://x");
	has("invalid bind address format: foo://x", "bad host");
	args("dockerd --label a");
	has("bad attribute format: a", "bad label");
	ok(args("dockerd foo") < 0 && status == 1, "arguments are refused");
	has("\"dockerd\" accepts no arguments.", "in words");
	ok(args("dockerd -- --debug") < 0, "-- ends the flags");
	ok(args("dockerd --help --nope") == 0 && what == CONFIG_SHOW_HELP, "help before what follows");
	ok(args("dockerd -v") == 0 && what == CONFIG_SHOW_VERSION, "version");
	ok(args("dockerd --default-shm-size 1.5g") == 0 && cfg.default_shm_size == 1610612736, "sizes");
	ok(args("dockerd --feature buildkit=false --feature x") == 0, "features");
	is_str(strmap_get(&cfg.features, "buildkit"), "false", "off");
	is_str(strmap_get(&cfg.features, "x"), "true", "on without a value");
}

static void test_legacy(void)
{
	ok(args("dockerd -g /x -d") == 0 && streq(cfg.data_root, "/x"), "-g is the data-root");
	is_int(cfg.warnings.len, 2, "old names are warned about");
	ok(args("dockerd -e native") == 0, "the execution driver there was");
	ok(args("dockerd --exec-driver lxc") < 0, "another one is refused");
	has("--default-runtime", "naming what to use");
	ok(args("dockerd --kv-store etcd://x") < 0, "an old word for the cluster store is refused");
	ok(args("dockerd --api-enable-cors=false") == 0, "asking for nothing is fine");
	ok(args("dockerd --api-enable-cors") < 0, "asking for it is not");
	has("reverse proxy", "and says what to do");
	ok(args("dockerd --oom-score-adjust -500") == 0 && cfg.warnings.len == 1, "ignored with a warning");
	args("dockerd --data-root /x --graph /y");
	has("cannot specify both \"--graph\" and \"--data-root\" option", "not under both of its names");
	args("dockerd --graph /y --data-root /x");
	has("cannot specify both \"--graph\" and \"--data-root\" option", "in either order");
	ok(args("dockerd -g /x -g /y") == 0 && streq(cfg.data_root, "/y"), "the last of two holds");
	ok(LOAD("--default-runtime= --default-ipc-mode= --default-cgroupns-mode= --log-driver= --log-level=", "{\"ip\":\"\"}") == 0,
		"empty words");
	ok(streq(cfg.default_runtime, "runc") && streq(cfg.default_ipc_mode, "private") && *cfg.default_cgroupns_mode &&
		streq(cfg.log_driver, "json-file") && streq(cfg.log_level, "info"), "are the defaults");
	args("dockerd --dns-search 127.0.0.1");
	has("127.0.0.1 is not a valid domain", "a search domain has letters");
	ok(LOAD("", "{\"deprecated-key-path\":\"/x\",\"graph\":\"/y\"}") == 0 && streq(cfg.data_root, "/y"), "old keys");
}

static void test_json(void)
{
	ok(LOAD("", "") == 0 && LOAD("", " \n") == 0 && LOAD("", "{}") == 0, "nothing in the file");
	ok(LOAD("",
		"{\"debug\":true,\"iptables\":false,\"labels\":[\"a=1\"],\"log-opts\":{\"max-size\":\"1m\"},\"mtu\":1400}") == 0, "a file");
	ok(cfg.debug && !cfg.iptables && cfg.mtu == 1400, "false beats a true default");
	is_str(strmap_get(&cfg.log_opts, "max-size"), "1m", "a map");
	is_str(cfg.labels.v[0], "a=1", "a list");
	ok(LOAD("", "\xef\xbb\xbf{\"debug\":true}") == 0 && cfg.debug, "UTF-8 with a mark");
	ok(load("", "\xff\xfe{\0}\0", 6) == 0, "UTF-16LE");
	ok(load("", "\xff\xfe{\0}", 5) < 0, "cut UTF-16LE");
	LOAD("", "{\"foo\":1,\"bar\":2}");
	has("the following directives don't match any configuration option: bar, foo", "unknown keys");
	has("unable to configure the Docker daemon with file /tmp/", "names the file");
	LOAD("-D --label b=2 --mtu 1200 --log-opt max-size=2m",
		"{\"labels\":[\"a=1\"],\"log-opts\":{\"max-size\":\"1m\"},\"mtu\":1400,\"debug\":true}");
	has("the following directives are specified both as a flag and in the configuration file: "
		"debug: (from flag: true, from file: true), labels: (from flag: [b=2], from file: [a=1]), "
		"log-opts: (from flag: map[max-size:2m], from file: map[max-size:1m]), mtu: (from flag: 1200, from "
			"file: 1400)", "conflicts, as Docker prints them");
	ok(LOAD("--add-runtime "
		"a=/a", "{\"runtimes\":{\"b\":{\"path\":\"/b\",\"runtimeArgs\":[\"-x\",\"-y\"]}}}") == 0,
		"runtimes may be in both");
	ok(strmap_get(&cfg.runtimes, "a") && strmap_get(&cfg.runtimes, "b"), "and add up");
	is_str(strmap_get(&cfg.runtime_args, "b"), "-x\n-y", "with their arguments");
	ok(LOAD("", "{\"debug\":true,\"debug\":false}") < 0, "a key twice");
	ok(LOAD("", "{\"debug\":\"x\"}") < 0, "a wrong type");
	has("\"debug\" must be a boolean, not a string", "named");
	ok(LOAD("", "{\"proxies\":{\"http-proxy\":\"http://u:p@h\"}}") == 0 && streq(cfg.http_proxy, "http://u:p@h"),
		"proxies are a group");
	ok(LOAD("--http-proxy http://a:secret@h", "{\"proxies\":{\"http-proxy\":\"http://u:other@h\"}}") < 0,
		"conflict in a group");
	ok(!strstr(said, "secret") && !strstr(said, "other"), "without the passwords");
	LOAD("", "{\"group1\":{\"foo\":1}}");
	has("don't match any configuration option: foo", "unknown members of a group");
	ok(LOAD("", "{\"group1\":{\"debug\":true}}") < 0, "a group nobody knows is no place for options");
	ok(LOAD("", "{\"host-gateway-ip\":\"10.0.0.1\"}") == 0 && cfg.host_gateway_ips.len == 1, "the old key of the gateway");
	ok(LOAD("", "{\"host-gateway-ip\":\"10.0.0.1\",\"host-gateway-ips\":[\"10.0.0.2\"]}") < 0, "not both");
	ok(LOAD("", "{\"log-opts\":{\"max-file\":3}}") < 0, "log options are strings");
	ok(LOAD("", "{\"runtimes\":{\"k\":{\"runtimeType\":\"io.containerd.kata.v2\"}}}") < 0, "no containerd shims");
	ok(LOAD("", "{\"default-ulimits\":{\"nofile\":{\"Name\":\"nofile\",\"Hard\":20,\"Soft\":10}}}") == 0, "ulimits");
	is_str(strmap_get(&cfg.default_ulimits, "nofile"), "10:20", "soft and hard");
	ok(LOAD("", "{\"default-address-pools\":[{\"base\":\"10.0.0.0/8\",\"size\":24}]}") == 0, "address pools");
	is_str(cfg.default_address_pools.v[0], "base=10.0.0.0/8,size=24", "as the flag has them");
	ok(LOAD("",
		"{\"default-network-opts\":{\"bridge\":{\"mtu\":\"1400\"}},\"nri-opts\":{\"enable\":true},\"builder\":{\"gc\":{\"enabled\":true}}}") == 0,
		"nested options");
}

static void test_ini(void)
{
	char text[512];

	ok(LOAD("", "; comment\n[daemon]\ndebug = true\nlabels = a=1\nlabels = b=2\nlog-opts = max-size=1m\nruntimes = x=/x\n"
		"[graph.overlay]\nskip = yes\n[authz.policy]\nallow = GET /a\nallow = GET /b\n") == 0, "an INI file");
	ok(cfg.debug && cfg.labels.len == 2, "the same keys");
	is_str(strmap_get(&cfg.driver_options, "graph.overlay.skip"), "yes", "drivers' options");
	is_str(strmap_get(&cfg.driver_options, "authz.policy.allow"), "GET /a\nGET /b", "repeated ones are lines");
	is_str(strmap_get(&cfg.runtimes, "x"), "/x", "runtimes");
	ok(LOAD("", "[daemon]\ndebug = true\ndebug = false\n") < 0, "a key twice");
	has("the option \"debug\" is set twice", "named");
	ok(LOAD("-D", "[daemon]\ndebug = false\n") < 0, "conflict with a flag");
	has("debug: (from flag: true, from file: false)", "in Docker's words");
	LOAD("", "[daemon]\nnope = 1\n");
	has("don't match any configuration option: nope", "unknown key");
	LOAD("", "[nope]\na = 1\n");
	has("unknown section [nope]", "unknown section");
	LOAD("", "[graph.]\na = 1\n");
	has("unknown section [graph.]", "a driver's section without a driver");
	ok(LOAD("", "[nope]\n[daemon]\n") < 0, "also one that is empty");
	has("unknown section [nope]", "named");
	ok(LOAD("", "[]") < 0, "an array of JSON is no file without options");
	has("unknown section []", "but a section without a name");
	ok(LOAD("", "[daemon]\n[graph.overlay]\n[daemon]") == 0, "sections that are known may be empty");
	LOAD("", "a = 1\n");
	has("before the first section", "no section");
	LOAD("", "[daemon]\njust words\n");
	has("line 2", "no assignment");
	snprintf(text, sizeof(text), "[daemon]\ncgroup-parent=%0185d\n", 1);
	ok(LOAD("", text) == 0, "199 bytes are read");
	is_int(strlen(cfg.cgroup_parent), 185, "to the last");
	snprintf(text, sizeof(text), "[daemon]\ncgroup-parent=%0186d\n", 1);
	ok(LOAD("", text) < 0, "200 are refused");
	has("line 2 is longer than 199 bytes", "naming the line");
	snprintf(text, sizeof(text), "[graph.%050d]\na=1\n", 1);
	ok(LOAD("", text) < 0, "a section's name, too");
	ok(LOAD("", "[daemon]\nlabels = a=1\n  b=2\n") < 0, "continuation lines are refused");
	has("line 3", "naming the line");
	ok(load("", "[daemon]\nlabels = a=1\0b\n", 24) < 0, "NUL bytes are refused");
}

static void refused(const char *flags, const char *text)
{
	ok(LOAD(flags, "") < 0, "%s is refused", flags);
	has(text, "in words");
}

static void test_validate(void)
{
	refused("-b br0 --bip 10.0.0.1/24", "mutually exclusive");
	refused("--icc=false --iptables=false", "ICC=false uses iptables");
	refused("--cgroup-parent foo --exec-opt native.cgroupdriver=systemd",
		"cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"");
	refused("--exec-opt native.cgroupdriver=x", "native.cgroupdriver option x not supported");
	refused("--exec-opt foo=x", "exec-opt foo=x is not known");
	refused("--label a=1 --label a=2", "conflict labels for a=2 and a=1");
	refused("--mtu=-1", "invalid default MTU: -1");
	refused("--max-concurrent-downloads=-1", "invalid max concurrent downloads: -1");
	refused("--max-download-attempts=0", "invalid max download attempts: 0");
	refused("--default-runtime nope", "specified default runtime 'nope' does not exist");
	refused("--default-ipc-mode host", "IPC mode \"host\" is not supported as default value");
	refused("--default-cgroupns-mode x", "default cgroup namespace mode (x) is invalid");
	refused("--log-level foo", "invalid logging level: foo");
	refused("--log-format foo", "invalid log format: foo");
	refused("--log-opt foo=x", "unknown log opt 'foo' for json-file log driver");
	refused("--log-driver local --log-opt labels=x", "failed to set log opts: unknown log opt 'labels' for log driver local");
	refused("--log-opt mode=x", "failed to set log opts: logger: logging mode not supported: x");
	refused("--log-opt max-buffer-size=1m", "failed to set log opts: logger: max-buffer-size option is only supported with 'mode=non-blocking'");
	refused("--log-opt max-file=0", "max-file cannot be less than 1");
	ok(LOAD("--log-driver local --log-opt max-age=7d --log-opt mode=non-blocking", "{}") == 0, "local and its options");
	ok(LOAD("--log-opt compress=true --log-opt labels-regex=x", "{}") == 0, "options of json-file");
	ok(LOAD("--insecure-registry http://foo:5000 --insecure-registry fd00::/8 --insecure-registry [::1]:5000", "") == 0, "insecure registries");
	is_str(cfg.insecure_registries.v[0], "foo:5000", "without a scheme");
	ok(cfg.warnings.len == 1 && strstr(cfg.warnings.v[0], "insecure registry http://foo:5000 should not contain 'http://'"), "which is warned about");
	refused("--insecure-registry ftp://foo", "should not contain '://'");
	refused("--insecure-registry foo:5000/", "insecure registry foo:5000/ is not valid");
	refused("--insecure-registry 10.0.0.0/33", "insecure registry 10.0.0.0/33 is not valid");
	refused("--seccomp-profile /nope/x", "opening seccomp profile (/nope/x) failed");
	refused("--storage-opt foo", "expected key=value");
	ok(LOAD("--tlsverify=false", "") == 0 && cfg.tls && !cfg.tlsverify, "--tlsverify, even false, asks for TLS");
	is_str(cfg.hosts.v[0], "tcp://localhost:2376", "whose default host it is");
	ok(LOAD("", "{\"tlsverify\":false}") == 0 && cfg.tls && !cfg.tlsverify, "in the file, too");
	ok(LOAD("--tls=false -H tcp://127.0.0.1", "") == 0 && !cfg.tls && streq(cfg.hosts.v[0], "tcp://127.0.0.1:2375"), "--tls=false");
	ok(LOAD("--tls -H tcp://127.0.0.1", "") == 0 && cfg.tls && streq(cfg.hosts.v[0], "tcp://127.0.0.1:2376"), "the port of TLS");
	ok(LOAD("--tls --tlscert x.pem", "") == 0 && cfg.tlscert[0] == '/' && str_has_suffix(cfg.tlscert, "/x.pem"), "paths are made absolute");
	refused("--rootless", "--rootless is for a daemon in a user namespace: start it with dockerd-rootless");
	refused("--feature containerd-snapshotter=true", "containerd-snapshotter is not in this version");
	ok(LOAD("", "{\"min-api-version\":\"1.40\"}") == 0 && cfg.min_minor == 40, "oldest API");
	ok(LOAD("", "{\"min-api-version\":\"1.12\"}") < 0, "too old");
	ok(LOAD("", "{\"min-api-version\":\"1.99\"}") < 0, "too new");
	setenv("DOCKER_MIN_API_VERSION", "1.44", 1);
	setenv("DOCKER_DRIVER", "vfs", 1);
	ok(LOAD("-s overlay2", "") == 0 && cfg.min_minor == 44, "DOCKER_MIN_API_VERSION");
	is_str(cfg.storage_driver, "vfs", "DOCKER_DRIVER beats the flag");
	unsetenv("DOCKER_MIN_API_VERSION");
	setenv("DOCKER_TLS_VERIFY", "1", 1);
	ok(LOAD("", "") == 0 && cfg.tls && cfg.tlsverify, "DOCKER_TLS_VERIFY asks for TLS");
	unsetenv("DOCKER_TLS_VERIFY");
	unsetenv("DOCKER_DRIVER");
	ok(LOAD("-H unix:///a -H unix:///a -H tcp://:2375 -H tcp://[::1]", "") == 0, "hosts");
	is_int(cfg.hosts.len, 3, "each once");
	is_str(cfg.hosts.v[1], "tcp://localhost:2375", "a host filled in");
	is_str(cfg.hosts.v[2], "tcp://[::1]:2375", "a port filled in");
	ok(LOAD("", "") == 0 && streq(cfg.hosts.v[0], "unix:///var/run/docker.sock"), "the default host");
	ok(args("dockerd -H tcp://a:99999") < 0, "ports end at 65535");
}

static void test_inert(void)
{
	OWN_STRV struct strv inert = { 0 }, more = { 0 }, named = { 0 };

	ok(LOAD("--feature buildkit=true", "{}") == 0, "features without effect");
	config_inert(&cfg, &named);
	is_str(named.v[0], "the feature \"buildkit\" has no effect in this version", "a feature");

	ok(LOAD("--bip 10.0.0.1/24 -b none --label a=1", "{\"dns\":[\"1.1.1.1\"]}") < 0, "bip and bridge");
	ok(LOAD("--network-control-plane-mtu 1400 --label a=1", "{\"network-diagnostic-port\":9}") == 0, "options without effect are taken");
	config_inert(&cfg, &inert);
	is_int(inert.len, 2, "and named, if set");
	setenv("DOCKER_RAMDISK", "1", 1);
	config_inert(&cfg, &more);
	is_str(more.v[0], "DOCKER_RAMDISK has no effect in this version", "so are variables");
	unsetenv("DOCKER_RAMDISK");
	is_str(inert.v[0], "--network-control-plane-mtu has no effect in this version", "a flag");
	ok(strstr(inert.v[1], "the option \"network-diagnostic-port\" of /tmp/") != NULL, "a key");
}

static void test_reload(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct config *next;

	ok(LOAD("--label a=1 --add-runtime "
		"a=/a",
		"{\"debug\":false,\"max-concurrent-downloads\":9,\"runtimes\":{\"b\":{\"path\":\"/b\"}},\"data-root\":\"/x\"}") == 0, "before");
	rewrite("{\"debug\":true,\"data-root\":\"/y\",\"shutdown-timeout\":3,\"runtimes\":{\"c\":{\"path\":\"/c\"}}}");
	next = config_reload(&cfg, &err);
	ok(next != NULL, "reloads %s", err_text(&err));
	if (!next)
		return;
	ok(next->debug && next->shutdown_timeout == 3, "reloadable keys change");
	is_str(next->data_root, "/x", "others stay");
	ok(next->warnings.len == 1 && strstr(next->warnings.v[0], "\"data-root\" takes effect at the next start"),
		"and are named");
	is_str(next->labels.v[0], "a=1", "flags stay");
	is_int(next->max_concurrent_downloads, 3, "an absent one is the default again");
	ok(strmap_get(&next->runtimes, "a") && strmap_get(&next->runtimes, "c") && !strmap_get(&next->runtimes, "b"),
		"runtimes: flags and the new file");
	config_free(next);
	rewrite("{\"labels\":[\"x=1\"]}");
	ok(config_reload(&cfg, &err) == NULL && strstr(err_text(&err), "specified both as a flag"),
		"conflicts as at the start");
	rewrite("{\"default-runtime\":\"nope\"}");
	ok(config_reload(&cfg, &err) == NULL, "nonsense is refused");
	rewrite("{");
	ok(config_reload(&cfg, &err) == NULL && !cfg.debug, "a broken file changes nothing");
}

/* Damaged files: an answer, and a sentence with every refusal. */
static void test_damaged(void)
{
	static const char json[] = "{\"debug\":true,\"labels\":[\"a=1\"],\"proxies\":{\"http-proxy\":\"http://u:p@h\"},\"runtimes\":{\"b\":"
		"{\"path\":\"/b\",\"runtimeArgs\":[\"-x\"]}},\"default-ulimits\":{\"core\":{\"Name\":\"core\",\"Soft\":1,\"Hard\":2}},"
		"\"default-address-pools\":[{\"base\":\"10.0.0.0/8\",\"size\":24}],\"mtu\":1400,\"nri-opts\":{\"enable\":true}}";
	static const char ini[] = "[daemon]\ndebug = true\nlabels = a=1\nmtu=1400\nhosts = "
		"tcp://[::1]:1\ndefault-ulimits=core=1:2\n"
		"default-address-pools=base=10.0.0.0/8,size=24\n[graph.x]\na = b ; c\n";
	int silent = 0, taken = 0;

	srand(1);
	for (int i = 0; i < 6000; i++) {
		const char *of = i % 2 ? json : ini;
		OWN_FREE char *text = xstrdup(of);
		size_t size = strlen(of);
		OWN_ERR struct err err = ERR_INIT;

		for (int n = rand() % 4; n >= 0; n--)
			text[(size_t)rand() % size] = (char)(rand() % 3 ? of[(size_t)rand() % size] : rand());
		if (i % 5 == 0)
			text[size = (size_t)rand() % size] = '\0';
		args("dockerd");
		if ((i % 2 ? config_parse_json : config_parse_ini)(&cfg, text, size, &err) == 0 &&
			config_validate(&cfg, &err) == 0)
			taken++;
		else if (!*err_text(&err))
			silent++;
	}
	is_int(silent, 0, "damaged files are refused in words");
	ok(taken > 0, "or read, where the damage does no harm");
}

/* Every flag there is in the current engine, by name. */
static void test_table(void)
{
	static const char *const names[] = { "add-runtime", "allow-direct-routing", "authorization-plugin", "bip",
		"bip6", "bridge",
		"bridge-accept-fwmark", "cdi-spec-dir", "cgroup-parent", "config-file", "containerd", "containerd-namespace",
		"containerd-plugins-namespace", "cpu-rt-period", "cpu-rt-runtime", "cri-containerd", "data-root", "debug",
		"default-address-pool", "default-cgroupns-mode", "default-gateway", "default-gateway-v6", "default-ipc-mode",
		"default-network-opt", "default-runtime", "default-shm-size", "default-stop-timeout",
			"default-ulimit", "dns", "dns-opt",
		"dns-search", "exec-opt", "exec-root", "experimental", "feature", "firewall-backend", "fixed-cidr",
			"fixed-cidr-v6",
		"group", "help", "host", "host-gateway-ip", "http-proxy", "https-proxy", "icc", "init", "init-path",
			"insecure-registry",
		"ip", "ip-forward", "ip-forward-no-drop", "ip-masq", "ip6tables", "iptables", "ipv6", "label",
			"live-restore", "log-driver",
		"log-format", "log-level", "log-opt", "max-concurrent-downloads", "max-concurrent-uploads",
			"max-download-attempts",
		"metrics-addr", "mtu", "network-control-plane-mtu", "network-diagnostic-port", "no-new-privileges", "no-proxy",
		"node-generic-resource", "nri-opts", "pidfile", "raw-logs", "registry-mirror", "restart", "rootless",
			"seccomp-profile",
		"selinux-enabled", "shutdown-timeout", "storage-driver", "storage-opt",
			"swarm-default-advertise-addr", "tls", "tlscacert",
		"tlscert", "tlskey", "tlsverify", "userland-proxy", "userland-proxy-path", "userns-remap", "validate",
			"version" };
	static const char letters[] = "bDGHhlprsv";
	OWN_BUF struct buf help = { 0 };
	int missing = 0, unlisted = 0;

	is_int(ARRAY_LEN(names), 93, "as many flags as the engine has");
	config_help(&help);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int id = opt_by_flag(names[i], 0);
		OWN_FREE char *shown = xasprintf("--%s ", names[i]);

		if (id < 0)
			missing++;
		else if (!(opts[id].bits & OPT_HIDDEN) && !strstr(help.data, shown))
			unlisted++;
	}
	is_int(missing, 0, "all are known");
	is_int(unlisted, 0, "--help lists them");
	for (const char *p = letters; *p; p++)
		ok(opt_by_flag(NULL, *p) >= 0, "-%c", *p);
	ok(strstr(help.data, "  -D, --debug ") != NULL, "letters are shown");
	for (int i = 1; i < OPT_COUNT; i++)
		if (opts[i].flag && opts[i - 1].flag && strcmp(opts[i - 1].flag, opts[i].flag) > 0)
			ok(opts[i].key == NULL, "%s stands in order", opts[i].flag);
}

/* The manual page carries the table's list; regenerate it with: (exec -a dockerd-options ./dockerd) */
static void test_manual(void)
{
	const char *top = getenv("top_srcdir");
	OWN_FREE char *path = xasprintf("%s/docs/man/dockerd.8", top ? top : ".");
	OWN_BUF struct buf page = { 0 }, list = { 0 };

	config_man(&list);
	if (fs_read(AT_FDCWD, path, 1 << 20, &page, NULL) < 0)
		ok(false, "cannot read %s", path);
	else
		ok(strstr(page.data, list.data) != NULL, "dockerd(8) has the option list of the table");
}

static void test_reexec(void)
{
	char daemon[] = "/usr/sbin/dockerd", *argv[] = { daemon, NULL };
	char *none[] = { NULL }, name[] = "/x/dockerd-options", *helper[] = { name, NULL };
	int out, fd;
	bool ran;
	int rc = 77;

	ok(!reexec_run(1, argv, &rc) && rc == 77, "the daemon's own name is no helper");
	ok(!reexec_run(0, none, &rc), "nor is no name at all");
	fflush(stdout);
	out = dup(1);
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	dup2(fd, 1);
	ran = reexec_run(1, helper, &rc);
	dup2(out, 1);
	close(out);
	close(fd);
	ok(ran && rc == 0, "a helper's name runs the helper");
}

int main(void)
{
	OWN_FREE char *conf = NULL;

	if (!mkdtemp(dir))
		return 1;
	unsetenv("DEBUG");
	unsetenv("DOCKER_TLS_VERIFY");
	config_init(&cfg);
	test_flags();
	test_legacy();
	test_json();
	test_ini();
	test_validate();
	test_inert();
	test_reload();
	test_damaged();
	test_table();
	test_manual();
	test_reexec();
	config_done(&cfg);
	free(said);
	conf = xasprintf("%s/conf", dir);
	unlink(conf);
	rmdir(dir);
	return tap_done();
}
