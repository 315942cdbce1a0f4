/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One configuration in force in libwolfsentry: asked about traffic, told the time, one caller at a time.
 * Errors are negative: -EINVAL with a text where the library refuses a configuration, else what failed.
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

/* Loads `json`. The caller owns *out and closes it. `error` is text, cut to `room`. */
int se_ws_open(const char *json, size_t length, int64_t microseconds, struct se_ws **out, char *error, size_t room);
void se_ws_close(struct se_ws *ws);

/* Asks about `traffic`; `results` are wolfsentry_action_res_t, what the caller knows and what the answer is. `event` is a
 * label or NULL. `route` is the library's number of the route that matched, or SE_WS_NO_ROUTE. */
int se_ws_dispatch(struct se_ws *ws, const struct se_ws_traffic *traffic, const char *event, int64_t microseconds,
                   uint32_t *results, uint32_t *route);

/* As se_ws_dispatch for `count` of them of which nothing is known; stops at the first that is refused. */
int se_ws_dispatch_many(struct se_ws *ws, const struct se_ws_traffic *traffic, uint32_t count, int64_t microseconds,
                        uint32_t *results);

/* Writes the routes as JSON and returns how many octets that is, or -ENOSPC. */
long se_ws_dump(struct se_ws *ws, char *out, size_t room);

/* The version of the library: major << 16 | minor << 8 | tiny. */
uint32_t se_ws_version(void);

#endif
