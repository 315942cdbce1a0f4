/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One configuration in force in libwolfsentry. The caller passes the time with each request. A lock lets one caller in.
 * Errors are negative errno values: -EINVAL with a text if the library refuses a configuration.
 *
 * cffi reads this header (sentry_engine/native/cffi_headers.py).
 */
#ifndef SENTRY_ENGINE_WOLFSENTRY_LIBRARY_H
#define SENTRY_ENGINE_WOLFSENTRY_LIBRARY_H

#include <stddef.h>
#include <stdint.h>

#define SE_WS_NO_ROUTE 0u

struct se_ws;

struct se_ws_traffic {
    uint8_t remote[16], local[16];   /* network order; the first 4 octets for IPv4 */
    uint16_t remote_port, local_port, protocol;
    uint8_t remote_interface, local_interface;
    uint8_t is_ipv4, is_inbound;
};

/* Loads `json`. The caller owns *out. `error` receives a text, truncated to `room`. */
int se_ws_open(const char *json, size_t length, int64_t microseconds, struct se_ws **out, char *error, size_t room);
void se_ws_close(struct se_ws *ws);

/*
 * Asks about `traffic`. `results` are bits of wolfsentry_action_res_t: in, what the caller knows; out, the answer. `event` is a
 * label or NULL. `route` receives the library's number of the route that matched, or SE_WS_NO_ROUTE.
 */
int se_ws_dispatch(struct se_ws *ws, const struct se_ws_traffic *traffic, const char *event, int64_t microseconds,
                   uint32_t *results, uint32_t *route);

/* As se_ws_dispatch for `count` items of which the caller knows nothing. Stops at the first error. */
int se_ws_dispatch_many(struct se_ws *ws, const struct se_ws_traffic *traffic, uint32_t count, int64_t microseconds,
                        uint32_t *results);

/* Writes the routes as JSON. Returns the number of octets, or -ENOSPC. */
long se_ws_dump(struct se_ws *ws, char *out, size_t room);

#endif
