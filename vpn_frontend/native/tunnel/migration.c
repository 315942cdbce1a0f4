/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tunnel/migration.h"

#include "connections/connection.h"
#include "limits/limits.h"
#include "tunnel/dtls_channel.h"

#include <stdlib.h>

void gw_migration_send(struct gw_worker *worker, struct gw_session *session, uint32_t to)
{
    struct gw_message *message = gw_message_new(GW_MSG_SESSION_MOVE, NULL, 0);

    if (!message)
        return;
    message->session = session->id;
    session->moved = worker->now;
    session->open = false;
    gw_wheel_remove(&worker->sessions, session);
    if (session->channel)
        gw_connection_detach(session->channel);
    gw_dtls_leave(session);
    gw_count(worker, GW_STAT_sessions_moved);
    /* Ownership passes to worker `to`. */
    gw_mailbox_hand_over(&worker->gateway->workers[to]->mailbox, message, &session->home, to);
}

void gw_migration_receive(struct gw_worker *worker, uint64_t id)
{
    struct gw_session *session = &worker->gateway->sessions.slots[gw_id_slot(id)];

    /* The turn of the sender may have begun later: no time of the session may lie in the future. */
    if (worker->now < session->moved)
        worker->now = session->moved;
    session->open = true;
    gw_wheel_add(&worker->sessions, session, worker->now, 0);   /* looked at next */
    gw_dtls_adopt(worker, session);
    if (session->channel && gw_connection_adopt(worker, session->channel) == 0)
        gw_connection_flush(session->channel);    /* the detached connection saw no EPOLLOUT */
}

void gw_migration_discard(struct gw_worker *worker, uint64_t id)
{
    struct gw_session *session = &worker->gateway->sessions.slots[gw_id_slot(id)];

    if (session->channel)
        gw_connection_destroy(session->channel, &worker->chunks);
    gw_cstp_reader_free(&session->frames);
    gw_dtls_destroy(session->dtls);
    gw_limits_set(session, NULL);
    session->channel = NULL;
    session->dtls = NULL;
}
