/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the graph driver says: of itself, of a layer, of all of them. */
#include "base/id.h"
#include "base/log.h"
#include "image/graph-priv.h"

static int32_t status_line(void *to, const char *key, const char *value)
{
	struct jw *w = to;

	jw_arr(w);
	jw_str(w, key);
	jw_str(w, value);
	jw_arr_end(w);
	return 0;
}

void graph_status(struct graph *g, struct jw *w)
{
	OWN_ERR struct err err = ERR_INIT;
	struct driver_call c;

	jw_arr(w);
	if (g->ops->status) {
		driver_call_begin(&c, g->driver);
		if (driver_call_end(&c, g->ops->status(&c.abi, g->d, status_line, w), &err) < 0)
			log_warn("%s: status: %s", graph_name(g), err_text(&err));
	}
	jw_arr_end(w);
}

static int32_t keep_pair(void *to, const char *key, const char *value)
{
	if (key && value)
		strmap_set(to, key, value);
	return 0;
}

static int describe(struct graph *g, const char *id, struct strmap *ret, struct err *err)
{
	struct driver_call c;
	struct mounted *m;
	int rc;

	if (!g->ops->metadata || !id_is_name(id, 1))
		return 0;
	m = graph_op_begin(g, id);
	driver_call_begin(&c, g->driver);
	rc = graph_call_end(g, &c, g->ops->metadata(&c.abi, g->d, id, keep_pair, ret), "describe", id, err);
	graph_op_end(g, m);
	return rc < 0 ? -1 : 0;
}

/* "/root/overlay2/ID/diff:..." */
static char *first_lower(const struct strmap *map)
{
	const char *text = strmap_get(map, "LowerDir"), *end, *start;
	size_t n = text ? strcspn(text, ":") : 0;

	if (n < 5 || memcmp(text + n - 5, "/diff", 5) != 0)
		return NULL;
	end = start = text + n - 5;
	while (start > text && start[-1] != '/')
		start--;
	return xstrndup(start, (size_t)(end - start));
}

int graph_check(struct graph *g, const char *id, const char *parent, char **ret_why, char **ret_below, struct err *err)
{
	struct dkd_graph_tree tree = { .size = sizeof(tree), .access = DKD_GRAPH_TREE_READ, .id = id, .parent = parent };
	OWN_STRMAP struct strmap map = { 0 };
	OWN_ERR struct err why = ERR_INIT;
	OWN_FREE char *path = NULL;
	struct driver_call c;
	struct mounted *m;
	int rc;

	if (graph_check_id(id, err) < 0)
		return -1;
	if (!graph_exists(g, id))
		return err_set(err, ERR_NOT_FOUND, "%s: there is no layer %s", graph_name(g), id);
	rc = describe(g, id, &map, &why);
	if (rc < 0 && g->ops->tree) {
		m = graph_op_begin(g, id);
		driver_call_begin(&c, g->driver);
		rc = graph_call_end(g, &c, g->ops->tree(&c.abi, g->d, &tree, graph_keep_text, &path), "repair", id, NULL);
		if (rc == 0 && g->ops->tree_done) {
			driver_call_begin(&c, g->driver);
			graph_call_end(g, &c, g->ops->tree_done(&c.abi, g->d, &tree), "close", id, NULL);
		}
		graph_op_end(g, m);
		graph_cache_forget(g->cache, NULL);
		rc = rc < 0 || describe(g, id, &map, NULL) < 0 ? -1 : 1;
	}
	if (rc < 0)
		return err_move(err, &why);
	if (rc > 0 && ret_why)
		*ret_why = STEAL(why.msg);
	if (ret_below)
		*ret_below = first_lower(&map);
	return rc;
}

void graph_metadata(struct graph *g, const char *id, struct jw *w)
{
	OWN_STRMAP struct strmap map = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf text = { 0 };
	struct jw own;
	int rc;

	if (graph_cache_write(g->cache, id, w))
		return;
	rc = describe(g, id, &map, &err);
	if (rc < 0)
		log_debug("%s", err_text(&err));
	map.set = map.len > 0;
	jw_init(&own, &text);
	jw_strmap(&own, &map);
	if (rc == 0)
		graph_cache_put(g->cache, id, text.data);
	jw_raw(w, text.data);
}

static int32_t add_id(void *to, const char *id)
{
	if (id && id_is_name(id, 1))
		strv_add(to, id);
	return 0;
}

int graph_list(struct graph *g, struct strv *ret, struct err *err)
{
	struct driver_call c;

	if (!g->ops->list)
		return err_set(err, ERR_NOT_IMPLEMENTED, "driver %s cannot list its layers", graph_name(g));
	driver_call_begin(&c, g->driver);
	return driver_call_end(&c, g->ops->list(&c.abi, g->d, add_id, ret), err);
}
