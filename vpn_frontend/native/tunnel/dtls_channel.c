/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tunnel/dtls_channel.h"

#include "connections/connection.h"
#include "runtime/dpd.h"
#include "tun/uplink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void address_key(const struct gw_path *path, uint8_t key[GW_CLIENT_KEY])
{
    memset(key, 0, GW_CLIENT_KEY);
    memcpy(key, path->peer, 16);
}

static void set_address(struct gw_worker *worker, const struct gw_session *session, const struct gw_path *path, bool present)
{
    uint8_t key[GW_CLIENT_KEY];

    address_key(path, key);
    if (present)
        gw_client_table_add(&worker->gateway->dtls->addresses, key, session->id);
    else
        gw_client_table_remove(&worker->gateway->dtls->addresses, key, session->id);
}

static void end_live(struct gw_worker *worker, struct gw_session *session)
{
    struct gw_dtls *dtls = session->dtls;

    if (!dtls->live)
        return;
    set_address(worker, session, &dtls->live->path, false);
    gw_dtls_connection_free(dtls->live);
    dtls->live = NULL;
    dtls->active = false;
}

static void end_pending(struct gw_dtls *dtls)
{
    gw_dtls_connection_free(dtls->pending);
    dtls->pending = NULL;
}

void gw_dtls_drop(struct gw_worker *worker, struct gw_session *session, enum gw_cause cause)
{
    struct gw_event event = { .kind = GW_DTLS_DOWN, .cause = cause, .session = session->id };
    struct gw_dtls *dtls = session->dtls;

    if (!dtls)
        return;
    end_pending(dtls);
    if (!dtls->live)
        return;
    end_live(worker, session);
    gw_event_push(&worker->gateway->events, &event, NULL, false);
}

void gw_dtls_destroy(struct gw_dtls *dtls)
{
    if (!dtls)
        return;
    gw_dtls_connection_free(dtls->live);
    gw_dtls_connection_free(dtls->pending);
    explicit_bzero(&dtls->config, sizeof(dtls->config));
    free(dtls);
}

void gw_dtls_forget(struct gw_worker *worker, struct gw_session *session)
{
    if (!session->dtls)
        return;
    end_pending(session->dtls);
    end_live(worker, session);
    gw_client_table_remove(&worker->gateway->dtls->names, session->dtls->config.name, session->id);
    gw_dtls_destroy(session->dtls);
    session->dtls = NULL;
}

void gw_dtls_expect(struct gw_worker *worker, struct gw_session *session, const struct gw_dtls_config *config)
{
    gw_dtls_drop(worker, session, GW_CAUSE_REPLACED);
    gw_dtls_forget(worker, session);
    session->dtls = worker->udp ? calloc(1, sizeof(*session->dtls)) : NULL;
    if (!session->dtls) {
        gw_client_table_remove(&worker->gateway->dtls->names, config->name, session->id);
        return;
    }
    session->dtls->config = *config;
}

void gw_dtls_attached(struct gw_worker *worker, struct gw_session *session, uint32_t host)
{
    if (!session->dtls)
        return;
    if (session->dtls->attached) {
        gw_dtls_drop(worker, session, GW_CAUSE_REPLACED);
        gw_dtls_forget(worker, session);
    } else {
        session->dtls->attached = true;
        session->dtls->config.host = host;
    }
}

/* The pending connection becomes the live one. The one before ends without an event: its client has left it. False: it cannot be
 * used. */
static bool activate_pending(struct gw_worker *worker, struct gw_session *session)
{
    struct gw_event event = { .kind = GW_DTLS_UP, .session = session->id };
    struct gw_dtls *dtls = session->dtls;
    struct gw_dtls_facts facts = { 0 };

    if (gw_dtls_finish(dtls->pending->ssl, session->mtu + 1, &facts)) {
        gw_count(worker, GW_STAT_dtls_handshakes_failed);
        return false;
    }
    end_live(worker, session);
    dtls->live = dtls->pending;
    dtls->pending = NULL;
    dtls->active = true;
    dtls->heard = dtls->probed = worker->now;
    set_address(worker, session, &dtls->live->path, true);
    gw_count(worker, GW_STAT_dtls_handshakes_done);
    event.tls_version = facts.version;
    memcpy(event.cipher, facts.cipher, sizeof(event.cipher));
    memcpy(event.peer, dtls->live->path.peer, sizeof(event.peer));
    event.peer_port = dtls->live->path.peer_port;
    gw_event_push(&worker->gateway->events, &event, NULL, false);
    if (dtls->live->proof_since) {
        gw_dtls_connection_confirm(dtls->live);
        gw_dtls_connection_answer_proof(dtls->live);
    }
    return true;
}

static void answer_probe(struct gw_worker *worker, struct gw_dtls_connection *connection, uint8_t *frame, size_t size)
{
    gw_count(worker, GW_STAT_dpd_answered);
    frame[0] = GW_FRAME_DPD_RESPONSE;   /* with its payload, by which clients measure the path MTU */
    gw_dtls_write(connection->ssl, frame, size);
}

/* False: the client closed the channel. */
static bool take_frame(struct gw_worker *worker, struct gw_session *session, uint8_t *frame, size_t size)
{
    struct gw_dtls *dtls = session->dtls;

    switch (frame[0]) {
    case GW_FRAME_DATA:
        dtls->active = true;
        gw_uplink_take(worker, session, frame + 1, size - 1, GW_OVER_DTLS);
        break;
    case GW_FRAME_DPD_REQUEST:
        answer_probe(worker, dtls->live, frame, size);
        break;
    case GW_FRAME_DPD_RESPONSE:
    case GW_FRAME_KEEPALIVE:
        break;
    case GW_FRAME_DISCONNECT:
    case GW_FRAME_TERMINATE:
        return false;
    default:
        if (gw_dtls_connection_is_proof(dtls->live, frame, size))
            gw_dtls_connection_answer_proof(dtls->live);
        else
            gw_count(worker, GW_STAT_frames_unknown);
    }
    return true;
}

/* Reads the records of the datagram that was fed. True if one of them was authentic. After the only record of a datagram wolfSSL is
 * not called again: it would keep a buffer of 4 KiB for the next one. */
static bool read_records(struct gw_worker *worker, struct gw_session *session)
{
    struct gw_dtls *dtls = session->dtls;
    bool authentic = false;

    while (dtls->live) {
        size_t size = 0;
        enum gw_dtls_result result = gw_dtls_read(dtls->live->ssl, worker->plain, sizeof(worker->plain), &size);

        if (result == GW_DTLS_WANT)
            break;
        if (result == GW_DTLS_DONE && size && take_frame(worker, session, worker->plain, size)) {
            authentic = true;
            dtls->heard = worker->now;
            gw_session_heard(&worker->gateway->events, session);
            gw_dtls_connection_confirm(dtls->live);
            if (dtls->live->content == GW_DTLS_ONE_OF_DATA)
                break;
            continue;
        }
        gw_dtls_drop(worker, session, result == GW_DTLS_BROKEN ? GW_CAUSE_PROTOCOL : GW_CAUSE_PEER_CLOSED);
        return authentic;
    }
    if (dtls->live)
        dtls->live->io.datagram = NULL;
    return authentic;
}

static void feed_pending(struct gw_worker *worker, struct gw_session *session, const uint8_t *datagram, size_t size)
{
    enum gw_dtls_result result = gw_dtls_connection_advance(session->dtls->pending, datagram, size);

    if (result == GW_DTLS_DONE && activate_pending(worker, session)) {
        if (session->dtls->live->content != GW_DTLS_FLIGHT)
            read_records(worker, session);  /* records behind the client's last flight */
    } else if (result != GW_DTLS_WANT) {
        end_pending(session->dtls);
    }
}

static void on_signature(void *owner)
{
    struct gw_session *session = owner;

    feed_pending(session->dtls->pending->worker, session, NULL, 0);
}

/* True if the path has the address of the session's TLS peer. Names are readable on the wire: any host that echoes a cookie can
 * begin a handshake that it cannot finish. Such a handshake must not keep the session's own client out. */
static bool is_tls_peer(const struct gw_session *session, const struct gw_path *path)
{
    return session->channel && !memcmp(session->channel->peer, path->peer, sizeof(path->peer));
}

static bool is_too_soon(const struct gw_worker *worker, const struct gw_session *session, const struct gw_path *path)
{
    const struct gw_dtls *dtls = session->dtls;
    const struct gw_dtls_connection *last = dtls->pending ? dtls->pending : dtls->live;

    if (!last || worker->now - last->started >= GW_DTLS_HELLO_PAUSE)
        return false;
    return !dtls->pending || !is_tls_peer(session, path) || is_tls_peer(session, &dtls->pending->path);
}

/* A ClientHello whose cookie is good. */
static void take_hello(struct gw_worker *worker, struct gw_session *session, const struct gw_datagram *info,
                       const uint8_t *datagram)
{
    struct gw_dtls *dtls = session->dtls;
    struct gw_hello hello;

    if (gw_hello_read(datagram, info->size, &hello))
        return;
    if (gw_dtls_connection_is_at(dtls->pending, &info->path) && !memcmp(dtls->pending->random, hello.random, GW_DTLS_RANDOM_SIZE)) {
        if (!dtls->pending->proof_since)
            feed_pending(worker, session, datagram, info->size);   /* our flight was lost, the client retransmits */
        return;
    }
    if (is_too_soon(worker, session, &info->path)) {
        gw_count(worker, GW_STAT_dtls_hello_duplicate);
        return;
    }
    end_pending(dtls);
    dtls->pending = gw_dtls_connection_new(worker, &dtls->config, info, hello.random);
    if (!dtls->pending)
        return;
    dtls->pending->signature.on_answer = on_signature;
    dtls->pending->signature.owner = session;
    gw_wheel_hasten(&worker->sessions, session, worker->now, gw_dtls_due(session));
    feed_pending(worker, session, datagram, info->size);
}

/* An encrypted record from another port of the client's address. If it is authentic, the client's port has changed (NAT). */
static void take_rebound(struct gw_worker *worker, struct gw_session *session, const struct gw_datagram *info,
                          const uint8_t *datagram)
{
    struct gw_dtls *dtls = session->dtls;
    uint64_t second = worker->now / GW_SECOND;

    if (dtls->rebind_second != second) {
        dtls->rebind_second = second;
        dtls->rebinds = 0;
    }
    if (!dtls->live || memcmp(dtls->live->path.peer, info->path.peer, 16) || dtls->rebinds++ >= GW_DTLS_REBINDS) {
        gw_count(worker, GW_STAT_dtls_unmatched);
        return;
    }
    gw_dtls_connection_feed(dtls->live, datagram, info->size);
    if (!read_records(worker, session)) {
        gw_count(worker, GW_STAT_dtls_unmatched);
    } else if (dtls->live) {
        dtls->live->path = info->path;    /* the same address: the client table stays right */
        dtls->rebinds = 0;
        gw_count(worker, GW_STAT_dtls_moved);
    }
}

/* A datagram of the pending handshake's path. A replayed ClientHello begins a handshake, too, while its cookie is good. So a record
 * for the live connection on the same path is tried there first. */
static void take_pending(struct gw_worker *worker, struct gw_session *session, const struct gw_datagram *info,
                        const uint8_t *datagram)
{
    struct gw_dtls *dtls = session->dtls;

    if (info->kind == GW_DTLS_SEALED && gw_dtls_connection_is_at(dtls->live, &info->path)) {
        gw_dtls_connection_feed(dtls->live, datagram, info->size);
        if (read_records(worker, session))
            return;
    }
    if (dtls->pending)
        feed_pending(worker, session, datagram, info->size);
}

void gw_dtls_take(struct gw_worker *worker, struct gw_session *session, const struct gw_datagram *info, const uint8_t *datagram)
{
    struct gw_dtls *dtls = session->dtls;

    if (!dtls) {
        gw_count(worker, GW_STAT_dtls_unmatched);
    } else if (info->kind == GW_DTLS_HELLO) {
        take_hello(worker, session, info, datagram);
    } else if (info->kind == GW_DTLS_CLEAR && dtls->pending && dtls->pending->proof_since) {
        gw_count(worker, GW_STAT_dtls_clear);
    } else if (gw_dtls_connection_is_at(dtls->pending, &info->path)) {
        take_pending(worker, session, info, datagram);
    } else if (!gw_dtls_connection_is_at(dtls->live, &info->path)) {
        take_rebound(worker, session, info, datagram);
    } else if (info->kind == GW_DTLS_CLEAR && (dtls->live->confirmed || datagram[0] == GW_DTLS_ALERT)) {
        gw_count(worker, GW_STAT_dtls_clear);   /* unauthenticated */
    } else {
        gw_dtls_connection_feed(dtls->live, datagram, info->size);
        read_records(worker, session);
    }
}

bool gw_dtls_is_at(const struct gw_session *session, const struct gw_path *path)
{
    return session->dtls && gw_dtls_connection_is_at(session->dtls->live, path);
}

void gw_dtls_adopt(struct gw_worker *worker, struct gw_session *session)
{
    struct gw_dtls *dtls = session->dtls;

    if (dtls && dtls->live)
        dtls->live->worker = worker;
    if (dtls && dtls->pending) {
        dtls->pending->worker = worker;
        dtls->pending->signature.link = &worker->signer;
    }
}

void gw_dtls_leave(struct gw_session *session)
{
    if (session->dtls && session->dtls->pending)
        gw_signature_clear(&session->dtls->pending->signature);
}

int gw_dtls_send(struct gw_session *session, uint8_t *packet, size_t size)
{
    struct gw_dtls *dtls = session->dtls;

    if (!dtls || !dtls->active || !dtls->live)
        return -ENOTCONN;
    packet[-1] = GW_FRAME_DATA;
    return gw_dtls_write(dtls->live->ssl, packet - 1, size + 1);
}

void gw_dtls_send_control(struct gw_session *session, enum gw_frame_type type, const uint8_t *payload, size_t size)
{
    uint8_t frame[1 + GW_DTLS_CONTROL_MAX];
    struct gw_dtls *dtls = session->dtls;

    if (!dtls || !dtls->live || size > GW_DTLS_CONTROL_MAX)
        return;
    frame[0] = (uint8_t)type;
    if (size)
        memcpy(frame + 1, payload, size);
    gw_dtls_write(dtls->live->ssl, frame, size + 1);
}

/* Clients are told half the session's DPD time for DTLS, so both ends are back on TLS within one whole DPD time. */
static void watch_dtls_peer(struct gw_worker *worker, struct gw_session *session)
{
    struct gw_dtls *dtls = session->dtls;

    switch (gw_dpd(worker->now, dtls->heard, dtls->probed, session->config.dpd_s * GW_SECOND / 2)) {
    case GW_DPD_DEAD:
        gw_count(worker, GW_STAT_dtls_dead);
        gw_dtls_drop(worker, session, GW_CAUSE_DPD);
        break;
    case GW_DPD_PROBE:
        dtls->probed = worker->now;
        gw_count(worker, GW_STAT_dpd_sent);
        gw_dtls_send_control(session, GW_FRAME_DPD_REQUEST, NULL, 0);
        break;
    case GW_DPD_OK:
        break;
    }
}

uint64_t gw_dtls_due(const struct gw_session *session)
{
    const struct gw_dtls *dtls = session->dtls;

    if (dtls && dtls->pending)
        return 0;                   /* looked at each second: it lasts some seconds at most */
    if (!dtls || !dtls->live)
        return UINT64_MAX;
    return gw_dpd_due(dtls->heard, dtls->probed, session->config.dpd_s * GW_SECOND / 2);
}

void gw_dtls_tick(struct gw_worker *worker, struct gw_session *session)
{
    struct gw_dtls *dtls = session->dtls;

    if (dtls && dtls->pending && !gw_dtls_connection_tick(dtls->pending))
        end_pending(dtls);
    if (dtls && dtls->live)
        watch_dtls_peer(worker, session);
}
