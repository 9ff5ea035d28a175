/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/archive.h"

#include "tap.h"

static void config_done(struct image_config *c) { jdesc_clear(&image_config_desc, c); }

/* What the instructions make of an empty configuration, or the error. */
static void becomes(const char *changes, const char *want)
{
	CLEANUP(config_done) struct image_config c = { 0 };
	OWN_STRV struct strv v = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	strv_add(&v, changes);
	if (image_config_change(&c, &v, &err) < 0) {
		is_str(err_text(&err), want, "%s", changes);
		return;
	}
	jw_init(&w, &b);
	jdesc_encode(&image_config_desc, &c, &w);
	if (!ok(strstr(b.data, want) != NULL, "%.60s", changes))
		printf("#  got: %s\n# want: %s\n", b.data, want);
}

int main(void)
{
	CLEANUP(config_done) struct image_config c = { 0 };

	becomes("CMD a b", "\"Cmd\":[\"/bin/sh\",\"-c\",\"a b\"]");
	becomes("cmd [\"a\",\"b\"]", "\"Cmd\":[\"a\",\"b\"]");
	becomes("CMD [a,b]", "\"Cmd\":[\"/bin/sh\",\"-c\",\"[a,b]\"]");
	becomes("CMD []", "\"Cmd\":[]");
	becomes("CMD a \\\n b", "\"Cmd\":[\"/bin/sh\",\"-c\",\"a  b\"]");
	becomes("CMD x\nENTRYPOINT y", "\"Cmd\":[\"/bin/sh\",\"-c\",\"x\"]");
	becomes("ENTRYPOINT []", "\"Entrypoint\":null");
	becomes("ENV a b  c", "\"Env\":[\"a=b  c\"]");
	becomes("ENV a=b c=\"d e\" f=\\$x g=$a h=i\\ j", "\"Env\":[\"a=b\",\"c=d e\",\"f=$x\",\"g=\",\"h=i j\"]");
	becomes("ENV a=b\n# no\nENV c=${a}d e=${x:-y} f=${a:+z} g=${x:+n} a=q", "\"Env\":[\"a=q\",\"c=bd\",\"e=y\",\"f=z\",\"g=\"]");
	becomes("ENV a='$x \"y' b=\"\\\"\" c=$$", "\"Env\":[\"a=$x \\\"y\",\"b=\\\"\",\"c=\"]");
	becomes("LABEL a=b \"c d\"=e", "\"Labels\":{\"a\":\"b\",\"c d\":\"e\"}");
	becomes("EXPOSE 80 53/UDP 100-101 8080:81", "\"ExposedPorts\":{\"100/tcp\":{},\"101/tcp\":{},\"53/udp\":{},\"80/tcp\":{},\"81/tcp\":{}}");
	becomes("VOLUME /a /b /a", "\"Volumes\":{\"/a\":{},\"/b\":{}}");
	becomes("VOLUME [\"/a b\"]", "\"Volumes\":{\"/a b\":{}}");
	becomes("WORKDIR a\nWORKDIR ../b", "\"WorkingDir\":\"/b\"");
	becomes("WORKDIR /a/../b", "\"WorkingDir\":\"/a/../b\"");
	becomes("USER a", "\"User\":\"a\"");
	becomes("ONBUILD run x", "\"OnBuild\":[\"run x\"]");
	becomes("STOPSIGNAL SIGTERM", "\"StopSignal\":\"SIGTERM\"");
	becomes("STOPSIGNAL RTMIN+3", "\"StopSignal\":\"RTMIN+3\"");
	becomes("HEALTHCHECK NONE", "\"Healthcheck\":{\"Test\":[\"NONE\"]}");
	becomes("HEALTHCHECK --interval=5s --retries=3 CMD a b", "{\"Test\":[\"CMD-SHELL\",\"a b\"],\"Interval\":5000000000,\"Retries\":3}");

	becomes("RUN x", "run is not a valid change command");
	becomes("# only this", "file with no instructions");
	becomes("CMD --x=1 y", "Unknown flag: x");
	becomes("CMD [\"a\",1]", "when using JSON array syntax, arrays must be comprised of strings only");
	becomes("ENV", "ENV requires at least one argument");
	becomes("ENV a", "ENV must have two arguments");
	becomes("ENV =b", "ENV names can not be blank");
	becomes("ENV a=\"x", "failed to process \"\\\"x\": unexpected end of statement while looking for matching double-quote");
	becomes("ENV a=${b:?no}", "failed to process \"${b:?no}\": b: no");
	becomes("LABEL a=b c", "Syntax error - can't find = in \"c\". Must be of the form: name=value");
	becomes("EXPOSE x", "Invalid containerPort: x");
	becomes("EXPOSE 70000", "Invalid containerPort: 70000");
	becomes("EXPOSE 80/foo", "Invalid proto: foo");
	becomes("VOLUME", "VOLUME requires at least one argument");
	becomes("USER", "USER requires exactly one argument");
	becomes("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger");
	becomes("ONBUILD ONBUILD x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
	becomes("STOPSIGNAL FOO", "invalid signal: FOO");
	becomes("STOPSIGNAL 65", "invalid signal: 65");
	becomes("HEALTHCHECK FOO", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)");
	becomes("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD");
	becomes("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments");
	becomes("HEALTHCHECK --interval=x CMD a", "time: invalid duration \"x\"");
	becomes("HEALTHCHECK --interval=500us CMD a", "Interval \"interval\" cannot be less than 1ms");
	becomes("HEALTHCHECK --interval CMD a", "Missing a value on flag: interval");
	ok(image_config_change(&c, &(struct strv){ 0 }, NULL) == 0, "no changes change nothing");
	return tap_done();
}
