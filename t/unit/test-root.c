/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* data-root, locks, pid file, sockets. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "listen.h"
#include "root.h"
#include "sdnotify.h"
#include "tap.h"

static char dir[] = "/tmp/test-root-XXXXXX";

static char *in(const char *name) { return xasprintf("%s/%s", dir, name); }

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	fs_write_all(fd, text, strlen(text));
	close(fd);
}

static int mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? -1 : (int)(st.st_mode & 07777);
}

static void test_data_root(void)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *path = in("a/root"), *lock = in("a/root/.dockerd.lock"), *engine = in("a/root/engine-id"),
		*key = in("a/root/key.json");
	OWN_FREE char *id = NULL, *again = NULL, *kid = NULL;
	char *real;
	int fd, second;

	real = root_make_data(path, geteuid(), getegid(), &err);
	is_str(real, path, "made with its parents");
	is_int(mode_of(path), 0710, "0710");
	free(real);
	fd = root_lock(path, &err);
	ok(fd >= 0, "locked");
	second = root_lock(path, &err);
	ok(second < 0 && strstr(err_text(&err), "is in use by another daemon (process "),
		"a second one is refused: %s", err_text(&err));
	close(fd);
	err_done(&err);
	fd = root_lock(path, &err);
	ok(fd >= 0, "free again when its holder is gone");
	close(fd);
	put(key, "{\"kid\":\"AAAA:BBBB\"}");
	kid = root_engine_id(path, &err);
	is_str(kid, "AAAA:BBBB", "an older engine's key names the engine");
	unlink(key);
	unlink(engine);
	id = root_engine_id(path, &err);
	is_int(strlen(id), 36, "a UUID");
	again = root_engine_id(path, &err);
	is_str(again, id, "that stays");
	put(engine, "");
	free(again);
	again = root_engine_id(path, &err);
	is_int(strlen(again), 36, "an empty file is replaced");
	ok(fs_exists(lock), "the lock's file stays");
}

static void test_stores(void)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *path = in("b"), *graph = in("b/graph"), *apart = in("c"), *rootfs = in("c/rootfs/overlayfs"),
		*bolt = in("b/containerd/daemon/io.containerd.metadata.v1.bolt"), *image = in("b/image");

	fs_mkdirs(path, 0700, &err);
	ok(root_check_stores(path, &err) == 0, "an empty root");
	fs_mkdirs(bolt, 0700, &err);
	ok(root_check_stores(path, &err) < 0 && strstr(err_text(&err), "containerd"),
		"an image store of containerd is refused");
	err_done(&err);
	fs_mkdirs(rootfs, 0700, &err);
	ok(root_check_stores(apart, &err) < 0 && strstr(err_text(&err), "containerd"), "nor where containerd keeps the images elsewhere");
	err_done(&err);
	fs_mkdirs(image, 0700, &err);
	ok(root_check_stores(path, &err) == 0, "not where graph drivers keep the images");
	fs_mkdirs(graph, 0700, &err);
	ok(root_check_stores(path, &err) < 0 && strstr(err_text(&err), "before 1.10"), "the old graph is refused");
}

static void test_pidfile(void)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *path = in("run/pid"), *want = xasprintf("%d", (int)getpid());
	OWN_BUF struct buf b = { 0 };
	struct pidfile p = { .fd = -1 }, q = { .fd = -1 };
	pid_t child;

	ok(pidfile_take(&p, path, &err) == 0, "taken");
	fs_read(AT_FDCWD, path, 64, &b, NULL);
	is_str(b.data, want, "the pid alone");
	ok(pidfile_take(&q, path, &err) < 0, "held");
	ok(strstr(err_text(&err), "process with PID ") && strstr(err_text(&err), want) && strstr(err_text(&err),
		" is still running"), "in Docker's words");
	pidfile_drop(&p);
	ok(!fs_exists(path), "removed");
	put(path, "1");
	ok(pidfile_take(&p, path, &err) == 0, "a living process that is no dockerd does not hold it");
	pidfile_drop(&p);
	/* A zombie that was called dockerd: kill(pid, 0) would find it alive. */
	child = fork();
	if (child == 0)
		_exit(0);
	waitid(P_PID, (id_t)child, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	free(want);
	want = xasprintf("%d", (int)child);
	put(path, want);
	ok(pidfile_take(&p, path, &err) == 0, "nor does a zombie");
	pidfile_drop(&p);
	waitpid(child, NULL, 0);
	ok(pidfile_take(&p, "", &err) == 0 && p.fd < 0, "none asked for");
	pidfile_drop(&p);
}

static void test_cgroups(void)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *info = in("mountinfo"), *unified = in("unified"), *controllers = in("unified/cgroup.controllers");

	put(info, "30 23 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n");
	ok(root_check_cgroups(info, unified, &err) < 0, "no devices controller");
	is_str(err_text(&err), "Devices cgroup isn't mounted", "in Docker's words");
	put(info, "30 23 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n31 23 0:27 / /d rw - "
		"cgroup cgroup rw,devices\n");
	ok(root_check_cgroups(info, unified, &err) == 0, "its own hierarchy");
	put(info, "");
	mkdir(unified, 0700);
	put(controllers, "cpu memory\n");
	ok(root_check_cgroups(info, unified, &err) == 0, "the unified hierarchy");
}

static void test_listen(void)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_STRV struct strv hosts = { 0 };
	OWN_FREE char *path = in("sock"), *plain = in("plain"), *host = xasprintf("unix://%s", path);
	struct listeners ls, other;

	strv_add(&hosts, host);
	if (geteuid() != 0) {
		skip("sockets", "needs root");
		return;
	}
	ok(listeners_open(&ls, &hosts, "", "docker", &err) == 0 && ls.len == 1, "a socket: %s", err_text(&err));
	is_int(mode_of(path), 0660, "0660");
	ok(listeners_open(&other, &hosts, "", "docker", &err) < 0 && strstr(err_text(&err),
		"another process serves it"), "not taken from who serves it");
	ok(other.len == 0, "nothing is left open");
	/* As after a crash: the descriptor is gone, the file stays. */
	free(ls.v[0].unlink);
	ls.v[0].unlink = NULL;
	listeners_close(&ls);
	err_done(&err);
	ok(listeners_open(&other, &hosts, "", "docker", &err) == 0, "one left behind is replaced");
	listeners_close(&other);
	ok(!fs_exists(path), "removed at the end");
	err_done(&err);
	ok(listeners_open(&other, &hosts, "no-such-group", "docker", &err) < 0 && strstr(err_text(&err),
		"group no-such-group not found"), "a group that is not there");
	log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
	ok(listeners_open(&other, &hosts, "no-such-group", "no-such-group", &err) == 0, "the default group may be missing");
	log_set_fd(-1);
	listeners_close(&other);
	put(plain, "x");
	strv_done(&hosts);
	hosts = (struct strv){ 0 };
	strv_addf(&hosts, "unix://%s", plain);
	ok(listeners_open(&other, &hosts, "", "docker", &err) < 0 && fs_exists(plain), "a plain file is left alone");
	strv_done(&hosts);
	hosts = (struct strv){ 0 };
	strv_add(&hosts, "fd://");
	ok(listeners_open(&other, &hosts, "", "docker", &err) < 0, "no activation");
	ok(strstr(err_text(&err), "no sockets found via socket activation: make sure the service was started by "
		"systemd") != NULL, "in Docker's words");
	strv_done(&hosts);
	hosts = (struct strv){ 0 };
	strv_add(&hosts, "tcp://127.0.0.1:0");
	err_done(&err);
	ok(listeners_open(&other, &hosts, "", "docker", &err) == 0, "tcp");
	listeners_close(&other);
	ok(!listen_is_public("tcp://127.0.0.1:2375") && !listen_is_public("tcp://localhost:1") &&
		!listen_is_public("unix:///x") && !listen_is_public("tcp://[::1]:1"),
		"the loopback is not public");
	ok(listen_is_public("tcp://0.0.0.0:2375") && listen_is_public("tcp://[::]:2375") &&
		listen_is_public("tcp://10.0.0.1:1"), "others are");
}

static void test_notify(void)
{
	OWN_FREE char *path = in("notify");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char text[256];
	ssize_t n;
	OWN_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	sdnotify("READY=1");
	setenv("NOTIFY_SOCKET", path, 1);
	sdnotify("READY=1");
	n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	text[n > 0 ? n : 0] = '\0';
	is_str(text, "READY=1", "told the manager");
	sdnotify_reloading();
	n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	text[n > 0 ? n : 0] = '\0';
	ok(strncmp(text, "RELOADING=1\nMONOTONIC_USEC=", 27) == 0 && text[27] >= '0', "reloading, with the time");
	unsetenv("NOTIFY_SOCKET");
	setenv("LISTEN_PID", "1", 1);
	setenv("LISTEN_FDS", "2", 1);
	is_int(sdnotify_sockets(), 0, "sockets for another process are not ours");
	ok(getenv("LISTEN_FDS") == NULL, "and nobody inherits the variables");
}

int main(void)
{
	int dirfd;

	if (!mkdtemp(dir))
		return 1;
	test_data_root();
	test_stores();
	test_pidfile();
	test_cgroups();
	test_listen();
	test_notify();
	dirfd = open("/tmp", O_DIRECTORY | O_CLOEXEC);
	fs_remove_tree(dirfd, dir + 5, NULL);
	close(dirfd);
	return tap_done();
}
