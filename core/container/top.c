/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests about a container that change nothing in it: its processes, its changes; and the removal of those that are over. */
#include <sys/wait.h>

#include "base/clock.h"
#include "base/filters.h"
#include "base/log.h"
#include "container/internal.h"
#include "image/layer.h"

#define PS_TIMEOUT_MS 10000

void container_detached(struct container *c)
{
	container_event(c, "detach", NULL);
}

static void emit_change(void *ctx, const char *path, int kind)
{
	struct jw *w = ctx;

	jw_obj(w);
	jw_kstr(w, "Path", path);
	jw_kint(w, "Kind", kind);
	jw_obj_end(w);
}

int container_changes(struct container *c, struct jw *w, struct err *err)
{
	int r;

	jw_arr(w);
	if (op_begin(c, err) < 0)
		return -1;
	r = rwlayer_changes(image_store_layers(c->store->deps.images), c->id, emit_change, w, err);
	op_end(c);
	jw_arr_end(w);
	return r;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool has_pid(const struct strv *pids, const char *pid)
{
	return pids->len && bsearch(&pid, pids->v, pids->len, sizeof(*pids->v), by_text);
}

/* Splits a line of ps into columns; the last column takes the rest. */
static void split_columns(const char *line, size_t columns, struct strv *ret)
{
	const char *p = line;

	for (size_t i = 0; i < columns; i++) {
		size_t n;

		p += strspn(p, " \t");
		if (!*p)
			return;
		n = i + 1 == columns ? strlen(p) : strcspn(p, " \t");
		strv_take(ret, xstrndup(p, n));
		p += n;
	}
}

static void encode_row(const struct strv *row, struct jw *w)
{
	jw_arr(w);
	for (size_t i = 0; i < row->len; i++)
		jw_str(w, row->v[i]);
	jw_arr_end(w);
}

static int encode_ps(char *out, const struct strv *pids, struct jw *w, struct err *err)
{
	OWN_STRV struct strv lines = { 0 };
	OWN_STRV struct strv titles = { 0 };
	size_t columns, pid_at;

	strv_split(&lines, out, "\n");
	if (!lines.len)
		return err_set(err, ERR_INTERNAL, "ps gave no output");
	split_columns(lines.v[0], SIZE_MAX - 1, &titles);
	columns = titles.len;
	for (pid_at = 0; pid_at < columns && !streq(titles.v[pid_at], "PID"); pid_at++)
		;
	if (pid_at == columns)
		return err_set(err, ERR_INVALID, "Couldn't find PID field in ps output");
	jw_obj(w);
	jw_karr(w, "Processes");
	for (size_t i = 1; i < lines.len; i++) {
		OWN_STRV struct strv row = { 0 };

		split_columns(lines.v[i], columns, &row);
		if (row.len > pid_at && has_pid(pids, row.v[pid_at]))
			encode_row(&row, w);
	}
	jw_arr_end(w);
	jw_key(w, "Titles");
	encode_row(&titles, w);
	jw_obj_end(w);
	return 0;
}

/* ps takes further ways to name processes and files from its words: options only. */
static int ps_words(const char *args, struct strv *argv, struct err *err)
{
	OWN_STRV struct strv words = { 0 };

	strv_split(&words, str_empty(args) ? "-ef" : args, " \t");
	for (size_t i = 0; i < words.len; i++) {
		if (strpbrk(words.v[i], "\n\r"))
			return err_set(err, ERR_INVALID, "invalid ps arguments");
		if (*words.v[i])
			strv_add(argv, words.v[i]);
	}
	return 0;
}

/*
 * Of the container's own processes, as Docker asks: what others do or say on their command lines is not in the way. Some options
 * of ps go without such a list only.
 */
static int run_ps(struct spawner *sp, struct strv *argv, const struct strv *pids, const struct cancel *cancel, int *ret_status, struct buf *out,
	struct err *err)
{
	OWN_BUF struct buf list = { 0 };

	buf_adds(&list, "-q");
	for (size_t i = 0; i < pids->len; i++)
		buf_addf(&list, "%s%s", i ? "," : "", pids->v[i]);
	strv_add(argv, list.data);
	lock_none_held();
	if (pids->len && spawner_run(sp, argv->v, NULL, -1, PS_TIMEOUT_MS, cancel, ret_status, out, NULL) == 0 && WIFEXITED(*ret_status) &&
		WEXITSTATUS(*ret_status) == 0)
		return 0;
	buf_reset(out);
	free(argv->v[--argv->len]);
	argv->v[argv->len] = NULL;
	return spawner_run(sp, argv->v, NULL, -1, PS_TIMEOUT_MS, cancel, ret_status, out, err);
}

int container_top(struct container *c, const char *ps_args, const struct cancel *cancel, struct jw *w, struct err *err)
{
	OWN_STRV struct strv pids = { 0 };
	OWN_STRV struct strv argv = { 0 };
	OWN_BUF struct buf out = { 0 };
	struct container_state st;
	int status = 0;

	lock_take(&c->lock);
	st = c->rec.state;
	lock_drop(&c->lock);
	if (!st.running || st.restarting)
		return err_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
	strv_add(&argv, fs_exists("/usr/bin/ps") ? "/usr/bin/ps" : "/bin/ps");
	if (ps_words(ps_args, &argv, err) < 0)
		return -1;
	container_pids((pid_t)st.pid, &pids);
	if (run_ps(c->store->deps.spawner, &argv, &pids, cancel, &status, &out, err) < 0)
		return -1;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || !out.size) {
		size_t n = out.data ? strcspn(out.data, "\n") : 0;

		return err_set(err, ERR_INVALID, "Error running ps: %.*s", (int)(n > 200 ? 200 : n), out.data ? out.data : "");
	}
	/* half a table would pass for a whole one */
	if (out.size >= SPAWNER_OUTPUT)
		return err_set(err, ERR_INVALID, "Error running ps: its output is larger than %u MiB: ask for fewer columns", SPAWNER_OUTPUT >> 20);
	if (encode_ps(out.data, &pids, w, err) < 0)
		return -1;
	container_event(c, "top", NULL);
	return 0;
}

/* Why a container may go. */
struct pruning { const struct filters *labels; int64_t created, ended; bool spare_policies; };

/* Under its lock. */
static bool may_go(const struct container *c, const struct pruning *p)
{
	const struct container_state *st = &c->rec.state;
	int64_t end = st->finished_at > c->rec.created ? st->finished_at : c->rec.created;

	if (c->damaged || st->running || st->restarting || st->removal || c->rec.created > p->created || end > p->ended)
		return false;
	if (p->spare_policies && !str_empty(c->host.restart.name) && !streq(c->host.restart.name, "no"))
		return false;
	return filters_labels_pass(p->labels, &c->rec.config.labels);
}

static void prune(struct container_store *s, const struct pruning *p, const struct cancel *cancel, struct strv *removed, uint64_t *ret_space)
{
	struct container **v;
	size_t n = store_all(s, &v);

	for (size_t i = 0; i < n; i++) {
		struct container *c = v[i];
		OWN_ERR struct err one = ERR_INIT;
		int64_t rw = 0, root;
		bool fits;

		lock_take(&c->lock);
		fits = may_go(c, p);
		lock_drop(&c->lock);
		if (fits && !cancel_fired(cancel)) {
			container_sizes(c, cancel, &rw, &root);
			if (container_remove(c, false, false, &one) == 0) {
				strv_add(removed, c->id);
				*ret_space += (uint64_t)rw;
			} else {
				log_warn("prune: %s", err_text(&one));
			}
		}
		container_unref(c);
	}
	free(v);
}

void containers_collect(struct container_store *s, const struct filters *labels, int64_t before, const struct cancel *cancel,
	struct strv *removed, uint64_t *ret_space)
{
	struct pruning p = { labels, INT64_MAX, before, true };

	prune(s, &p, cancel, removed, ret_space);
}

int containers_prune(struct container_store *s, const char *filters, const struct cancel *cancel, struct strv *removed,
	uint64_t *ret_space, struct err *err)
{
	static const char *const keys[] = { "label", "label!", "until", NULL };
	OWN_FILTERS struct filters f = { 0 };
	struct pruning p = { &f, 0, INT64_MAX, false };

	if (filters_parse(filters, &f, err) < 0 || filters_validate(&f, keys, err) < 0 ||
		filters_until(&f, clock_now(), &p.created, err) < 0)
		return -1;
	prune(s, &p, cancel, removed, ret_space);
	return 0;
}
