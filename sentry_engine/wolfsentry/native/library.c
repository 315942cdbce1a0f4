/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "library.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wolfsentry/wolfsentry.h>
#include <wolfsentry/wolfsentry_json.h>

#define MICROSECONDS 1000000
#define MAX_ADDRESS_BITS 128

struct se_ws {
    pthread_mutex_t lock;                 /* the library's context is single-threaded */
    struct wolfsentry_context *context;
    struct wolfsentry_thread_context *thread;
#ifdef WOLFSENTRY_THREADSAFE
    struct wolfsentry_thread_context_public thread_room;
#endif
    int64_t now;                          /* microseconds, what get_time returns */
};

union endpoint {
    struct wolfsentry_sockaddr is;
    WOLFSENTRY_SOCKADDR(MAX_ADDRESS_BITS) holds;   /* room for the address */
};

/* The library's clock: the time that the caller of se_ws_dispatch passed. */

static wolfsentry_errcode_t get_time(void *context, wolfsentry_time_t *when)
{
    *when = ((const struct se_ws *)context)->now;
    return 0;
}

static wolfsentry_time_t subtract_time(wolfsentry_time_t later, wolfsentry_time_t earlier)
{
    return later - earlier;
}

static wolfsentry_time_t add_time(wolfsentry_time_t start, wolfsentry_time_t interval)
{
    return start + interval;
}

static wolfsentry_errcode_t split_seconds(wolfsentry_time_t when, time_t *seconds, long *nanoseconds)
{
    *seconds = when / MICROSECONDS;
    *nanoseconds = (long)(when % MICROSECONDS) * 1000;
    return 0;
}

static wolfsentry_errcode_t join_seconds(time_t seconds, long nanoseconds, wolfsentry_time_t *when)
{
    *when = (wolfsentry_time_t)seconds * MICROSECONDS + nanoseconds / 1000;
    return 0;
}

static int open_context(struct se_ws *ws)
{
    struct wolfsentry_host_platform_interface host;
    struct wolfsentry_build_settings built = wolfsentry_get_build_settings();
    struct wolfsentry_thread_context *thread = NULL;

    memset(&host, 0, sizeof host);
    host.caller_build_settings = built;
    host.timecbs = (struct wolfsentry_timecbs){ ws, get_time, subtract_time, add_time, split_seconds, join_seconds,
                                                split_seconds, join_seconds };
#ifdef WOLFSENTRY_THREADSAFE
    thread = (struct wolfsentry_thread_context *)&ws->thread_room;
    if (wolfsentry_init_thread_context(thread, WOLFSENTRY_THREAD_FLAG_NONE, NULL) < 0)
        return -EINVAL;
#endif
    ws->thread = thread;
    if (wolfsentry_init(built, WOLFSENTRY_CONTEXT_ARGS_OUT_EX(&host), NULL, &ws->context) < 0)
        return -ENOMEM;
    return 0;
}

int se_ws_open(const char *json, size_t length, int64_t microseconds, struct se_ws **out, char *error, size_t room)
{
    struct se_ws *ws = calloc(1, sizeof *ws);
    int code = ws ? 0 : -ENOMEM;

    if (room)
        error[0] = 0;
    if (code)
        return code;
    pthread_mutex_init(&ws->lock, NULL);
    ws->now = microseconds;
    code = open_context(ws);
    if (!code) {
        struct wolfsentry_thread_context *thread = ws->thread;
        (void)thread;
        if (wolfsentry_config_json_oneshot(WOLFSENTRY_CONTEXT_ARGS_OUT_EX(ws->context), (const unsigned char *)json, length,
                                           WOLFSENTRY_CONFIG_LOAD_FLAG_NONE, error, room) < 0)
            code = -EINVAL;
    }
    if (code) {
        se_ws_close(ws);
        return code;
    }
    *out = ws;
    return 0;
}

void se_ws_close(struct se_ws *ws)
{
    struct wolfsentry_thread_context *thread = ws->thread;

    if (ws->context)
        (void)wolfsentry_shutdown(WOLFSENTRY_CONTEXT_ARGS_OUT_EX(&ws->context));
#ifdef WOLFSENTRY_THREADSAFE
    if (thread)
        (void)wolfsentry_destroy_thread_context(thread, WOLFSENTRY_THREAD_FLAG_NONE);
#else
    (void)thread;
#endif
    pthread_mutex_destroy(&ws->lock);
    free(ws);
}

static void fill_endpoint(union endpoint *end, const struct se_ws_traffic *traffic, int is_remote)
{
    size_t size = traffic->is_ipv4 ? 4 : 16;

    memset(end, 0, sizeof *end);
    end->is.sa_family = traffic->is_ipv4 ? WOLFSENTRY_AF_INET : WOLFSENTRY_AF_INET6;
    end->is.sa_proto = traffic->protocol;
    end->is.sa_port = is_remote ? traffic->remote_port : traffic->local_port;
    end->is.interface = is_remote ? traffic->remote_interface : traffic->local_interface;
    end->is.addr_len = (wolfsentry_addr_bits_t)(8 * size);
    memcpy(end->is.addr, is_remote ? traffic->remote : traffic->local, size);
}

int se_ws_dispatch(struct se_ws *ws, const struct se_ws_traffic *traffic, const char *event, int64_t microseconds,
                   uint32_t *results, uint32_t *route)
{
    union endpoint remote, local;
    wolfsentry_ent_id_t id = WOLFSENTRY_ENT_ID_NONE;
    wolfsentry_action_res_t said = *results;
    wolfsentry_errcode_t code;
    struct wolfsentry_thread_context *thread = ws->thread;

    fill_endpoint(&remote, traffic, 1);
    fill_endpoint(&local, traffic, 0);
    (void)thread;
    pthread_mutex_lock(&ws->lock);
    ws->now = microseconds;
    code = wolfsentry_route_event_dispatch_with_inited_result(
        WOLFSENTRY_CONTEXT_ARGS_OUT_EX(ws->context), &remote.is, &local.is,
        traffic->is_inbound ? WOLFSENTRY_ROUTE_FLAG_DIRECTION_IN : WOLFSENTRY_ROUTE_FLAG_DIRECTION_OUT, event,
        event ? WOLFSENTRY_LENGTH_NULL_TERMINATED : 0, NULL, &id, NULL, &said);
    pthread_mutex_unlock(&ws->lock);
    *results = said;
    *route = id;
    return code < 0 ? -EINVAL : 0;
}

int se_ws_dispatch_many(struct se_ws *ws, const struct se_ws_traffic *traffic, uint32_t count, int64_t microseconds,
                        uint32_t *results)
{
    int code = 0;
    uint32_t route;

    for (uint32_t at = 0; at < count && !code; at++) {
        results[at] = 0;
        code = se_ws_dispatch(ws, &traffic[at], NULL, microseconds, &results[at], &route);
    }
    return code;
}

static long dump_routes(struct se_ws *ws, unsigned char *out, size_t room)
{
    struct wolfsentry_thread_context *thread = ws->thread;
    struct wolfsentry_context *wolfsentry = ws->context;
    struct wolfsentry_route_table *table;
    struct wolfsentry_cursor *cursor = NULL;
    unsigned char *at = out;
    wolfsentry_errcode_t code;

    (void)thread;
    if (wolfsentry_route_get_main_table(WOLFSENTRY_CONTEXT_ARGS_OUT, &table) < 0)
        return -EINVAL;
    code = wolfsentry_route_table_dump_json_start(WOLFSENTRY_CONTEXT_ARGS_OUT, table, &cursor, &at, &room,
                                                  WOLFSENTRY_FORMAT_FLAG_ALWAYS_NUMERIC);
    while (code >= 0)
        code = wolfsentry_route_table_dump_json_next(WOLFSENTRY_CONTEXT_ARGS_OUT, table, cursor, &at, &room,
                                                     WOLFSENTRY_FORMAT_FLAG_ALWAYS_NUMERIC);
    if (WOLFSENTRY_ERROR_CODE_IS(code, ITEM_NOT_FOUND))
        code = 0;
    if (cursor && wolfsentry_route_table_dump_json_end(WOLFSENTRY_CONTEXT_ARGS_OUT, table, &cursor, &at, &room,
                                                       WOLFSENTRY_FORMAT_FLAG_ALWAYS_NUMERIC) < 0)
        code = -1;
    return code < 0 ? -ENOSPC : (long)(at - out);
}

long se_ws_dump(struct se_ws *ws, char *out, size_t room)
{
    long written = -EINVAL;
    struct wolfsentry_thread_context *thread = ws->thread;
    struct wolfsentry_context *wolfsentry = ws->context;

    (void)thread;
    pthread_mutex_lock(&ws->lock);
    if (wolfsentry_context_lock_shared(WOLFSENTRY_CONTEXT_ARGS_OUT) >= 0) {
        written = dump_routes(ws, (unsigned char *)out, room);
        (void)wolfsentry_context_unlock(WOLFSENTRY_CONTEXT_ARGS_OUT);
    }
    pthread_mutex_unlock(&ws->lock);
    return written;
}
