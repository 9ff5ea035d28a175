/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <pthread.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/json-raw.h"
#include "base/json.h"
#include "base/str.h"

#include "base/mux.h"
#include "tap.h"

struct inner { char *name; int64_t n; };
static const struct jfield inner_fields[] = {
	JFIELD(inner, name, "Name", J_STR, 0),
	JFIELD(inner, n, "N", J_I64, J_OMITEMPTY),
};
static const struct jdesc inner_desc = { sizeof(struct inner), inner_fields, ARRAY_LEN(inner_fields) };
struct outer {
	char *s;
	bool b;
	struct opt_i64 o;
	struct strv list, words, set;
	struct strmap map;
	struct inner in;
	struct inner *ptr;
	struct jlist items;
	struct jmap by_name;
	int64_t when;
	char *raw, *rest;
};
JDESC(outer_desc, outer,
	JFIELD(outer, s, "S", J_STR, J_ANY_CASE),
	JFIELD(outer, b, "B", J_BOOL, 0),
	JFIELD(outer, o, "O", J_OPT_I64, 0),
	JFIELD(outer, list, "List", J_STRV, 0),
	JFIELD(outer, words, "Words", J_WORDS, 0),
	JFIELD(outer, set, "Set", J_SET, J_OMITEMPTY),
	JFIELD(outer, map, "Map", J_STRMAP, 0),
	JFIELD_SUB(outer, in, "In", J_OBJ, 0, inner_desc),
	JFIELD_SUB(outer, ptr, "Ptr", J_PTR, 0, inner_desc),
	JFIELD_SUB(outer, items, "Items", J_LIST, 0, inner_desc),
	JFIELD_SUB(outer, by_name, "ByName", J_MAP, 0, inner_desc),
	JFIELD(outer, when, "When", J_TIME, 0),
	JFIELD(outer, raw, "Raw", J_RAW, J_OMITEMPTY),
	JFIELD(outer, rest, NULL, J_REST, 0));

static void roundtrip(const char *in, const char *want)
{
	OWN_BUF struct buf b = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct outer o = { 0 }, copy = { 0 };
	struct jw w;

	ok(jdesc_parse(&outer_desc, in, strlen(in), &o, &err) == 0, "parses %.40s: %s", in, err_text(&err));
	jdesc_copy(&outer_desc, &copy, &o);
	jdesc_clear(&outer_desc, &o);
	jw_init(&w, &b);
	jdesc_encode(&outer_desc, &copy, &w);
	is_str(b.data, want, "prints it back");
	jdesc_clear(&outer_desc, &copy);
}

static void refuses(const char *in, const char *text)
{
	OWN_ERR struct err err = ERR_INIT;
	struct outer o = { 0 };

	ok(jdesc_parse(&outer_desc, in, strlen(in), &o, &err) < 0 && err.class == ERR_INVALID, "refuses %.50s", in);
	ok(strstr(err_text(&err), text) != NULL, "says %s (%s)", text, err_text(&err));
	jdesc_clear(&outer_desc, &o);
}

/* Members get the spelling of the table, whatever stands in them. */
static void any_case(const char *in, const char *want)
{
	OWN_JSON json_t *js = json_read(in, strlen(in), NULL);
	OWN_FREE char *got = NULL;

	jdesc_any_case(&outer_desc, js);
	got = json_dumps(js, JSON_COMPACT | JSON_SORT_KEYS);
	is_str(got, want, "in any spelling: %.40s", in);
}

static void test_json(void)
{
	char deep[400];

	roundtrip("{}", "{\"S\":\"\",\"B\":false,\"O\":null,\"List\":null,\"Words\":null,\"Map\":null,\"In\":{\"Name\":\"\"},"
		"\"Ptr\":null,\"Items\":null,\"ByName\":null,\"When\":\"0001-01-01T00:00:00Z\"}");
	roundtrip("{\"S\":\"<a>\\u00e9\\n\",\"B\":true,\"O\":-1,\"List\":[],\"Words\":\"one\",\"Set\":{\"b\":{},\"a\":{}},"
		"\"Map\":{\"z\":\"1\",\"a\":\"2\"},\"In\":{\"Name\":\"n\",\"N\":7},\"Ptr\":{\"Name\":\"p\"},\"Items\":[{\"N\":1},{}],"
		"\"ByName\":{\"x\":{\"N\":3}},\"When\":\"2024-02-29T12:00:00.5+01:00\",\"Raw\":[1,{\"a\":null}],\"Other\":{\"k\":[1]},\"New\":1}",
		"{\"S\":\"\\u003ca\\u003e\xc3\xa9\\n\",\"B\":true,\"O\":-1,\"List\":[],\"Words\":[\"one\"],\"Set\":{\"a\":{},\"b\":{}},"
		"\"Map\":{\"a\":\"2\",\"z\":\"1\"},\"In\":{\"Name\":\"n\",\"N\":7},\"Ptr\":{\"Name\":\"p\"},\"Items\":[{\"Name\":\"\",\"N\":1},{\"Name\":\"\"}],"
		"\"ByName\":{\"x\":{\"Name\":\"\",\"N\":3}},\"When\":\"2024-02-29T11:00:00.5Z\",\"Raw\":[1,{\"a\":null}],\"Other\":{\"k\":[1]},\"New\":1}");
	roundtrip("{\"s\":\"other case\"}", "{\"S\":\"other case\",\"B\":false,\"O\":null,\"List\":null,\"Words\":null,\"Map\":null,"
		"\"In\":{\"Name\":\"\"},\"Ptr\":null,\"Items\":null,\"ByName\":null,\"When\":\"0001-01-01T00:00:00Z\"}");
	refuses("{\"S\":\"a\",\"s\":\"b\"}", "/s: key given twice");
	refuses("{\"S\":1}", "/S: expected a string");
	refuses("{\"Items\":[{},{\"N\":\"x\"}]}", "/Items/1/N");
	refuses("{\"In\":{\"name\":\"b\"}}", "/In/name: the key is written Name");
	refuses("{\"S\":\"a\",\"S\":\"b\"}", "duplicate");
	any_case("{\"wHEN\":\"\",\"IN\":{\"name\":\"n\"},\"items\":[{\"n\":1},null,{\"N\":2}],\"BYname\":{\"name\":{\"NAME\":\"x\"}},\"map\":{\"in\":\"1\"},\"new\":{\"s\":1}}",
		"{\"ByName\":{\"name\":{\"Name\":\"x\"}},\"In\":{\"Name\":\"n\"},\"Items\":[{\"N\":1},null,{\"N\":2}],\"Map\":{\"in\":\"1\"},\"When\":\"\",\"new\":{\"s\":1}}");
	any_case("{\"S\":\"a\",\"s\":\"b\"}", "{\"S\":\"a\",\"s\":\"b\"}");
	any_case("[{\"s\":1}]", "[{\"s\":1}]");
	any_case("{\"in\":1,\"items\":{\"n\":1},\"ptr\":null}", "{\"In\":1,\"Items\":{\"n\":1},\"Ptr\":null}");
	refuses("{} x", "invalid JSON");
	refuses("[1]", "expected an object");
	refuses("{\"In\":{\"N\":1.5}}", "/In/N");
	memset(deep, '[', sizeof(deep));
	deep[sizeof(deep) - 1] = '\0';
	refuses(deep, "levels");
}

static void test_clock(void)
{
	char t[CLOCK_TEXT];
	int64_t ns;

	is_str(clock_rfc3339nano(1500000000, t), "1970-01-01T00:00:01.5Z", "fraction is cut");
	is_str(clock_rfc3339nano(CLOCK_ZERO, t), "0001-01-01T00:00:00Z", "zero time");
	ok(clock_parse_stamp("10m", 3600 * NSEC_PER_SEC, &ns) && ns == 3000 * NSEC_PER_SEC, "duration before now");
	ok(clock_parse_stamp("12.25", 0, &ns) && ns == 12250000000, "unix with fraction");
	ok(clock_parse_stamp("-1.5", 0, &ns) && ns == -1500000000, "before 1970");
	ok(clock_parse_stamp("9999999999", 0, &ns) && ns == INT64_MAX, "unix beyond the last");
	ok(clock_parse_stamp("-62135596800.000000000", 0, &ns) && ns == -INT64_MAX, "and beyond the first: Go's zero time");
	ok(!clock_parse_stamp("99999999999999999999", 0, &ns) && !clock_parse_stamp("1.x", 0, &ns) && !clock_parse_stamp("-", 0, &ns), "no number");
	ok(clock_parse_stamp("2024-01-02", 0, &ns), "a date");
	ok(!clock_parse_stamp("banana", 0, &ns) && !clock_parse_stamp("", 0, &ns), "nonsense");
	is_str(clock_human(3 * NSEC_PER_SEC, t), "3 seconds", "human seconds");
	is_str(clock_human(90 * NSEC_PER_SEC, t), "About a minute", "human minute");
	is_str(clock_go_duration(0, t), "0s", "Go's nothing");
	is_str(clock_go_duration(90 * NSEC_PER_SEC, t), "1m30s", "Go's minutes");
	is_str(clock_go_duration(3600 * NSEC_PER_SEC, t), "1h0m0s", "Go's hour");
	is_str(clock_go_duration(1500000000, t), "1.5s", "Go's fraction");
	is_str(clock_go_duration(250000000, t), "250ms", "Go's milliseconds");
	is_str(clock_go_duration(1500, t), "1.5\302\265s", "Go's microseconds");
	is_str(clock_go_duration(-7, t), "-7ns", "less than nothing");
}

static void test_ids(void)
{
	char id[65], d[DIGEST_TEXT];

	id_new(id);
	ok(id_is_hex64(id), "a new id is 64 hex");
	ok(!id_is_hex64("abc") && id_is_hex_prefix("abc") && !id_is_hex_prefix("xyz"), "prefix");
	ok(id_is_name("a.b-c_1", 2) && !id_is_name("-a", 2) && !id_is_name("a", 2) && !id_is_name("a/b", 1) && !id_is_name("..", 1), "names");
	digest_of("abc", 3, d);
	is_str(d, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "sha256");
}

static void test_str(void)
{
	OWN_STRV struct strv sv = { 0 };

	for (int i = 0; i < 100; i++)
		strv_addf(&sv, "%d", i);
	ok(sv.len == 100 && streq(sv.v[99], "99") && sv.v[100] == NULL, "a vector grows");
	strv_done(&sv);
	strv_add(&sv, "A=1");
	strv_env_set(&sv, "A", "2");
	strv_env_set(&sv, "B", "3");
	ok(sv.len == 2 && streq(strv_env_get(&sv, "A"), "2") && !strv_env_get(&sv, "C"), "environment");
	ok(str_is_utf8("\xc3\xa9", 2) && !str_is_utf8("\xc3", 1) && !str_is_utf8("\xed\xa0\x80", 3), "UTF-8");
	ok(!str_to_bool("none") && !str_to_bool("No") && str_to_bool("x"), "Docker's booleans");
}

/* A copy takes entries as they come: looking for each key among those before it would be quadratic in what a client sends. */
static void test_map_copy(void)
{
	struct strmap_entry doubled[] = { { (char *)"a", (char *)"1" }, { (char *)"b", (char *)"2" }, { (char *)"a", (char *)"3" } };
	const struct strmap from = { .v = doubled, .len = ARRAY_LEN(doubled), .set = true };
	OWN_STRMAP struct strmap to = { 0 };

	strmap_set(&to, "old", "x");
	strmap_copy(&to, &from);
	is_int(to.len, 3, "a map is copied entry by entry, without a look for doubles");
	ok(to.set && streq(to.v[2].key, "a") && streq(to.v[2].value, "3") && !strmap_get(&to, "old"), "in order, in the place of what was there");
}

/* Instead of libc's. */
static int sent_out, sent_errno, watched_dir = -1;
static char seen_then[16];
int sync_file_range(int fd, off64_t from, off64_t n, unsigned flags)
{
	int now = watched_dir < 0 ? -1 : openat(watched_dir, "f", O_RDONLY | O_CLOEXEC);

	memset(seen_then, 0, sizeof(seen_then));
	if (now >= 0 && read(now, seen_then, sizeof(seen_then) - 1) < 0)
		seen_then[0] = '?';
	fd_close(&now);
	sent_out += flags == (SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) && from == 0 && n == 0;
	errno = sent_errno;
	return sent_errno ? -1 : 0;
}

static void test_fs(void)
{
	char dir[] = "/tmp/dkd-base-XXXXXX";
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf b = { 0 };
	OWN_FD int fd = -1, in = -1;
	OWN_FREE char *path = NULL;
	struct stat st;

	ok(mkdtemp(dir) != NULL, "scratch");
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(fs_write_atomic(fd, "f", "hello", 5, 0600, FS_SYNC, &err) == 0, "atomic write %s", err_text(&err));
	ok(fs_read(fd, "f", 100, &b, &err) == 0 && b.size == 5, "reads back");
	ok(fs_write_atomic(fd, "f", "hello", 5, 0600, FS_RENAME_ONLY, &err) == 0 && !sent_out, "a rename waits for nothing");
	watched_dir = fd;
	ok(fs_write_atomic(fd, "f", "later", 5, 0600, FS_ORDERED, &err) == 0 && sent_out == 1, "in order: the content goes to the disk");
	is_str(seen_then, "hello", "before the rename");
	sent_errno = EIO;
	ok(fs_write_atomic(fd, "f", "other", 5, 0600, FS_ORDERED, &err) < 0 && strstr(err_text(&err), "write f (5 bytes)"),
		"a disk that fails: %s", err_text(&err));
	sent_errno = EOPNOTSUPP;
	ok(fs_write_atomic(fd, "f", "hello", 5, 0600, FS_ORDERED, &err) == 0, "a file system that cannot");
	sent_errno = 0;
	b.size = 0;
	ok(fs_read(fd, "f", 100, &b, &err) == 0 && b.size == 5 && memcmp(b.data, "hello", 5) == 0, "has it, too");
	ok(fs_read(fd, "f", 3, &b, &err) < 0 && err.class == ERR_TOO_LARGE, "cap holds");
	ok(symlinkat("/etc", fd, "out") == 0 && fs_beneath(fd, "out/passwd", O_RDONLY, 0) < 0, "an absolute link stays inside");
	in = fs_beneath_mkdirs(fd, "/a/b/../c", 0755, (struct fs_owner){ 0, 0 });
	path = xasprintf("%s/a/c", dir);
	ok(in >= 0 && fs_exists(path), "mkdirs inside a root");
	ok(mkfifoat(fd, "fifo", 0600) == 0 && fs_beneath_read(fd, "fifo", 10, &b, &err) < 0, "a FIFO is refused without blocking");
	ok(fs_chmod_entry(fd, "fifo", 04641) == 0 && fstatat(fd, "fifo", &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & 07777) == 04641,
		"the mode of what must not be opened");
	ok(symlinkat("f", fd, "link") == 0 && fs_chmod_entry(fd, "link", 0777) < 0 && errno == ELOOP && fstatat(fd, "f", &st, 0) == 0 &&
		(st.st_mode & 07777) == 0600, "never that of a link's target");
	ok(fs_remove_tree(AT_FDCWD, dir, &err) == 0 && !fs_exists(dir), "tree removed");
}

/* 3000 levels, removed by a thread whose stack is as small as a request's. */
static void *remove_deep(void *dir)
{
	OWN_ERR struct err err = ERR_INIT;

	return fs_remove_tree(AT_FDCWD, dir, &err) == 0 ? dir : NULL;
}

static void test_deep(void)
{
	char dir[] = "/tmp/test-deep-XXXXXX";
	pthread_attr_t attr;
	pthread_t thread;
	void *done = NULL;
	int fd;

	ok(mkdtemp(dir) != NULL, "scratch");
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3000; i++) {
		int next;

		mkdirat(fd, i % 2 ? "a" : "b", 0700);
		mkdirat(fd, ".removed-0", 0700);
		next = openat(fd, i % 2 ? "a" : "b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	close(fd);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 192u << 10);
	ok(pthread_create(&thread, &attr, remove_deep, dir) == 0 && pthread_join(thread, &done) == 0, "a small thread");
	ok(done && !fs_exists(dir), "removes a tree of any depth");
	pthread_attr_destroy(&attr);
}

static void test_jw(void)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;
	char all[128];

	for (int i = 0; i < 127; i++)
		all[i] = (char)(i + 1);
	all[127] = '\0';
	jw_init(&w, &b);
	jw_arr(&w);
	jw_int(&w, 0);
	jw_int(&w, INT64_MIN);
	jw_int(&w, INT64_MAX);
	jw_uint(&w, UINT64_MAX);
	jw_int(&w, -7);
	jw_str(&w, all);
	jw_arr_end(&w);
	is_str(b.data, "[0,-9223372036854775808,9223372036854775807,18446744073709551615,-7,"
		"\"\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\u0008\\t\\n\\u000b\\u000c\\r\\u000e\\u000f"
		"\\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001a\\u001b\\u001c\\u001d\\u001e\\u001f"
		" !\\\"#$%\\u0026'()*+,-./0123456789:;\\u003c=\\u003e?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\\\]^_`abcdefghijklmnopqrstuvwxyz{|}~\x7f\"]",
		"numbers and every character");
}

static int gather(void *ctx, const void *data, size_t size)
{
	buf_add(ctx, data, size);
	return 0;
}

static int refuse(void *ctx, const void *data, size_t size)
{
	return -1;
}

static void test_demux(void)
{
	static const char in[] = "\1\0\0\0\0\0\0\3abc\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\2de";
	OWN_BUF struct buf whole = { 0 }, pieces = { 0 };
	struct demux a = { 0 }, b = { 0 }, c = { 0 };

	demux_feed(&a, in, sizeof(in) - 1, gather, &whole);
	for (size_t i = 0; i < sizeof(in) - 1; i++)
		demux_feed(&b, in + i, 1, gather, &pieces);
	ok(whole.size == 5 && memcmp(whole.data, "abcde", 5) == 0, "frames at once");
	ok(pieces.size == 5 && memcmp(pieces.data, "abcde", 5) == 0, "frames byte by byte");
	is_int(demux_feed(&c, in, sizeof(in) - 1, refuse, NULL), -1, "who takes them may stop");
}

static void test_take_away(void)
{
	OWN_STRMAP struct strmap m = { 0 };
	OWN_STRV struct strv env = { 0 };

	strmap_set(&m, "a", "1");
	strmap_set(&m, "b", "2");
	ok(strmap_del(&m, "a") && !strmap_get(&m, "a") && streq(strmap_get(&m, "b"), "2"), "a key goes, the other stays");
	ok(!strmap_del(&m, "a"), "once");
	strv_add(&env, "A=1");
	strv_add(&env, "AB=2");
	strv_env_del(&env, "A");
	ok(env.len == 1 && streq(env.v[0], "AB=2"), "a variable goes, not one that begins alike");
	strv_env_del(&env, "C");
	is_int((long)env.len, 1, "none of that name");
}

static void test_raw(void)
{
	static const char text[] = " {\"b\\u0062\" : 1.50e2 ,\n\"a\":{\"x\": [1, \"}, \\\"\", {\"y\" :null}]}, \"s\":\"<\\u003c&\xc3\xa9\xe2\x80\xa8\", \"e\":[ ],\"\":\"\" }\n";
	OWN_STRMAP struct strmap m = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	static const char *const bad[] = { "", "[]", "{", "{\"a\":1,\"a\":2}", "{\"a\":1}x", "{a:1}" };

	ok(json_raw_members(text, strlen(text), 5, &m, &err) == 0 && m.len == 5, "the members of an object, as text: %s", err_text(&err));
	is_str(strmap_get(&m, "bb"), "1.50e2", "a number as it stood");
	is_str(strmap_get(&m, "a"), "{\"x\":[1,\"}, \\\"\",{\"y\":null}]}", "an object without blanks");
	is_str(strmap_get(&m, "s"), "\"\\u003c\\u003c\\u0026\xc3\xa9\\u2028\"", "a string, escaped as Go's encoder does");
	is_str(strmap_get(&m, "e"), "[]", "an empty list");
	is_str(strmap_get(&m, ""), "\"\"", "a key of nothing");
	ok(json_raw_members(text, strlen(text), 4, &m, &err) < 0 && err.class == ERR_INVALID, "too many: %s", err_text(&err));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		OWN_STRMAP struct strmap none = { 0 };
		OWN_ERR struct err why = ERR_INIT;

		ok(json_raw_members(bad[i], strlen(bad[i]), 5, &none, &why) < 0 && why.class == ERR_INVALID, "%s is refused: %s", bad[i], err_text(&why));
	}
}

int main(void)
{
	test_jw();
	test_deep();
	test_json();
	test_raw();
	test_clock();
	test_ids();
	test_str();
	test_map_copy();
	test_fs();
	test_demux();
	test_take_away();
	return tap_done();
}
