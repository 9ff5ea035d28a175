/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GET /metrics of --metrics-addr: what was counted, and what is so right now, for Prometheus. */
#include <math.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/metrics.h"
#include "container/container.h"
#include "events.h"
#include "host.h"
#include "image/image.h"
#include "metrics.h"

#define TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

const struct route metrics_routes[] = {
	{ "GET", "/metrics", "metrics", 0, ROUTE_UNVERSIONED },
	{ "HEAD", "/metrics", "metrics", 0, ROUTE_UNVERSIONED },
};
const size_t metrics_routes_len = ARRAY_LEN(metrics_routes);

static double start_time; /* set once, at registration: the clock may be set later */

static void gauge(struct buf *out, const char *name, const char *help, double v)
{
	metrics_put_head(out, name, "gauge", help);
	metrics_put_value(out, name, NULL, v);
}

static void put_states(const struct api *api, struct buf *out)
{
	static const char name[] = "engine_daemon_container_states_containers";
	size_t running = 0, paused = 0, stopped = 0;

	container_count(api->containers, &running, &paused, &stopped);
	metrics_put_head(out, name, "gauge", "The count of containers in various states");
	metrics_put_value(out, name, "state=\"paused\"", (double)paused);
	metrics_put_value(out, name, "state=\"running\"", (double)running);
	metrics_put_value(out, name, "state=\"stopped\"", (double)stopped);
}

static void put_label(struct buf *out, const char *key, const char *value)
{
	buf_addf(out, "%s%s=\"", out->size ? "," : "", key);
	metrics_put_escaped(out, value);
	buf_addc(out, '"');
}

static void put_engine(const struct api *api, struct buf *out)
{
	struct graph *graph = layer_store_graph(image_store_layers(api->images));
	OWN_FREE char *os = host_os_release("PRETTY_NAME"), *os_version = host_os_release("VERSION_ID");
	OWN_BUF struct buf labels = { 0 };

	put_label(&labels, "architecture", host_machine());
	put_label(&labels, "commit", DKD_GITCOMMIT);
	put_label(&labels, "daemon_id", api->engine_id);
	put_label(&labels, "graphdriver", graph ? graph_name(graph) : "");
	put_label(&labels, "kernel", host_kernel());
	put_label(&labels, "os", os ? os : "");
	put_label(&labels, "os_type", "linux");
	put_label(&labels, "os_version", os_version ? os_version : "");
	put_label(&labels, "version", PACKAGE_VERSION);
	buf_addc(&labels, '\0');
	metrics_put_head(out, "engine_daemon_engine_info", "gauge", "The information related to the engine and the OS it is running on");
	metrics_put_value(out, "engine_daemon_engine_info", labels.data, 1);
	gauge(out, "engine_daemon_engine_cpus_cpus", "The number of cpus that the host system of the engine has", (double)host_cpus());
	gauge(out, "engine_daemon_engine_memory_bytes", "The number of bytes of memory that the host system of the engine has",
		(double)host_memory());
	gauge(out, "engine_daemon_events_subscribers_total", "The number of current subscribers to events",
		events_subscribers(api->events));
	gauge(out, "dockerd_jobs_running", "The number of jobs that run", (double)engine_running(api->engine));
}

/* By the kernel's clock of the boot, field 22 of stat, counted behind the name, which may hold anything. */
static double find_start(void)
{
	OWN_BUF struct buf b = { 0 };
	unsigned long long ticks = 0;
	struct timespec boot, now;
	const char *p;

	if (fs_read(AT_FDCWD, "/proc/self/stat", 4096, &b, NULL) < 0 || !(p = strrchr(b.data, ')')))
		return 0;
	for (int field = 2; field < 22 && p; field++)
		p = strchr(p + 1, ' ');
	if (p)
		ticks = strtoull(p, NULL, 10);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_REALTIME, &now);
	return floor((double)(now.tv_sec - boot.tv_sec) + (double)(now.tv_nsec - boot.tv_nsec) / 1e9 + (double)ticks / (double)sysconf(_SC_CLK_TCK));
}

/* The process itself, under the names that clients of Prometheus use everywhere. */
static void put_process(struct buf *out)
{
	OWN_BUF struct buf b = { 0 };
	long pages = sysconf(_SC_PAGESIZE);
	long long size = 0, resident = 0;
	struct rusage ru = { 0 };
	struct rlimit rl = { 0 }, memory = { 0 };

	getrusage(RUSAGE_SELF, &ru);
	getrlimit(RLIMIT_NOFILE, &rl);
	if (fs_read(AT_FDCWD, "/proc/self/statm", 256, &b, NULL) == 0)
		sscanf(b.data, "%lld %lld", &size, &resident); // NOLINT(cert-err34-c): the kernel's own numbers
	metrics_put_head(out, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.");
	metrics_put_value(out, "process_cpu_seconds_total", NULL,
		(double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) + (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
	gauge(out, "process_resident_memory_bytes", "Resident memory size in bytes.", (double)resident * (double)pages);
	gauge(out, "process_virtual_memory_bytes", "Virtual memory size in bytes.", (double)size * (double)pages);
	getrlimit(RLIMIT_AS, &memory);
	gauge(out, "process_virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes.",
		memory.rlim_cur == RLIM_INFINITY ? -1 : (double)memory.rlim_cur);
	gauge(out, "process_start_time_seconds", "Start time of the process since unix epoch in seconds.", start_time);
	gauge(out, "process_open_fds", "Number of open file descriptors.", (double)host_count("/proc/self/fd"));
	gauge(out, "process_max_fds", "Maximum number of open file descriptors.", (double)rl.rlim_cur);
}

static int metrics(struct job *job, struct err *err)
{
	OWN_BUF struct buf out = { 0 };
	struct request *rq = job_request(job);

	put_states(job_api(job), &out);
	put_engine(job_api(job), &out);
	metrics_write(&out);
	put_process(&out);
	return rq->ops->reply(rq, 200, TEXT_TYPE, out.data, out.size);
}

int api_metrics_register(struct api *api, struct err *err)
{
	start_time = find_start();
	return engine_register(api->engine, "metrics", metrics, api, err);
}
