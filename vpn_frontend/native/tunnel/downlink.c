/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tunnel/downlink.h"

#include "connections/connection.h"
#include "limits/limits.h"
#include "packet/gso.h"
#include "packet/inner_packet.h"
#include "packet/path_mtu.h"
#include "runtime/handoff.h"
#include "runtime/routes.h"
#include "tun/queue.h"
#include "tunnel/dtls_channel.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define READS_PER_TURN 64
#define BYTES_PER_TURN 262144u      /* read in one turn, so that connections get their share */
#define TOO_BIG_RATE 32u            /* ICMP errors per session and second (RFC 1812 section 4.3.2.8) */

static void drop(struct gw_worker *worker, struct gw_session *session, enum gw_stat why)
{
    gw_session_drop_tx(session);
    gw_count(worker, why);
}

static void count(struct gw_worker *worker, struct gw_session *session, size_t size, bool control)
{
    worker->pacing.turn++;
    gw_pacing_count_session(&worker->pacing, &session->rate, worker->now);
    gw_add(&session->account->counters.tx_packets, 1);
    gw_add(&session->account->counters.tx_bytes, size);
    if (session->limits)
        gw_limits_charge(session->limits, size);
    gw_session_mark_used(session, worker->now, control);
}

static void count_dtls(struct gw_session *session, size_t size)
{
    gw_add(&session->account->counters.dtls_tx_packets, 1);
    gw_add(&session->account->counters.dtls_tx_bytes, size);
}

static void send_tls(struct gw_worker *worker, struct gw_session *session, uint8_t *packet, size_t size, bool control)
{
    struct gw_connection *connection = session->channel;

    if (!connection) {
        drop(worker, session, GW_STAT_tx_no_channel);
        return;
    }
    if (connection->out.size > GW_QUEUE_SOFT) {
        drop(worker, session, GW_STAT_tx_queue_full);
        return;
    }
    gw_cstp_header(packet - GW_CSTP_HEADER, GW_FRAME_DATA, size);
    if (gw_connection_write(connection, packet - GW_CSTP_HEADER, GW_CSTP_HEADER + size))
        return;
    count(worker, session, size, control);
    if (connection->out.size >= GW_SEND_SIZE && !connection->waiting_since)
        gw_connection_flush(connection);
}

/* `packet` has GW_HEADROOM bytes of room in front of it and fits into the tunnel. It is sent at the end of the turn. */
static void send_packet(struct gw_worker *worker, struct gw_session *session, uint8_t *packet, size_t size, bool control)
{
    if (gw_dtls_send(session, packet, size)) {
        send_tls(worker, session, packet, size, control);
        return;
    }
    count(worker, session, size, control);
    count_dtls(session, size);
}

static bool may_report_too_big(const struct gw_worker *worker, struct gw_session *session)
{
    uint64_t second = worker->now / GW_SECOND;

    if (session->too_big_second != second) {
        session->too_big_second = second;
        session->too_big_count = 0;
    }
    return session->too_big_count++ < TOO_BIG_RATE;
}

/* A packet larger than the tunnel: fragmented, or dropped with an ICMP error to its sender. */
static void handle_oversize(struct gw_worker *worker, struct gw_session *session, const uint8_t *packet, size_t size, bool control)
{
    uint8_t room[GW_HEADROOM + GW_CSTP_MAX_PAYLOAD], *out = room + GW_HEADROOM;
    size_t limit = session->mtu < GW_CSTP_MAX_PAYLOAD ? session->mtu : GW_CSTP_MAX_PAYLOAD, part;
    struct gw_fragments fragments;

    if (gw_fragments_begin(&fragments, packet, size, limit)) {
        while ((part = gw_fragments_next(&fragments, out)))
            send_packet(worker, session, out, part, control);
        return;
    }
    drop(worker, session, GW_STAT_tx_oversize);
    if (gw_too_big_allowed(packet, size) && may_report_too_big(worker, session))
        gw_tun_write(worker, session, out, gw_too_big_write(packet, size, session->mtu, out));
}

static void deliver(struct gw_worker *worker, struct gw_session *session, uint8_t *packet, size_t size,
                    const struct gw_inner *inner)
{
    if (session->limits) {
        enum gw_stat why = gw_limits_check(worker, session, GW_TO_CLIENT, packet, size, inner);

        if (why != GW_STAT_NONE) {
            drop(worker, session, why);
            return;
        }
    }
    if (size > session->mtu || size > GW_CSTP_MAX_PAYLOAD)
        handle_oversize(worker, session, packet, size, inner->control);
    else
        send_packet(worker, session, packet, size, inner->control);
}

static void deliver_or_hand_off(struct gw_worker *worker, uint64_t id, uint8_t *packet, size_t size,
                                const struct gw_inner *inner)
{
    struct gw_session *session = gw_worker_find(worker, id);
    uint32_t home;

    if (session)
        deliver(worker, session, packet, size, inner);
    else if (gw_worker_locate(worker, id, &home))
        gw_handoff_add(worker, home, id, packet, size);
    else
        gw_count(worker, GW_STAT_tx_no_session);
}

/* `inner` is of the large packet; its segments have the same addresses, ports and flags but for FIN, PSH and CWR. */
static void deliver_segments(struct gw_worker *worker, uint64_t id, const struct virtio_net_hdr *header, const uint8_t *packet,
                             size_t size, const struct gw_inner *inner)
{
    uint8_t *out = worker->packet + GW_HEADROOM;
    struct gw_gso gso;
    size_t part;

    if (gw_gso_begin(&gso, header, packet, size)) {
        gw_count(worker, GW_STAT_tx_malformed);
        return;
    }
    while ((part = gw_gso_next(&gso, out, GW_PACKET_MAX)))
        deliver_or_hand_off(worker, id, out, part, inner);
}

/* Returns the session of the destination; 0: none, counted. */
static uint64_t find_session(struct gw_worker *worker, const uint8_t *packet, size_t size, struct gw_inner *inner)
{
    uint64_t id;

    if (gw_inner_read(packet, size, inner) == GW_INNER_MALFORMED) {
        gw_count(worker, GW_STAT_tx_malformed);
        return 0;
    }
    id = gw_address_table_find(&worker->addresses, inner->destination);
    if (!id && worker->iroutes.count) {
        const struct gw_prefix *prefix = gw_prefix_table_find(&worker->iroutes, inner->destination);

        id = prefix ? prefix->session : 0;
    }
    if (!id)
        gw_count(worker, GW_STAT_tx_no_session);
    return id;
}

static void take_packet(struct gw_worker *worker, uint8_t *packet, size_t size)
{
    struct virtio_net_hdr header = { 0 };
    struct gw_inner inner;
    uint64_t id = find_session(worker, packet, size, &inner);

    if (!id)
        return;
    if (worker->vnet)
        memcpy(&header, packet - GW_VNET_HEADER, GW_VNET_HEADER);
    if (header.gso_type != VIRTIO_NET_HDR_GSO_NONE)
        deliver_segments(worker, id, &header, packet, size, &inner);
    else if (gw_checksum_complete(&header, packet, size))
        gw_count(worker, GW_STAT_tx_malformed);
    else
        deliver_or_hand_off(worker, id, packet, size, &inner);
}

void gw_downlink_read(struct gw_worker *worker, struct gw_tun_queue *queue)
{
    size_t extra = worker->vnet ? GW_VNET_HEADER : 0, total = 0;
    uint8_t *packet = worker->large + GW_HEADROOM;

    if (queue->paused)
        return;
    for (int i = 0; i < READS_PER_TURN && total < BYTES_PER_TURN; i++) {
        ssize_t size = read(queue->pollable.fd, packet - extra, GW_PACKET_MAX + extra);

        if (size > (ssize_t)extra) {
            if (queue->failures)
                gw_tun_recovered(queue);
            gw_routes_read(worker);         /* the packet may be for a client that has just come */
            take_packet(worker, packet, (size_t)size - extra);
            total += (size_t)size;
        } else if (size >= 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) {
            gw_tun_read_failed(queue, size < 0 ? errno : EBADFD);
            return;
        } else if (errno != EINTR) {
            if (queue->failures)
                gw_tun_recovered(queue);    /* there is nothing to read */
            return;
        }
    }
}

void gw_downlink_take_batch(struct gw_worker *worker, struct gw_batch *batch)
{
    uint8_t *packet = worker->packet + GW_HEADROOM;
    size_t at = 0, size;
    uint64_t id;

    while ((size = gw_handoff_next(batch, &at, &id, packet))) {
        struct gw_inner inner;

        if (gw_inner_read(packet, size, &inner) == GW_INNER_MALFORMED)
            gw_count(worker, GW_STAT_tx_no_session);
        else
            deliver_or_hand_off(worker, id, packet, size, &inner);
    }
    gw_batch_give(&worker->gateway->batches, batch);
}
