/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tunnel/cstp_channel.h"

#include "dtls/channel.h"
#include "packet/inner_packet.h"
#include "packet/path_mtu.h"
#include "tun/queue.h"

#include <errno.h>
#include <string.h>

static void drop_rx(struct gw_worker *worker, struct gw_session *session, enum gw_stat why)
{
    gw_session_drop_rx(session);
    gw_count(worker, why);
}

static void drop_tx(struct gw_worker *worker, struct gw_session *session, enum gw_stat why)
{
    gw_session_drop_tx(session);
    gw_count(worker, why);
}

static void used(struct gw_session *session, uint64_t now, bool control)
{
    __atomic_store_n(&session->counters.last_data_ns, now, __ATOMIC_RELAXED);
    if (control)
        return;
    session->used = now;
    session->idle_told = false;
}

/* The checks in their order: size, form, whose it is, where it goes. */
static enum gw_stat judge(struct gw_worker *worker, const struct gw_session *session, const uint8_t *packet, size_t size,
                          struct gw_inner *inner)
{
    enum gw_stat why;

    /* A client that came back with a smaller path may go on with the device as it was first set. */
    if (size > session->config.mtu && size > session->mtu)
        return GW_STAT_rx_oversize;
    why = gw_inner_read(packet, size, inner);
    if (why == GW_STAT_NONE)
        why = gw_inner_check_source(inner, session->config.inner4, session->config.inner6);
    if (why == GW_STAT_NONE && gw_address_table_find(&worker->addresses, inner->destination))
        why = GW_STAT_rx_client_to_client;
    return why;
}

static void count_rx(struct gw_worker *worker, struct gw_session *session, size_t size, enum gw_transport over)
{
    gw_add(&session->counters.rx_packets, 1);
    gw_add(&session->counters.rx_bytes, size);
    if (over == GW_OVER_TLS) {
        worker->pacing.turn++;        /* datagrams are counted where they come in */
        worker->pacing.records++;
        return;
    }
    gw_add(&session->counters.dtls_rx_packets, 1);
    gw_add(&session->counters.dtls_rx_bytes, size);
}

static void count_tx(struct gw_worker *worker, struct gw_session *session, size_t size, enum gw_transport over)
{
    worker->pacing.turn++;
    gw_add(&session->counters.tx_packets, 1);
    gw_add(&session->counters.tx_bytes, size);
    if (over == GW_OVER_TLS)
        return;
    gw_add(&session->counters.dtls_tx_packets, 1);
    gw_add(&session->counters.dtls_tx_bytes, size);
}

void gw_uplink_take(struct gw_worker *worker, struct gw_session *session, const uint8_t *packet, size_t size,
                            enum gw_transport over)
{
    struct gw_inner inner;
    enum gw_stat why = judge(worker, session, packet, size, &inner);

    if (why != GW_STAT_NONE) {
        drop_rx(worker, session, why);
        return;
    }
    count_rx(worker, session, size, over);      /* who sees the packet sees it counted */
    used(session, worker->now, inner.control);
    gw_tun_write(worker, packet, size);
}

static void take_disconnect(struct gw_connection *connection, struct gw_session *session, const struct gw_frame *frame)
{
    size_t size = frame->size < GW_EVENT_MAX_DATA ? frame->size : GW_EVENT_MAX_DATA;

    gw_session_lost_channel(connection->worker, session, GW_CAUSE_PEER_DISCONNECT, frame->payload, size);
    gw_connection_finish(connection);
}

static void take_frame(struct gw_connection *connection, const struct gw_frame *frame)
{
    struct gw_worker *worker = connection->worker;

    switch (frame->type) {
    case GW_FRAME_DATA:
        gw_dtls_fall_back(connection->session->dtls);
        gw_uplink_take(worker, connection->session, frame->payload, frame->size, GW_OVER_TLS);
        break;
    case GW_FRAME_DPD_REQUEST:
        gw_count(worker, GW_STAT_dpd_answered);
        gw_cstp_send_control(connection, GW_FRAME_DPD_RESPONSE, frame->payload, frame->size);
        break;
    case GW_FRAME_DPD_RESPONSE:
    case GW_FRAME_KEEPALIVE:
        break;                      /* that it came is all it says */
    case GW_FRAME_DISCONNECT:
        take_disconnect(connection, connection->session, frame);
        break;
    default:
        gw_count(worker, GW_STAT_frames_unknown);
    }
}

void gw_cstp_channel_receive(struct gw_connection *connection, const uint8_t *data, size_t size)
{
    struct gw_frame frame;
    int status = 0;

    connection->session->heard = connection->worker->now;
    gw_session_heard(connection->worker, connection->session);
    while (connection->session && (status = gw_cstp_next(&connection->frames, &data, &size, &frame)) > 0)
        take_frame(connection, &frame);
    if (connection->session && status < 0)
        gw_connection_end(connection, status == -EPROTO ? GW_CAUSE_PROTOCOL : GW_CAUSE_LOCAL);
}

int gw_cstp_send_control(struct gw_connection *connection, enum gw_frame_type type, const uint8_t *payload, size_t size)
{
    uint8_t frame[GW_CSTP_HEADER + GW_CSTP_MAX_PAYLOAD];

    if (size > GW_CSTP_MAX_PAYLOAD)
        return -EMSGSIZE;
    gw_cstp_header(frame, (uint8_t)type, size);
    if (size)
        memcpy(frame + GW_CSTP_HEADER, payload, size);
    return gw_connection_write(connection, frame, GW_CSTP_HEADER + size);
}

void gw_downlink_deliver(struct gw_worker *worker, struct gw_session *session, uint8_t *packet, size_t size, bool control)
{
    struct gw_connection *connection = session->channel;

    if (size > session->mtu || size > GW_CSTP_MAX_PAYLOAD) {
        if (gw_oversize_split(worker, session, packet, size, control))
            return;
        drop_tx(worker, session, GW_STAT_tx_oversize);
        gw_oversize_tell(worker, session, packet, size);
    } else if (gw_dtls_send(session, packet, size) == 0) {
        count_tx(worker, session, size, GW_OVER_DTLS);
        used(session, worker->now, control);
    } else if (!connection) {
        drop_tx(worker, session, GW_STAT_tx_no_channel);
    } else if (connection->out.size > GW_QUEUE_SOFT) {
        drop_tx(worker, session, GW_STAT_tx_queue_full);
    } else {
        gw_cstp_header(packet - GW_CSTP_HEADER, GW_FRAME_DATA, size);
        if (gw_connection_write(connection, packet - GW_CSTP_HEADER, GW_CSTP_HEADER + size))
            return;
        count_tx(worker, session, size, GW_OVER_TLS);
        used(session, worker->now, control);
        if (connection->out.size >= GW_SEND_SIZE && !connection->waiting_since)
            gw_connection_flush(connection);
    }
}

static void replace(struct gw_session *session)
{
    struct gw_connection *old = session->channel;

    if (!old)
        return;
    old->session = NULL;
    session->channel = NULL;
    gw_connection_finish(old);
}

void gw_cstp_channel_begin(struct gw_connection *connection, struct gw_session *session, const uint8_t *head, size_t head_size,
                      const uint8_t *early, size_t early_size)
{
    struct gw_worker *worker = connection->worker;
    struct gw_event event = { .kind = GW_CHANNEL_UP, .connection = connection->id, .session = session->id };

    if (connection->state != GW_CONNECTION_PRE_TUNNEL || gw_connection_write(connection, head, head_size))
        return;
    replace(session);
    gw_dtls_attached(worker, session);
    connection->state = GW_CONNECTION_CHANNEL;
    connection->silent = true;
    connection->deadline = 0;
    connection->undelivered = 0;
    connection->session = session;
    session->channel = connection;
    session->heard = session->probed = worker->now;
    session->rekeyed = worker->now;
    gw_event_push(&worker->gateway->events, &event, NULL, false);
    if (early_size)
        gw_cstp_channel_receive(connection, early, early_size);
    gw_connection_flush(connection);
}
