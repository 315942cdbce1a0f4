/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tunnel/migration.h"

#include "dtls/channel.h"

#include <stdlib.h>

void gw_migration_send(struct gw_worker *worker, struct gw_session *session, uint32_t to)
{
    struct gw_message *message = gw_message_new(GW_MSG_SESSION_MOVE, NULL, 0);

    if (!message)
        return;
    message->session = session->id;
    session->moved = worker->now;
    session->open = false;
    gw_session_delist(worker, session);
    if (session->channel)
        gw_connection_detach(session->channel);
    gw_count(worker, GW_STAT_sessions_moved);
    /* From here on it is the other's. */
    gw_mailbox_hand_over(&worker->gateway->workers[to]->mailbox, message, &session->home, to);
}

void gw_migration_receive(struct gw_worker *worker, uint64_t id)
{
    struct gw_session *session = &worker->gateway->sessions.slots[gw_id_slot(id)];

    /* The other's turn may have begun later: what the session remembers must not lie in the future. */
    if (worker->now < session->moved)
        worker->now = session->moved;
    session->open = true;
    gw_session_enlist(worker, session);
    gw_dtls_adopt(worker, session);
    if (session->channel && gw_connection_adopt(worker, session->channel) == 0)
        gw_connection_flush(session->channel);    /* it may wait for room to write */
}

void gw_migration_discard(struct gw_worker *worker, uint64_t id)
{
    struct gw_session *session = &worker->gateway->sessions.slots[gw_id_slot(id)];

    if (session->channel)
        gw_connection_destroy(session->channel, &worker->chunks);
    gw_dtls_destroy(session->dtls);
    session->channel = NULL;
    session->dtls = NULL;
}
