/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registry-settings.h"

#include <stdlib.h>

#include "config/config.h"

void registry_settings_done(struct registry_settings *s)
{
	strv_done(&s->mirrors);
	strv_done(&s->mirrors_of);
	strv_done(&s->insecure);
	free(s->http);
	free(s->https);
	free(s->no);
}

int registry_settings_read(struct api *api, struct registry_settings *s, struct err *err)
{
	const struct config *cfg = api->config;

	if (!api->registry)
		return err_set(err, ERR_UNAVAILABLE, "registries cannot be used: the data-root cannot be written");
	strv_copy(&s->mirrors, &cfg->registry_mirrors);
	strv_copy(&s->mirrors_of, &cfg->registry_mirrors_of);
	strv_copy(&s->insecure, &cfg->insecure_registries);
	s->http = xstrdup(cfg->http_proxy);
	s->https = xstrdup(cfg->https_proxy);
	s->no = xstrdup(cfg->no_proxy);
	s->c = (struct registry_config){ .mirrors = &s->mirrors, .mirrors_of = &s->mirrors_of, .insecure = &s->insecure, .http_proxy = s->http, .https_proxy = s->https, .no_proxy = s->no,
		.downloads = (int)cfg->max_concurrent_downloads, .uploads = (int)cfg->max_concurrent_uploads, .attempts = (int)cfg->max_download_attempts,
		.stall = (int)cfg->max_download_stall, .rate = (int)cfg->min_download_rate };
	return 0;
}
