/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dockerd-check-driver: runs the conformance suite of its kind on a driver, and prints TAP. Exit status: 0 when all is as it
 * should be, 1 when something is not, 2 when there is nothing to run, 77 when the driver says that this is no machine for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/spawner.h"
#include "check.h"

#define CASE_SECONDS 600 /* then it hangs */
#define NOT_LOADED 64

static const struct check_suite *const suites[] = { &check_graph, &check_net, &check_volume, &check_authz, &check_log, &check_ipam };

/* What the processes of a run share. */
static struct shared {
	unsigned count, failed;
	uint32_t kind;
	int probed;
	char name[64], why[512];
} *shared;

/* TAP */

static bool failures_only;

void check_failures_only(void)
{
	failures_only = true;
}

bool check_ok(bool cond, const char *fmt, ...)
{
	va_list ap;

	if (cond && failures_only)
		return true;
	printf("%s %u - ", cond ? "ok" : "not ok", __atomic_add_fetch(&shared->count, 1, __ATOMIC_SEQ_CST));
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	if (!cond)
		__atomic_add_fetch(&shared->failed, 1, __ATOMIC_SEQ_CST);
	return cond;
}

void check_skip(const char *what, const char *fmt, ...)
{
	va_list ap;

	printf("ok %u - %s # SKIP ", __atomic_add_fetch(&shared->count, 1, __ATOMIC_SEQ_CST), what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

void check_note(const char *fmt, ...)
{
	va_list ap;

	fputs("# ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* Processes */

static bool load(struct check *c)
{
	OWN_ERR struct err err = ERR_INIT;

	/* for drivers that have the host run programs */
	driver_set_spawner(spawner_start(&err));
	driver_set_options(c->config);
	c->driver = driver_load_file(c->file, &err);
	if (!c->driver)
		snprintf(shared->why, sizeof(shared->why), "%s", err_text(&err));
	return c->driver;
}

pid_t check_start(struct check *c, int (*fn)(struct check *c, void *arg), void *arg)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	exit(load(c) ? fn(c, arg) : NOT_LOADED);
}

int check_wait(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

int check_apart(struct check *c, int (*fn)(struct check *c, void *arg), void *arg)
{
	return check_wait(check_start(c, fn, arg));
}

static int look(struct check *c, void *arg)
{
	const struct dkd_driver *d = c->driver->desc;
	const struct check_suite **ret = arg;

	(void)ret;
	shared->kind = d->kind;
	snprintf(shared->name, sizeof(shared->name), "%s", d->name);
	for (size_t i = 0; i < ARRAY_LEN(suites); i++)
		if (suites[i]->kind == d->kind)
			shared->probed = suites[i]->probe ? suites[i]->probe(c, shared->why, sizeof(shared->why)) : DKD_PROBE_MINE;
	return 0;
}

static const struct check_suite *suite_of(uint32_t kind)
{
	for (size_t i = 0; i < ARRAY_LEN(suites); i++)
		if (suites[i]->kind == kind)
			return suites[i];
	return NULL;
}

static int run_one(struct check *c, void *arg)
{
	const struct check_case *one = arg;

	one->run(c);
	return 0;
}

static volatile sig_atomic_t running; /* the process of a case, for the alarm */
static volatile sig_atomic_t stopped; /* the signal that ends the run; what it made goes all the same */

static void end_case(int sig)
{
	if (sig != SIGALRM)
		stopped = sig;
	if (running > 0)
		kill(-running, SIGKILL);
}

static void run_case(struct check *c, const struct check_case *one)
{
	pid_t pid;
	int status;

	check_note("%s", one->name);
	if (one->apart) {
		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			one->run(c);
			exit(0);
		}
	} else {
		pid = check_start(c, run_one, (void *)(uintptr_t)one);
	}
	setpgid(pid, pid);
	running = pid;
	alarm(CASE_SECONDS);
	status = check_wait(pid);
	alarm(0);
	running = 0;
	if (WIFSIGNALED(status))
		check_ok(false, "%s: the process is ended by signal %d (%s)", one->name, WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status))
		check_ok(false, "%s: the process ends with %d%s%s", one->name, WEXITSTATUS(status),
			WEXITSTATUS(status) == NOT_LOADED ? ": " : "", WEXITSTATUS(status) == NOT_LOADED ? shared->why : "");
}

/* What a driver mounts and a crash leaves goes with this process. */
static void own_mounts(void)
{
	if (unshare(CLONE_NEWNS) == 0)
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static int run(struct check *c, const char *only)
{
	const struct check_suite *s;
	int status = check_apart(c, look, NULL);

	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		if (WIFSIGNALED(status))
			fprintf(stderr, "the driver ends the process that loads it: %s\n", strsignal(WTERMSIG(status)));
		else
			fprintf(stderr, "%s\n", shared->why);
		return 2;
	}
	s = suite_of(shared->kind);
	if (!s)
		return fprintf(stderr, "there is no suite for %s drivers\n", driver_kind_name(shared->kind)), 2;
	if (shared->probed != DKD_PROBE_MINE) {
		printf("1..0 # SKIP %s: %s\n", shared->name, shared->why);
		return shared->probed == DKD_PROBE_NOT_HERE ? 77 : 1;
	}
	for (const struct check_case *one = s->cases; one->name && !stopped; one++) {
		c->number++;
		if (!only || streq(only, one->name))
			run_case(c, one);
	}
	if (stopped)
		return printf("Bail out! %s\n", strsignal(stopped)), 128 + stopped;
	printf("1..%u\n", shared->count);
	if (!shared->count)
		return fprintf(stderr, "there is no case %s\n", only), 2;
	return shared->failed != 0;
}

static int usage(int status)
{
	fputs("Usage: dockerd-check-driver [OPTION...] FILE.so\n"
		"Runs the conformance suite on a driver. It gets folders of its own below a temporary one.\n"
		"  --root DIR        work in this folder, on the file system to be checked\n"
		"  --option KEY=VAL  an option, as --storage-opt, or as one of the networks, volumes, logs or pools that are made\n"
		"  --config K.N.KEY=VAL  one of the driver's section of the configuration, [K.N]\n"
		"  --instance NAME   of a driver that stands for many: the one to be checked\n"
		"  --size BYTES      of what is made with a size, where the driver has a least one\n"
		"  --case NAME       this case only\n"
		"  --long            take the time for more rounds and larger files\n", status ? stderr : stdout);
	return status;
}

static bool configure(struct strmap *config, const char *text)
{
	const char *eq = strchr(text, '=');
	OWN_FREE char *key = eq ? xstrndup(text, (size_t)(eq - text)) : NULL;

	if (key)
		strmap_set(config, key, eq + 1);
	return key;
}

static int cannot(const char *path)
{
	fprintf(stderr, "dockerd-check-driver: %s: %s\n", path, strerror(errno));
	return 2;
}

int main(int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "root", required_argument, NULL, 'r' }, { "option", required_argument, NULL, 'o' }, { "case", required_argument, NULL, 'c' },
		{ "config", required_argument, NULL, 'g' }, { "instance", required_argument, NULL, 'i' },
		{ "size", required_argument, NULL, 's' }, { "long", no_argument, NULL, 'l' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	static const int ends[] = { SIGALRM, SIGHUP, SIGINT, SIGTERM };
	const char *tmp = getenv("TMPDIR"), *root = NULL, *only = NULL;
	OWN_STRV struct strv options = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *base = NULL, *file = NULL, *where = NULL;
	OWN_STRMAP struct strmap config = { 0 };
	struct check c = { .options = &options, .config = &config };
	int status;

	for (int o; (o = getopt_long(argc, argv, "", longs, NULL)) >= 0; ) {
		switch (o) {
		case 'r': root = optarg; break;
		case 'o': strv_add(&options, optarg); break;
		case 'c': only = optarg; break;
		case 'i': c.instance = optarg; break;
		case 'g':
			if (!configure(&config, optarg))
				return usage(2);
			break;
		case 's':
			if (!str_to_u64(optarg, &c.size))
				return usage(2);
			break;
		case 'l': c.longer = true; break;
		default: return usage(o == 'h' ? 0 : 2);
		}
	}
	if (optind != argc - 1)
		return usage(2);
	if (!(file = realpath(argv[optind], NULL)))
		return cannot(argv[optind]);
	root = root ? root : tmp && *tmp ? tmp : "/var/tmp";
	if (!(where = realpath(root, NULL)))
		return cannot(root);
	base = xasprintf("%s/check-driver-XXXXXX", where);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || !mkdtemp(base) || chmod(base, 0711) < 0)
		return cannot(base);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		signal(ends[i], end_case);
	own_mounts();
	c.file = file;
	c.root = base;
	status = run(&c, only);
	if (fs_remove_tree(AT_FDCWD, base, &err) < 0)
		fprintf(stderr, "left behind: %s\n", err_text(&err));
	return status;
}
