/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "messages.h"

#include "connections/connection.h"
#include "connections/listener.h"
#include "limits/limits.h"
#include "runtime/routes.h"
#include "tunnel/cstp_channel.h"
#include "tunnel/downlink.h"
#include "tunnel/dtls_channel.h"
#include "tunnel/migration.h"
#include "tunnel/session.h"
#include "tunnel/udp_demux.h"

#include <stdlib.h>
#include <string.h>

static void attach(struct gw_worker *worker, struct gw_connection *connection, const struct gw_message *message)
{
    struct gw_session *session = gw_worker_find(worker, message->session);

    if (!session) {
        gw_connection_finish(connection);
        return;
    }
    gw_cstp_channel_begin(connection, session, message->data, message->value, message->data + message->value,
                     message->size - message->value);
}

/* Moves the connection to the worker of its session. Without memory for the message it ends. */
static void migrate(struct gw_worker *worker, struct gw_connection *connection, const struct gw_message *message, uint32_t home)
{
    struct gw_message *copy = gw_message_new(GW_MSG_MIGRATE, message->data, message->size);

    if (!copy) {
        gw_connection_end(connection, GW_CAUSE_LOCAL);
        return;
    }
    gw_connection_detach(connection);
    copy->object = connection;
    copy->session = message->session;
    copy->value = message->value;
    gw_mailbox_post(&worker->gateway->workers[home]->mailbox, copy);
}

static void handle_connection_message(struct gw_worker *worker, struct gw_connection *connection, const struct gw_message *message)
{
    uint32_t home;

    switch (message->kind) {
    case GW_MSG_SEND:
        connection->asked = false;
        if (connection->state == GW_CONNECTION_PRE_TUNNEL && gw_connection_write(connection, message->data, message->size) == 0)
            gw_connection_flush(connection);
        break;
    case GW_MSG_CLOSE:
        gw_connection_finish(connection);
        break;
    case GW_MSG_CREDIT:
        gw_connection_credit(connection, message->value);
        break;
    case GW_MSG_ATTACH:
        if (gw_worker_find(worker, message->session) || !gw_worker_locate(worker, message->session, &home))
            attach(worker, connection, message);
        else if (connection->state == GW_CONNECTION_PRE_TUNNEL)
            migrate(worker, connection, message, home);
        break;
    default:
        break;
    }
}

static void expect_dtls(struct gw_worker *worker, const struct gw_message *message)
{
    struct gw_session *session = gw_worker_find(worker, message->session);
    struct gw_dtls_config config;

    memcpy(&config, message->data, sizeof(config));
    if (session)
        gw_dtls_expect(worker, session, &config);
    else
        gw_client_table_remove(&worker->gateway->dtls->names, config.name, message->session);
}

static bool is_for_session(const struct gw_message *message)
{
    return message->kind == GW_MSG_SESSION_CLOSE || message->kind == GW_MSG_SESSION_DTLS || message->kind == GW_MSG_MIGRATE ||
           message->kind == GW_MSG_SESSION_RESIZE || message->kind == GW_MSG_SESSION_ASK || message->kind == GW_MSG_SESSION_LIMIT;
}

/* True: the message was posted to the worker that has the session now. */
static bool forward(struct gw_worker *worker, struct gw_message *message)
{
    uint32_t home;

    if (!is_for_session(message) || gw_worker_find(worker, message->session) ||
        !gw_worker_locate(worker, message->session, &home))
        return false;
    gw_mailbox_post(&worker->gateway->workers[home]->mailbox, message);     /* never refused, see has_room() */
    return true;
}

static void handle_message(struct gw_worker *worker, struct gw_message *message)
{
    struct gw_connection *connection = message->connection ? gw_connection_find(worker, message->connection) : NULL;
    struct gw_session *session;

    switch (message->kind) {
    case GW_MSG_SESSION_OPEN:
        gw_session_begin(worker, message->session);
        break;
    case GW_MSG_SESSION_CLOSE:
        session = gw_worker_find(worker, message->session);
        if (session)
            gw_session_end(worker, session, message->data, message->size);
        break;
    case GW_MSG_SESSION_RESIZE:
        session = gw_worker_find(worker, message->session);
        if (session)
            session->mtu = (uint32_t)message->value;
        break;
    case GW_MSG_SESSION_ASK:
        session = gw_worker_find(worker, message->session);
        if (session)
            gw_session_probe(worker, session);
        break;
    case GW_MSG_SESSION_LIMIT:
        session = gw_worker_find(worker, message->session);
        if (session)
            gw_limits_set(session, message->object);
        else
            gw_limits_free(message->object);
        break;
    case GW_MSG_MIGRATE:
        connection = message->object;
        if (gw_connection_adopt(worker, connection) == 0)
            attach(worker, connection, message);
        break;
    case GW_MSG_BATCH:
        gw_downlink_take_batch(worker, message->object);
        break;
    case GW_MSG_SESSION_DTLS:
        expect_dtls(worker, message);
        break;
    case GW_MSG_SESSION_MOVE:
        gw_migration_receive(worker, message->session);
        break;
    case GW_MSG_DATAGRAMS:
        gw_udp_demux_take_batch(worker, message->object);
        break;
    case GW_MSG_PAUSE_ACCEPTING:
        gw_listeners_unwatch(worker);
        break;
    case GW_MSG_RESUME_ACCEPTING:
        gw_listeners_watch(worker);
        break;
    case GW_MSG_STOP_ACCEPTING:
        gw_listeners_close(worker);
        break;
    case GW_MSG_STOP:
        worker->stopping = true;
        break;
    default:
        if (connection)
            handle_connection_message(worker, connection, message);
    }
}

void gw_messages_read(struct gw_worker *worker)
{
    struct gw_message *message = worker->mail ? gw_mailbox_take(&worker->mailbox) : NULL;

    worker->mail = false;
    if (message)
        gw_routes_read(worker);     /* those posted before these: an ATTACH may bring packets */
    while (message) {
        struct gw_message *next = message->next;

        if (!forward(worker, message)) {
            handle_message(worker, message);
            free(message);
        }
        message = next;
    }
}

void gw_messages_discard(struct gw_worker *worker)
{
    struct gw_message *message = gw_mailbox_take(&worker->mailbox);

    while (message) {
        struct gw_message *next = message->next;

        if (message->kind == GW_MSG_BATCH || message->kind == GW_MSG_DATAGRAMS)
            free(message->object);
        else if (message->kind == GW_MSG_MIGRATE)
            gw_connection_destroy(message->object, &worker->chunks);
        else if (message->kind == GW_MSG_SESSION_LIMIT)
            gw_limits_free(message->object);
        else if (message->kind == GW_MSG_SESSION_MOVE)
            gw_migration_discard(worker, message->session);
        free(message);
        message = next;
    }
}
