/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tunnel/session.h"

#include "connections/connection.h"
#include "limits/limits.h"
#include "runtime/dpd.h"
#include "tunnel/cstp_control.h"
#include "tunnel/dtls_channel.h"

#include <errno.h>

static uint64_t sooner(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

/* When the session has to be looked at next, if it is not heard and carries nothing until then. */
static uint64_t next_due(const struct gw_worker *worker, const struct gw_session *session)
{
    const struct gw_session_config *config = &session->config;
    uint64_t due = gw_dtls_due(session);

    if (session->channel)
        due = sooner(due, gw_dpd_due(session->heard, session->probed, config->dpd_s * GW_SECOND));
    if (session->channel && config->rekey_s)
        due = sooner(due, session->rekeyed + config->rekey_s * GW_SECOND);
    if (config->idle_s)         /* one that was told ends soon, unless it carries data meanwhile */
        due = sooner(due, session->idle_told ? worker->now + GW_SECOND : session->used + config->idle_s * GW_SECOND);
    return due;
}

void gw_session_hasten(struct gw_worker *worker, struct gw_session *session)
{
    gw_wheel_hasten(&worker->sessions, session, worker->now, next_due(worker, session));
}

void gw_session_begin(struct gw_worker *worker, uint64_t id)
{
    struct gw_session *session = &worker->gateway->sessions.slots[gw_id_slot(id)];

    session->open = true;
    session->channel = NULL;
    session->frames = (struct gw_cstp_reader){ 0 };
    session->dtls = NULL;
    session->limits = NULL;
    session->idle_told = session->probe_wanted = false;
    session->mtu = session->config.mtu;
    session->too_big_count = 0;
    session->too_big_second = 0;
    session->heard = session->probed = session->used = worker->now;
    gw_wheel_add(&worker->sessions, session, worker->now, next_due(worker, session));
}

struct gw_connection *gw_session_take_channel(struct gw_session *session)
{
    struct gw_connection *connection = session->channel;

    if (!connection)
        return NULL;
    gw_connection_disown(connection);
    gw_cstp_reader_free(&session->frames);
    session->channel = NULL;
    return connection;
}

void gw_session_lost_channel(struct gw_worker *worker, struct gw_session *session, enum gw_cause cause,
                             const uint8_t *payload, size_t size)
{
    struct gw_event event = {
        .kind = GW_CHANNEL_DOWN, .cause = cause, .connection = session->channel->id, .session = session->id,
        .data_size = (uint32_t)size,
    };

    if (cause == GW_CAUSE_PEER_DISCONNECT)
        gw_dtls_drop(worker, session, cause);
    gw_session_copy_counters(session, &event.counters);
    if (gw_event_push(&worker->gateway->events, &event, payload, false) == -ENOMEM) {
        event.data_size = 0;        /* without memory the payload is left out, but not the event */
        gw_event_push(&worker->gateway->events, &event, NULL, false);
    }
    gw_session_take_channel(session);   /* last: `payload` may lie in the frame reader */
}

void gw_session_end(struct gw_worker *worker, struct gw_session *session, const uint8_t *frame, size_t size)
{
    struct gw_event event = { .kind = GW_SESSION_CLOSED, .cause = GW_CAUSE_LOCAL, .session = session->id };
    struct gw_connection *connection = gw_session_take_channel(session);

    if (connection) {
        if (gw_connection_write(connection, frame, size) == 0)
            gw_connection_finish(connection);
    } else if (size >= GW_CSTP_HEADER) {
        gw_dtls_send_control(session, frame[6], frame + GW_CSTP_HEADER, size - GW_CSTP_HEADER);
    }
    gw_dtls_forget(worker, session);
    gw_limits_set(session, NULL);
    gw_wheel_remove(&worker->sessions, session);
    session->open = false;
    gw_session_copy_counters(session, &event.counters);
    gw_session_release(&worker->gateway->sessions, session);    /* before the event: its reader finds the slot free */
    gw_event_push(&worker->gateway->events, &event, NULL, false);
}

static void probe(struct gw_worker *worker, struct gw_session *session)
{
    session->probed = worker->now;
    gw_count(worker, GW_STAT_dpd_sent);
    if (gw_cstp_send_control(session->channel, GW_FRAME_DPD_REQUEST, NULL, 0) == 0)
        gw_connection_flush(session->channel);
}

void gw_session_probe(struct gw_worker *worker, struct gw_session *session)
{
    uint64_t heard = gw_dtls_heard(session->dtls);

    if (session->channel && session->heard > heard)
        heard = session->heard;
    if (worker->now - heard < GW_ALIVE_FOR) {
        gw_session_report_alive(&worker->gateway->events, session);
        return;
    }
    if (session->probe_wanted && worker->now - session->probed < GW_SECOND)
        return;                     /* a request is on its way already */
    session->probe_wanted = true;
    gw_dtls_send_control(session, GW_FRAME_DPD_REQUEST, NULL, 0);
    if (session->channel)
        probe(worker, session);
}

static void watch_channel(struct gw_worker *worker, struct gw_session *session)
{
    if (!session->channel)
        return;
    switch (gw_dpd(worker->now, session->heard, session->probed, session->config.dpd_s * GW_SECOND)) {
    case GW_DPD_DEAD:
        gw_count(worker, GW_STAT_channels_dead);
        gw_connection_end(session->channel, GW_CAUSE_DPD);
        break;
    case GW_DPD_PROBE:
        probe(worker, session);
        break;
    case GW_DPD_OK:
        break;
    }
}

static void watch_keys(struct gw_worker *worker, struct gw_session *session)
{
    uint64_t life = session->config.rekey_s * GW_SECOND;

    if (!session->channel || !life || worker->now - session->rekeyed < life)
        return;
    session->rekeyed = worker->now;
    if (gw_tls_rekey(session->channel->ssl))
        return;                     /* with TLS 1.2 the client makes a new tunnel for new keys */
    gw_count(worker, GW_STAT_rekeys);
    gw_connection_flush(session->channel);
}

static void watch_use(struct gw_worker *worker, struct gw_session *session)
{
    struct gw_event event = { .kind = GW_SESSION_IDLE, .session = session->id };

    if (!session->config.idle_s || session->idle_told || worker->now - session->used < session->config.idle_s * GW_SECOND)
        return;
    session->idle_told = true;
    gw_event_push(&worker->gateway->events, &event, NULL, false);
}

void gw_sessions_tick(struct gw_worker *worker)
{
    struct gw_session *session;
    uint64_t due;

    while ((session = gw_wheel_take(&worker->sessions, worker->now))) {
        watch_channel(worker, session);
        gw_dtls_tick(worker, session);
        watch_keys(worker, session);
        watch_use(worker, session);
        due = next_due(worker, session);
        gw_wheel_add(&worker->sessions, session, worker->now, due > worker->now ? due : worker->now + 1);
    }
}
