/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* argv -> config -> daemon; nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "check.h"
#include "daemon.h"
#include "driver.h"
#include "http/tls.h"
#include "reexec.h"

static int show(void (*fill)(struct buf *out))
{
	OWN_BUF struct buf b = { 0 };

	fill(&b);
	return fputs(b.data, stdout) < 0 || fflush(stdout) != 0;
}

static int complain(const struct err *err, int status)
{
	fprintf(stderr, "%s\n", err_text(err));
	return status;
}

static int list_drivers(const struct config *cfg)
{
	OWN_ERR struct err err = ERR_INIT;
	struct driver_info *v;
	size_t n;

	if (driver_init(&cfg->plugin_dir, &cfg->driver_options, &err) < 0)
		return complain(&err, 1);
	n = driver_list(true, &v);
	printf("%-12s %-8s %-10s %-6s %-56s %s\n", "NAME", "KIND", "VERSION", "ABI", "PATH", "STATE");
	for (size_t i = 0; i < n; i++)
		printf("%-12s %-8s %-10s %-6s %-56s %s\n", v[i].name, v[i].kind, v[i].version ? v[i].version : "-",
			v[i].abi ? v[i].abi : "-",
			v[i].path, v[i].state);
	driver_list_free(v, n);
	return fflush(stdout) != 0;
}

/* A program of its own: a driver that is checked may crash, and the daemon carries no suite. */
static int check_driver(const struct config *cfg)
{
	OWN_FREE char *program = daemon_program("dockerd-check-driver");
	OWN_STRV struct strv argv = { 0 };

	strv_add(&argv, program);
	if (cfg->from[OPT_ID_data_root] != FROM_DEFAULT)
		strv_addf(&argv, "--root=%s", cfg->data_root);
	for (size_t i = 0; i < cfg->storage_opts.len; i++)
		strv_addf(&argv, "--option=%s", cfg->storage_opts.v[i]);
	for (size_t i = 0; i < cfg->log_opts.len; i++)
		strv_addf(&argv, "--option=%s=%s", cfg->log_opts.v[i].key, cfg->log_opts.v[i].value);
	for (size_t i = 0; i < cfg->driver_options.len; i++)
		strv_addf(&argv, "--config=%s=%s", cfg->driver_options.v[i].key, cfg->driver_options.v[i].value);
	strv_add(&argv, "--");
	strv_add(&argv, cfg->check_driver);
	execv(program, argv.v);
	fprintf(stderr, "%s: %s\n", program, strerror(errno));
	return 2;
}

/* The files of TLS, too, which a daemon with this configuration reads before it serves. */
static int validate(const struct config *cfg)
{
	OWN_ERR struct err err = ERR_INIT;
	CLEANUP(tls_creds_unrefp) struct tls_creds *tls = cfg->tls ? daemon_load_tls(cfg, &err) : NULL;

	if (cfg->tls && !tls)
		return complain(&err, 1);
	fputs("configuration OK\n", stderr);
	return 0;
}

static int run(struct config *cfg, int argc, char *argv[])
{
	OWN_ERR struct err err = ERR_INIT;
	enum config_what what;
	int status = 1;

	if (config_parse_args(cfg, argc, argv, &what, &status, &err) < 0)
		return complain(&err, status);
	if (what == CONFIG_SHOW_HELP)
		return show(config_help);
	if (what == CONFIG_SHOW_VERSION)
		return show(config_version);
	if (config_load_file(cfg, &err) < 0 || config_validate(cfg, &err) < 0)
		return complain(&err, 1);
	if (cfg->list_drivers)
		return list_drivers(cfg);
	if (*cfg->check_driver)
		return check_driver(cfg);
	if (cfg->validate)
		return validate(cfg);
	daemon_apply_log(cfg);
	if (cfg->repair && !cfg->check)
		return complain((err_set(&err, ERR_INVALID, "--repair goes with --check"), &err), 1);
	return cfg->check ? check_run(cfg) : -1;
}

/* Standard descriptors that were closed would be given to the next file opened, and the log be written into it. */
static void open_standard(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			abort();
}

int main(int argc, char *argv[])
{
	struct config *cfg;
	int status;

	open_standard();
	if (reexec_run(argc, argv, &status))
		return status;
	cfg = xcalloc(1, sizeof(*cfg));
	config_init(cfg);
	status = run(cfg, argc, argv);
	if (status < 0)
		return daemon_run(cfg);
	config_free(cfg);
	return status;
}
