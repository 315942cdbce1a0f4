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
    if (why == GW_STAT_NONE && gw_routes_find(&worker->routes, inner->destination))
        why = GW_STAT_rx_client_to_client;
    return why;
}

static void count_rx(struct gw_worker *worker, struct gw_session *session, size_t size, enum gw_transport over)
{
    gw_add(&session->counters.rx_packets, 1);
    gw_add(&session->counters.rx_bytes, size);
    if (over == GW_OVER_TLS) {
        worker->pace.turn++;        /* datagrams are counted where they come in */
        worker->pace.records++;
        return;
    }
    gw_add(&session->counters.dtls_rx_packets, 1);
    gw_add(&session->counters.dtls_rx_bytes, size);
}

static void count_tx(struct gw_worker *worker, struct gw_session *session, size_t size, enum gw_transport over)
{
    worker->pace.turn++;
    gw_add(&session->counters.tx_packets, 1);
    gw_add(&session->counters.tx_bytes, size);
    if (over == GW_OVER_TLS)
        return;
    gw_add(&session->counters.dtls_tx_packets, 1);
    gw_add(&session->counters.dtls_tx_bytes, size);
}

void gw_channel_take_packet(struct gw_worker *worker, struct gw_session *session, const uint8_t *packet, size_t size,
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

static void take_farewell(struct gw_link *link, struct gw_session *session, const struct gw_frame *frame)
{
    size_t size = frame->size < GW_EVENT_MAX_DATA ? frame->size : GW_EVENT_MAX_DATA;

    gw_session_lost_channel(link->worker, session, GW_CAUSE_PEER_DISCONNECT, frame->payload, size);
    gw_link_finish(link);
}

static void take_frame(struct gw_link *link, const struct gw_frame *frame)
{
    struct gw_worker *worker = link->worker;

    switch (frame->type) {
    case GW_FRAME_DATA:
        gw_dtls_fall_back(link->session->dtls);
        gw_channel_take_packet(worker, link->session, frame->payload, frame->size, GW_OVER_TLS);
        break;
    case GW_FRAME_DPD_REQUEST:
        gw_count(worker, GW_STAT_dpd_answered);
        gw_channel_say(link, GW_FRAME_DPD_RESPONSE, frame->payload, frame->size);
        break;
    case GW_FRAME_DPD_RESPONSE:
    case GW_FRAME_KEEPALIVE:
        break;                      /* that it came is all it says */
    case GW_FRAME_DISCONNECT:
        take_farewell(link, link->session, frame);
        break;
    default:
        gw_count(worker, GW_STAT_frames_unknown);
    }
}

void gw_channel_receive(struct gw_link *link, const uint8_t *data, size_t size)
{
    struct gw_frame frame;
    int status = 0;

    link->session->heard = link->worker->now;
    gw_session_alive(link->worker, link->session);
    while (link->session && (status = gw_cstp_next(&link->frames, &data, &size, &frame)) > 0)
        take_frame(link, &frame);
    if (link->session && status < 0)
        gw_link_end(link, status == -EPROTO ? GW_CAUSE_PROTOCOL : GW_CAUSE_LOCAL);
}

int gw_channel_say(struct gw_link *link, enum gw_frame_type type, const uint8_t *payload, size_t size)
{
    uint8_t frame[GW_CSTP_HEADER + GW_CSTP_MAX_PAYLOAD];

    if (size > GW_CSTP_MAX_PAYLOAD)
        return -EMSGSIZE;
    gw_cstp_header(frame, (uint8_t)type, size);
    if (size)
        memcpy(frame + GW_CSTP_HEADER, payload, size);
    return gw_link_write(link, frame, GW_CSTP_HEADER + size);
}

void gw_channel_deliver(struct gw_worker *worker, struct gw_session *session, uint8_t *packet, size_t size, bool control)
{
    struct gw_link *link = session->channel;

    if (size > session->mtu || size > GW_CSTP_MAX_PAYLOAD) {
        if (gw_oversize_split(worker, session, packet, size, control))
            return;
        drop_tx(worker, session, GW_STAT_tx_oversize);
        gw_oversize_tell(worker, session, packet, size);
    } else if (gw_dtls_send(session, packet, size) == 0) {
        count_tx(worker, session, size, GW_OVER_DTLS);
        used(session, worker->now, control);
    } else if (!link) {
        drop_tx(worker, session, GW_STAT_tx_no_channel);
    } else if (link->out.size > GW_QUEUE_SOFT) {
        drop_tx(worker, session, GW_STAT_tx_queue_full);
    } else {
        gw_cstp_header(packet - GW_CSTP_HEADER, GW_FRAME_DATA, size);
        if (gw_link_write(link, packet - GW_CSTP_HEADER, GW_CSTP_HEADER + size))
            return;
        count_tx(worker, session, size, GW_OVER_TLS);
        used(session, worker->now, control);
        if (link->out.size >= GW_SEND_SIZE && !link->waiting_since)
            gw_link_flush(link);
    }
}

static void replace(struct gw_session *session)
{
    struct gw_link *old = session->channel;

    if (!old)
        return;
    old->session = NULL;
    session->channel = NULL;
    gw_link_finish(old);
}

void gw_channel_begin(struct gw_link *link, struct gw_session *session, const uint8_t *head, size_t head_size,
                      const uint8_t *early, size_t early_size)
{
    struct gw_worker *worker = link->worker;
    struct gw_event event = { .kind = GW_CHANNEL_UP, .link = link->id, .session = session->id };

    if (link->state != GW_LINK_CONVERSATION || gw_link_write(link, head, head_size))
        return;
    replace(session);
    gw_dtls_attached(worker, session);
    link->state = GW_LINK_CHANNEL;
    link->silent = true;
    link->deadline = 0;
    link->undelivered = 0;
    link->session = session;
    session->channel = link;
    session->heard = session->probed = worker->now;
    session->rekeyed = worker->now;
    gw_event_push(&worker->gateway->events, &event, NULL, false);
    if (early_size)
        gw_channel_receive(link, early, early_size);
    gw_link_flush(link);
}
