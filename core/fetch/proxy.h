/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Proxies as Docker's users write them (the rules of Go's x/net/http/httpproxy), in the form that libcurl takes. Thread-safe. */
#ifndef FETCH_PROXY_H
#define FETCH_PROXY_H

/*
 * The address of a proxy: without a scheme it is one of HTTP, without a port that of its scheme (libcurl would take 1080). "" for NULL
 * and "". Owned by the caller.
 */
char *proxy_address(const char *text);
/*
 * What of a list of exceptions is one for target ("host:port"): a name or address with a port of its own is one for that port alone,
 * "*.name" and ".name" stand for all below the name, "*" for everything. Owned by the caller.
 */
char *proxy_exceptions(const char *list, const char *target);

#endif
