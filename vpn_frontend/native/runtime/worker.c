/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "runtime/worker.h"

#include "tunnel/cstp_channel.h"
#include "runtime/handoff.h"
#include "dtls/channel.h"
#include "tls/listener.h"
#include "tunnel/migration.h"
#include "tls/record_pool.h"
#include "tun/queue.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#define EVENTS_PER_TURN 64
#define TIMER_SLACK 1000ul          /* ns; the default of 50 000 would double the rests of pacing.h */

struct gw_worker *gw_worker_new(struct gw *gateway, uint32_t index, uint64_t seed)
{
    struct gw_worker *worker = calloc(1, sizeof(*worker));

    if (!worker)
        return NULL;
    worker->gateway = gateway;
    worker->index = index;
    worker->now = gw_clock_now();
    worker->tun = (struct gw_pollable){ GW_POLL_TUN, -1 };
    worker->slots_size = gateway->config.max_connections;
    worker->slots = calloc(worker->slots_size, sizeof(*worker->slots));
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    worker->mailbox.fd = -1;
    worker->stop = gw_message_new(GW_MSG_STOP, NULL, 0);
    if (!worker->slots || !worker->stop || worker->epoll < 0 || gw_address_table_init(&worker->addresses, gateway->config.max_sessions, seed) ||
        gw_mailbox_init(&worker->mailbox))
        goto fail;
    for (uint32_t i = 0; i < worker->slots_size; i++) {
        worker->slots[i].generation = 1;
        worker->slots[i].next_free = i + 1;
    }
    worker->mailbox_pollable = (struct gw_pollable){ GW_POLL_MAILBOX, worker->mailbox.fd };
    if (gw_worker_watch(worker, &worker->mailbox_pollable, EPOLLIN))
        goto fail;
    return worker;

fail:
    gw_worker_free(worker);
    return NULL;
}

static void discard_mail(struct gw_worker *worker)
{
    struct gw_message *message = gw_mailbox_take(&worker->mailbox);

    while (message) {
        struct gw_message *next = message->next;

        if (message->kind == GW_MSG_BATCH || message->kind == GW_MSG_DATAGRAMS)
            free(message->object);
        else if (message->kind == GW_MSG_MIGRATE)
            gw_connection_destroy(message->object, &worker->chunks);
        else if (message->kind == GW_MSG_SESSION_MOVE)
            gw_migration_discard(worker, message->session);
        free(message);
        message = next;
    }
}

void gw_worker_free(struct gw_worker *worker)
{
    if (!worker)
        return;
    gw_listeners_close(worker);
    if (worker->mailbox.fd >= 0)
        discard_mail(worker);
    while (worker->connections) {
        struct gw_connection *connection = worker->connections;

        worker->connections = connection->next;
        gw_connection_destroy(connection, &worker->chunks);
    }
    gw_connections_reap(worker);
    for (struct gw_session *session = worker->sessions; session; session = session->next)
        gw_dtls_destroy(session->dtls);
    gw_udp_demux_free(worker);
    for (uint32_t i = 0; i < GW_WORKERS_MAX; i++)
        free(worker->outgoing[i]);
    if (worker->tun.fd >= 0)
        close(worker->tun.fd);
    if (worker->epoll >= 0)
        close(worker->epoll);
    gw_mailbox_free(&worker->mailbox);
    gw_address_table_free(&worker->addresses);
    gw_gro_free(&worker->gro);
    gw_chunk_pool_free(&worker->chunks);
    free(worker->slots);
    free(worker->stop);
    free(worker);
}

int gw_worker_watch(struct gw_worker *worker, struct gw_pollable *source, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = source };

    return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, source->fd, &event) ? -errno : 0;
}

static void attach(struct gw_worker *worker, struct gw_connection *connection, const struct gw_message *message)
{
    struct gw_session *session = gw_session_find(worker, message->session);

    if (!session) {
        gw_connection_finish(connection);
        return;
    }
    gw_cstp_channel_begin(connection, session, message->data, message->value, message->data + message->value,
                     message->size - message->value);
}

/* The connection goes to the worker of its session; if that cannot be told, it goes nowhere. */
static void migrate(struct gw_worker *worker, struct gw_connection *connection, const struct gw_message *message, uint32_t home)
{
    struct gw_message *info = gw_message_new(GW_MSG_MIGRATE, message->data, message->size);

    if (!info) {
        gw_connection_end(connection, GW_CAUSE_LOCAL);
        return;
    }
    gw_connection_detach(connection);
    info->object = connection;
    info->session = message->session;
    info->value = message->value;
    gw_mailbox_post(&worker->gateway->workers[home]->mailbox, info);
}

static void handle_connection_message(struct gw_worker *worker, struct gw_connection *connection, const struct gw_message *message)
{
    uint32_t home;

    switch (message->kind) {
    case GW_MSG_SEND:
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
        if (gw_session_find(worker, message->session) || !gw_session_locate(worker, message->session, &home))
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
    struct gw_session *session = gw_session_find(worker, message->session);
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
           message->kind == GW_MSG_SESSION_RESIZE || message->kind == GW_MSG_SESSION_ASK;
}

/* What is for a session that has left follows it. */
static bool forward(struct gw_worker *worker, struct gw_message *message)
{
    uint32_t home;

    if (!is_for_session(message) || gw_session_find(worker, message->session) ||
        !gw_session_locate(worker, message->session, &home))
        return false;
    gw_mailbox_post(&worker->gateway->workers[home]->mailbox, message);     /* takes these however much there is */
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
        session = gw_session_find(worker, message->session);
        if (session)
            gw_session_end(worker, session, message->data, message->size);
        break;
    case GW_MSG_SESSION_RESIZE:
        session = gw_session_find(worker, message->session);
        if (session)
            session->mtu = (uint32_t)message->value;
        break;
    case GW_MSG_SESSION_ASK:
        session = gw_session_find(worker, message->session);
        if (session)
            gw_session_probe(worker, session);
        break;
    case GW_MSG_ADDRESS_ADD:
        gw_address_table_add(&worker->addresses, message->data, message->session);
        gw_address_table_add(&worker->addresses, message->data + 16, message->session);
        break;
    case GW_MSG_ADDRESS_REMOVE:
        gw_address_table_remove(&worker->addresses, message->data, message->session);
        gw_address_table_remove(&worker->addresses, message->data + 16, message->session);
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

/* Behind all other events of a turn, since one of them may name a connection that a message takes to another worker. */
static void read_mail(struct gw_worker *worker)
{
    struct gw_message *message = worker->mail ? gw_mailbox_take(&worker->mailbox) : NULL;

    worker->mail = false;
    while (message) {
        struct gw_message *next = message->next;

        if (!forward(worker, message)) {
            handle_message(worker, message);
            free(message);
        }
        message = next;
    }
}

static void dispatch(struct gw_worker *worker, struct gw_pollable *source, uint32_t events)
{
    switch (source->kind) {
    case GW_POLL_MAILBOX:
        worker->mail = true;
        break;
    case GW_POLL_LISTENER:
        gw_listener_ready(worker, (struct gw_listener *)source);
        break;
    case GW_POLL_TUN:
        gw_downlink_ready(worker);
        break;
    case GW_POLL_CONNECTION:
        gw_connection_ready((struct gw_connection *)source, events);
        break;
    case GW_POLL_UDP:
        gw_udp_demux_ready(worker, (struct gw_udp_listener *)source);
        break;
    }
}

static void flush_dirty(struct gw_worker *worker)
{
    while (worker->dirty) {
        struct gw_connection *connection = worker->dirty;

        worker->dirty = connection->next_dirty;
        connection->dirty = false;
        gw_connection_flush(connection);
    }
}

static void tick(struct gw_worker *worker)
{
    if (worker->now < worker->next_tick)
        return;
    worker->next_tick = worker->now + GW_TICK;
    gw_listeners_tick(worker);
    gw_connections_tick(worker);
    if (worker->now < worker->next_second)
        return;
    worker->next_second = worker->now + GW_SECOND;
    gw_sessions_tick(worker);
}

/* Deadlines matter while there is a connection or a session to hold to them. */
static int patience(const struct gw_worker *worker)
{
    if (worker->dtls && worker->dtls->waiting)
        return 1;
    if (!worker->connections && !worker->sessions && !worker->accept_paused)
        return -1;
    return (int)(GW_TICK / GW_MS);
}

/* What the kernel answered at once to what was written to it, a ping for one, leaves in the same turn: it waits neither for the
 * end of a rest nor for another trip through epoll. After a large turn the next one follows without a rest, and reads more. */
static void poll_tun_again(struct gw_worker *worker)
{
    if (worker->tun_written && (!worker->pacing.busy || gw_pacing_is_small(&worker->pacing)))
        gw_downlink_ready(worker);
    worker->tun_written = false;
}

static void *run(void *argument)
{
    struct gw_worker *worker = argument;
    struct epoll_event events[EVENTS_PER_TURN];

    prctl(PR_SET_TIMERSLACK, TIMER_SLACK, 0, 0, 0);
    gw_record_pool_begin();
    while (!worker->stopping) {
        int count = epoll_wait(worker->epoll, events, EVENTS_PER_TURN, patience(worker));

        worker->now = gw_clock_now();
        for (int i = 0; i < count && !worker->stopping; i++)
            dispatch(worker, events[i].data.ptr, events[i].events);
        read_mail(worker);
        flush_dirty(worker);
        gw_tun_flush(worker);
        poll_tun_again(worker);
        gw_handoff_flush(worker);
        tick(worker);
        flush_dirty(worker);
        gw_udp_demux_flush(worker);
        gw_connections_reap(worker);
        gw_pacing_pause(&worker->pacing, worker->now);
        worker->handshakes = 0;
    }
    gw_record_pool_end();
    return NULL;
}

int gw_worker_start(struct gw_worker *worker)
{
    sigset_t all, before;
    char name[16];
    int status;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);    /* signals are Python's */
    status = pthread_create(&worker->thread, NULL, run, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status)
        return -status;
    snprintf(name, sizeof(name), "gateway-%u", worker->index);
    pthread_setname_np(worker->thread, name);
    return 0;
}
