/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tunnel/cstp_channel.h"

#include "tun/uplink.h"
#include "tunnel/cstp_control.h"
#include "tunnel/dtls_channel.h"
#include "tunnel/session.h"

#include <errno.h>

static void take_disconnect(struct gw_connection *connection, struct gw_session *session, const struct gw_frame *frame)
{
    size_t size = frame->size < GW_EVENT_MAX_DATA ? frame->size : GW_EVENT_MAX_DATA;

    gw_session_lost_channel(connection->worker, session, GW_CAUSE_PEER_DISCONNECT, frame->payload, size);
    gw_connection_finish(connection);
}

static void take_frame(struct gw_connection *connection, struct gw_session *session, const struct gw_frame *frame)
{
    struct gw_worker *worker = connection->worker;

    switch (frame->type) {
    case GW_FRAME_DATA:
        gw_dtls_fall_back(session->dtls);
        gw_uplink_take(worker, session, frame->payload, frame->size, GW_OVER_TLS);
        break;
    case GW_FRAME_DPD_REQUEST:
        gw_count(worker, GW_STAT_dpd_answered);
        gw_cstp_send_control(connection, GW_FRAME_DPD_RESPONSE, frame->payload, frame->size);
        break;
    case GW_FRAME_DPD_RESPONSE:
    case GW_FRAME_KEEPALIVE:
        break;                      /* any frame shows that the client is there */
    case GW_FRAME_DISCONNECT:
        take_disconnect(connection, session, frame);
        break;
    default:
        gw_count(worker, GW_STAT_frames_unknown);
    }
}

static void on_data(struct gw_connection *connection, const uint8_t *data, size_t size)
{
    struct gw_session *session = connection->owner;
    struct gw_frame frame;
    int status = 0;

    session->heard = connection->worker->now;
    gw_session_heard(&connection->worker->gateway->events, session);
    while (connection->owner && (status = gw_cstp_next(&session->frames, &data, &size, &frame)) > 0)
        take_frame(connection, session, &frame);
    if (connection->owner && status < 0)
        gw_connection_end(connection, status == -EPROTO ? GW_CAUSE_PROTOCOL : GW_CAUSE_LOCAL);
}

static void on_end(struct gw_connection *connection, enum gw_cause cause)
{
    gw_session_lost_channel(connection->worker, connection->owner, cause, NULL, 0);
}

static const struct gw_connection_callbacks callbacks = { on_data, on_end };

/* Tells a client whose channel is replaced, and closes it. Without the frame it would come back with the same cookie: two clients
 * would take the session from each other for ever. The reason "user" makes clients stop. */
static void close_previous(struct gw_session *session)
{
    static const uint8_t replaced[] = "\xb0" "Another connection took over this session.";
    struct gw_connection *previous = gw_session_take_channel(session);

    if (previous && gw_cstp_send_control(previous, GW_FRAME_DISCONNECT, replaced, sizeof(replaced) - 1) == 0)
        gw_connection_finish(previous);
}

void gw_cstp_channel_begin(struct gw_connection *connection, struct gw_session *session, const uint8_t *head, size_t head_size,
                           const uint8_t *early, size_t early_size)
{
    struct gw_worker *worker = connection->worker;
    struct gw_event event = { .kind = GW_CHANNEL_UP, .connection = connection->id, .session = session->id };

    if (connection->state != GW_CONNECTION_PRE_TUNNEL || gw_connection_write(connection, head, head_size))
        return;
    close_previous(session);
    gw_dtls_attached(worker, session, connection->host);
    gw_connection_own(connection, &callbacks, session);
    session->channel = connection;
    session->heard = session->probed = worker->now;
    session->rekeyed = worker->now;
    gw_session_hasten(worker, session);
    gw_event_push(&worker->gateway->events, &event, NULL, false);
    if (early_size)
        on_data(connection, early, early_size);
    gw_connection_flush(connection);
}
