/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Commands for connections and sessions: messages to the workers that have them. A command takes effect wholly or not at all: its
 * memory is allocated before the first message is posted.
 */
#include "commands.h"

#include "dtls/udp_port.h"
#include "limits/limits.h"
#include "runtime/id.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int gw_post(gw *g, uint32_t worker, struct gw_message *message)
{
    bool holding = __atomic_load_n(&g->holding, __ATOMIC_RELAXED);
    int status = -ENOENT;

    if (!message)
        return -ENOMEM;
    if (worker < g->config.workers)
        status = (holding ? gw_mailbox_put : gw_mailbox_post)(&g->workers[worker]->mailbox, message);
    if (status)
        free(message);
    return status;
}

static void discard(struct gw_message *list)
{
    while (list) {
        struct gw_message *next = list->next;

        free(list);
        list = next;
    }
}

struct gw_message *gw_write_all(gw *g, enum gw_message_kind kind, uint64_t session, const void *data, size_t size)
{
    struct gw_message *list = NULL;

    for (uint32_t i = 0; i < g->config.workers; i++) {
        struct gw_message *message = gw_message_new(kind, data, size);

        if (!message) {
            discard(list);
            return NULL;
        }
        message->session = session;
        message->next = list;
        list = message;
    }
    return list;
}

void gw_post_all(gw *g, struct gw_message *list)
{
    for (uint32_t i = 0; list; i++) {
        struct gw_message *next = list->next;

        gw_post(g, i, list);
        list = next;
    }
}

/* As gw_post_all, for routes. */
static void post_routes(gw *g, struct gw_message *list)
{
    for (uint32_t i = 0; list; i++) {
        struct gw_message *next = list->next;

        gw_mailbox_put_route(&g->workers[i]->mailbox, list);
        list = next;
    }
}

static struct gw_message *write_addresses(gw *g, enum gw_message_kind kind, uint64_t session, const struct gw_session_config *config)
{
    uint8_t addresses[32];

    memcpy(addresses, config->inner4, 16);
    memcpy(addresses + 16, config->inner6, 16);
    return gw_write_all(g, kind, session, addresses, sizeof(addresses));
}

/* *list is NULL where the session has no network behind its client. False: no memory. */
static bool write_iroutes(gw *g, uint64_t session, const struct gw_session_config *config, struct gw_message **list)
{
    *list = NULL;
    if (!config->iroute_count)
        return true;
    *list = gw_write_all(g, GW_MSG_IROUTES_ADD, session, config->iroutes, config->iroute_count * sizeof(*config->iroutes));
    for (struct gw_message *message = *list; message; message = message->next)
        message->value = config->iroutes_exposed;
    return *list != NULL;
}

void gw_hold(gw *g)
{
    __atomic_store_n(&g->holding, true, __ATOMIC_RELAXED);
}

void gw_release(gw *g)
{
    __atomic_store_n(&g->holding, false, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < g->config.workers; i++)
        gw_mailbox_wake(&g->workers[i]->mailbox);
}

int gw_connection_send(gw *g, uint64_t connection, const uint8_t *data, size_t size)
{
    struct gw_message *message = gw_message_new(GW_MSG_SEND, data, size);

    if (message)
        message->connection = connection;
    return gw_post(g, gw_id_worker(connection), message);
}

int gw_connection_close(gw *g, uint64_t connection)
{
    struct gw_message *message = gw_message_new(GW_MSG_CLOSE, NULL, 0);

    if (message)
        message->connection = connection;
    return gw_post(g, gw_id_worker(connection), message);
}

int gw_session_open(gw *g, uint64_t connection, const struct gw_session_config *config, uint64_t *session)
{
    uint32_t worker = gw_id_worker(connection);
    struct gw_session_config kept = *config;
    struct gw_message *message, *addresses, *iroutes;
    int status = -ENOMEM;

    kept.iroutes = NULL;            /* the caller's */
    if (config->mtu < GW_MTU_MIN || config->iroute_count > GW_IROUTES_MAX)
        return -EINVAL;
    if (worker >= g->config.workers)
        return -ENOENT;
    *session = gw_session_reserve(&g->sessions, worker, &kept);
    if (!*session)
        return -ENOSPC;
    message = gw_message_new(GW_MSG_SESSION_OPEN, NULL, 0);
    addresses = write_addresses(g, GW_MSG_ADDRESS_ADD, *session, config);
    if (write_iroutes(g, *session, config, &iroutes) && message && addresses) {
        message->session = *session;
        status = gw_post(g, worker, message);
    } else {
        free(message);
    }
    if (status) {
        discard(addresses);
        discard(iroutes);
        gw_session_release(&g->sessions, &g->sessions.slots[gw_id_slot(*session)]);
        *session = 0;
        return status;
    }
    post_routes(g, addresses);
    post_routes(g, iroutes);
    return 0;
}

int gw_session_dtls(gw *g, uint64_t session, const struct gw_dtls_config *config)
{
    struct gw_message *message;
    int status;

    if (config->mode < GW_DTLS_PSK || config->mode > GW_DTLS_CERTIFICATE)
        return -EINVAL;
    if (gw_session_read(&g->sessions, session, NULL, NULL))
        return -ENOENT;
    message = gw_message_new(GW_MSG_SESSION_DTLS, config, sizeof(*config));
    if (!message)
        return -ENOMEM;
    message->session = session;
    status = gw_client_table_add(&g->dtls->names, config->name, session);
    if (status) {
        free(message);
        return status;
    }
    status = gw_post(g, gw_session_home(&g->sessions, session), message);
    if (status)
        gw_client_table_remove(&g->dtls->names, config->name, session);
    return status;
}

int gw_session_attach(gw *g, uint64_t session, uint64_t connection, const uint8_t *head, size_t head_size,
                      const uint8_t *early, size_t early_size)
{
    struct gw_message *message = gw_message_new(GW_MSG_ATTACH, NULL, head_size + early_size);

    if (!message)
        return -ENOMEM;
    if (head_size)
        memcpy(message->data, head, head_size);
    if (early_size)
        memcpy(message->data + head_size, early, early_size);
    message->connection = connection;
    message->session = session;
    message->value = head_size;
    if (gw_id_worker(session) >= g->config.workers) {
        free(message);
        return -ENOENT;
    }
    return gw_post(g, gw_id_worker(connection), message);
}

int gw_session_close(gw *g, uint64_t session, const uint8_t *frame, size_t frame_size)
{
    struct gw_session_config config;
    struct gw_message *message, *addresses, *iroutes = NULL;

    if (gw_session_read(&g->sessions, session, &config, NULL))
        return -ENOENT;
    gw_session_mark_ended(&g->sessions, session);
    message = gw_message_new(GW_MSG_SESSION_CLOSE, frame, frame_size);
    addresses = write_addresses(g, GW_MSG_ADDRESS_REMOVE, session, &config);
    if (config.iroute_count)
        iroutes = gw_write_all(g, GW_MSG_IROUTES_REMOVE, session, NULL, 0);
    if (!message || !addresses || (config.iroute_count && !iroutes)) {
        free(message);
        discard(addresses);
        discard(iroutes);
        return -ENOMEM;
    }
    post_routes(g, addresses);
    post_routes(g, iroutes);
    message->session = session;
    return gw_post(g, gw_session_home(&g->sessions, session), message);
}

static int tell_session(gw *g, uint64_t session, enum gw_message_kind kind, size_t value)
{
    struct gw_message *message;

    if (gw_session_read(&g->sessions, session, NULL, NULL))
        return -ENOENT;
    message = gw_message_new(kind, NULL, 0);
    if (message) {
        message->session = session;
        message->value = value;
    }
    return gw_post(g, gw_session_home(&g->sessions, session), message);
}

int gw_session_resize(gw *g, uint64_t session, uint32_t mtu)
{
    if (mtu < GW_MTU_MIN)
        return -EINVAL;
    return tell_session(g, session, GW_MSG_SESSION_RESIZE, mtu);
}

int gw_session_limit(gw *g, uint64_t session, const struct gw_session_limits *limits)
{
    bool any = limits->restriction || limits->budgets[0] || limits->budgets[1];
    struct gw_limits *own = NULL;
    struct gw_message *message;
    int status;

    if (gw_session_read(&g->sessions, session, NULL, NULL))
        return -ENOENT;
    message = gw_message_new(GW_MSG_SESSION_LIMIT, NULL, 0);
    own = message && any ? gw_limits_new(limits) : NULL;
    if (!message || (any && !own)) {
        free(message);
        return -ENOMEM;
    }
    message->session = session;
    message->object = own;          /* ownership passes with the message */
    status = gw_post(g, gw_session_home(&g->sessions, session), message);
    if (status)
        gw_limits_free(own);
    return status;
}

int gw_session_ask(gw *g, uint64_t session)
{
    return tell_session(g, session, GW_MSG_SESSION_ASK, 0);
}
