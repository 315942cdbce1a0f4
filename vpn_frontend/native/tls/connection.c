/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/connection.h"

#include "tunnel/cstp_channel.h"
#include "tls/listener.h"
#include "tun/queue.h"
#include "runtime/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int queue_output(void *owner, const uint8_t *data, size_t size)
{
    struct gw_connection *connection = owner;
    struct gw_worker *worker = connection->worker;

    if (connection->out.size + size > GW_QUEUE_HARD)
        return -ENOBUFS;
    if (!connection->dirty) {
        connection->dirty = true;
        connection->next_dirty = worker->dirty;
        worker->dirty = connection;
    }
    return gw_send_queue_push(&connection->out, &worker->chunks, data, size);
}

static void watch(struct gw_connection *connection, uint32_t interest)
{
    struct epoll_event event = { .events = interest, .data.ptr = &connection->pollable };

    if (interest == connection->interest)
        return;
    connection->interest = interest;
    epoll_ctl(connection->worker->epoll, EPOLL_CTL_MOD, connection->pollable.fd, &event);
}

/* What the connection waits for follows from its state alone. */
static void rewatch(struct gw_connection *connection)
{
    uint32_t interest = EPOLLRDHUP;

    if (connection->state != GW_CONNECTION_PRE_TUNNEL || connection->undelivered < GW_CREDIT_MAX)
        interest |= EPOLLIN;
    if (connection->out.size)
        interest |= EPOLLOUT;
    watch(connection, interest);
}

static void enlist(struct gw_worker *worker, struct gw_connection *connection)
{
    connection->worker = worker;
    connection->previous = NULL;
    connection->next = worker->connections;
    if (worker->connections)
        worker->connections->previous = connection;
    worker->connections = connection;
}

static void delist(struct gw_connection *connection)
{
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        connection->worker->connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
}

static bool take_slot(struct gw_worker *worker, struct gw_connection *connection)
{
    uint32_t slot = worker->slots_free;

    if (slot == worker->slots_size)
        return false;
    worker->slots_free = worker->slots[slot].next_free;
    worker->slots[slot].connection = connection;
    connection->id = gw_id(worker->slots[slot].generation, slot, worker->index);
    connection->addressed = true;
    return true;
}

static void give_slot(struct gw_connection *connection)
{
    struct gw_connection_slot *slot;

    if (!connection->addressed)
        return;
    slot = &connection->worker->slots[gw_id_slot(connection->id)];
    slot->connection = NULL;
    slot->generation++;
    slot->next_free = connection->worker->slots_free;
    connection->worker->slots_free = gw_id_slot(connection->id);
    connection->addressed = false;
}

struct gw_connection *gw_connection_open(struct gw_worker *worker, int fd, const uint8_t peer[16], uint16_t peer_port, uint16_t local_port)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP };
    struct gw_connection *connection = calloc(1, sizeof(*connection));

    if (!connection)
        return NULL;
    connection->pollable = (struct gw_pollable){ GW_POLL_CONNECTION, fd };
    connection->io.write = queue_output;
    connection->io.owner = connection;
    memcpy(connection->peer, peer, 16);
    connection->peer_port = peer_port;
    connection->local_port = local_port;
    connection->interest = event.events;
    connection->deadline = gw_clock_now() + worker->gateway->config.handshake_timeout_ms * GW_MS;
    if (!take_slot(worker, connection))
        goto no_slot;
    connection->worker = worker;
    event.data.ptr = &connection->pollable;
    if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &event))
        goto no_epoll;
    enlist(worker, connection);
    return connection;

no_epoll:
    give_slot(connection);
no_slot:
    free(connection);
    return NULL;
}

struct gw_connection *gw_connection_find(struct gw_worker *worker, uint64_t id)
{
    uint32_t slot = gw_id_slot(id);
    struct gw_connection *connection = slot < worker->slots_size ? worker->slots[slot].connection : NULL;

    return connection && connection->id == id ? connection : NULL;
}

void gw_connection_flush(struct gw_connection *connection)
{
    long sent;

    if (connection->state == GW_CONNECTION_DEAD)
        return;
    sent = gw_send_queue_send(&connection->out, &connection->worker->chunks, connection->pollable.fd);
    if (sent < 0 && sent != -EAGAIN) {
        gw_connection_end(connection, GW_CAUSE_PEER_RESET);
        return;
    }
    if (!connection->out.size)
        connection->waiting_since = 0;
    else if (sent > 0 || !connection->waiting_since)
        connection->waiting_since = gw_clock_now();
    if (!connection->out.size && connection->state == GW_CONNECTION_CLOSING) {
        shutdown(connection->pollable.fd, SHUT_WR);
        connection->state = GW_CONNECTION_LINGER;
        connection->deadline = connection->worker->now + GW_LINGER;
    }
    rewatch(connection);
}

int gw_connection_write(struct gw_connection *connection, const uint8_t *data, size_t size)
{
    if (gw_tls_write(connection->ssl, data, size) == 0)
        return 0;
    gw_connection_end(connection, connection->out.size + size > GW_QUEUE_HARD ? GW_CAUSE_STALLED : GW_CAUSE_PEER_RESET);
    return -EPIPE;
}

void gw_connection_credit(struct gw_connection *connection, size_t size)
{
    connection->undelivered -= size < connection->undelivered ? (uint32_t)size : connection->undelivered;
    if (connection->state == GW_CONNECTION_PRE_TUNNEL)
        rewatch(connection);
}

static int tell(struct gw_connection *connection, struct gw_event *event, const void *data, bool optional)
{
    int status;

    event->connection = connection->id;
    memcpy(event->peer, connection->peer, 16);
    event->peer_port = connection->peer_port;
    event->local_port = connection->local_port;
    status = gw_event_push(&connection->worker->gateway->events, event, data, optional);
    if (status)
        gw_count(connection->worker, GW_STAT_events_shed);
    return status;
}

static void count_end(struct gw_connection *connection, enum gw_cause cause)
{
    struct gw_worker *worker = connection->worker;

    switch (cause) {
    case GW_CAUSE_HANDSHAKE_FAILED:
        gw_count(worker, GW_STAT_handshakes_failed);
        gw_gate_report(worker, connection, SE_EVENT_TLS_HANDSHAKE_FAILED);
        break;
    case GW_CAUSE_TIMEOUT:
        if (connection->state == GW_CONNECTION_HANDSHAKE)
            gw_count(worker, GW_STAT_handshakes_timed_out);
        break;
    case GW_CAUSE_PEER_RESET:
        gw_count(worker, GW_STAT_links_reset);
        break;
    case GW_CAUSE_STALLED:
        gw_count(worker, GW_STAT_links_stalled);
        break;
    case GW_CAUSE_PROTOCOL:
        gw_count(worker, GW_STAT_links_protocol_error);
        break;
    case GW_CAUSE_PEER_CLOSED:
        if (!connection->heard)
            gw_count(worker, GW_STAT_health_probes);
        break;
    default:
        break;
    }
}

static void report_end(struct gw_connection *connection, enum gw_cause cause)
{
    struct gw_event event = { .kind = GW_CONNECTION_CLOSED, .cause = cause };

    if (connection->session)
        gw_session_lost_channel(connection->worker, connection->session, cause, NULL, 0);
    else if (connection->known && !connection->silent) {
        event.reserved = 1;         /* its place among max_connections is free once Python has read this */
        tell(connection, &event, NULL, false);
        return;
    } else if (!connection->silent && connection->heard)
        tell(connection, &event, NULL, true);
    __atomic_sub_fetch(&connection->worker->gateway->connections, 1, __ATOMIC_RELAXED);
}

void gw_connection_end(struct gw_connection *connection, enum gw_cause cause)
{
    struct gw_worker *worker = connection->worker;

    if (connection->state == GW_CONNECTION_DEAD)
        return;
    if (connection->state < GW_CONNECTION_CLOSING)
        count_end(connection, cause);     /* who sees the alert sees it counted */
    if (cause == GW_CAUSE_PEER_CLOSED && (connection->state == GW_CONNECTION_PRE_TUNNEL || connection->state == GW_CONNECTION_CHANNEL))
        wolfSSL_shutdown(connection->ssl);
    if (cause == GW_CAUSE_HANDSHAKE_FAILED || cause == GW_CAUSE_PEER_CLOSED)
        gw_send_queue_send(&connection->out, &worker->chunks, connection->pollable.fd);   /* the alert, as far as it goes */
    report_end(connection, connection->state < GW_CONNECTION_CLOSING ? cause : GW_CAUSE_LOCAL);
    connection->state = GW_CONNECTION_DEAD;
    give_slot(connection);
    delist(connection);
    close(connection->pollable.fd);
    connection->pollable.fd = -1;
    connection->next_dead = worker->dead;
    worker->dead = connection;
}

void gw_connection_finish(struct gw_connection *connection)
{
    if (connection->state >= GW_CONNECTION_CLOSING)
        return;
    if (connection->state == GW_CONNECTION_HANDSHAKE) {
        gw_connection_end(connection, GW_CAUSE_LOCAL);
        return;
    }
    connection->state = GW_CONNECTION_CLOSING;
    connection->deadline = connection->worker->now + connection->worker->gateway->config.write_timeout_ms * GW_MS;
    wolfSSL_shutdown(connection->ssl);
    gw_connection_flush(connection);
}

static void on_app_data(struct gw_connection *connection, const uint8_t *data, size_t size)
{
    struct gw_event event = { .kind = GW_CONNECTION_DATA, .data_size = (uint32_t)size };

    connection->undelivered += (uint32_t)gw_event_cost(size);
    connection->deadline = connection->worker->now + connection->worker->gateway->config.conversation_timeout_ms * GW_MS;
    if (tell(connection, &event, data, false))
        gw_connection_end(connection, GW_CAUSE_LOCAL);  /* a request with a hole in it is another request */
}

static void on_handshake_done(struct gw_connection *connection)
{
    struct gw_tls_facts facts;
    struct gw_event event = { .kind = GW_CONNECTION_UP, .data_size = sizeof(facts.exporter) };
    int status;

    if (gw_tls_finish(connection->ssl, &facts)) {
        gw_connection_end(connection, GW_CAUSE_HANDSHAKE_FAILED);
        return;
    }
    gw_count(connection->worker, facts.resumed ? GW_STAT_handshakes_resumed : GW_STAT_handshakes_done);
    connection->state = GW_CONNECTION_PRE_TUNNEL;
    connection->deadline = connection->worker->now + connection->worker->gateway->config.conversation_timeout_ms * GW_MS;
    event.tls_version = facts.version;
    event.resumed = facts.resumed;
    memcpy(event.cipher, facts.cipher, sizeof(event.cipher));
    memcpy(event.server_name, connection->server_name, sizeof(event.server_name));
    free(connection->server_name);
    connection->server_name = NULL;
    status = tell(connection, &event, (const uint8_t *)facts.exporter, false);
    explicit_bzero(facts.exporter, sizeof(facts.exporter));
    connection->known = !status;
    if (status)
        gw_connection_end(connection, GW_CAUSE_LOCAL);
}

/* The first bytes of a peer are what its TLS object is made for: before them it costs no more than its connection. */
static int on_first_bytes(struct gw_connection *connection)
{
    connection->server_name = malloc(256);
    if (!connection->server_name)
        return -ENOMEM;
    gw_tls_server_name(connection->io.feed, connection->io.feed_size, connection->server_name);
    connection->ssl = gw_tls_new(&connection->worker->gateway->tls, &connection->io);
    return connection->ssl ? 0 : -ENOMEM;
}

static void advance_handshake(struct gw_connection *connection)
{
    if (!connection->ssl && on_first_bytes(connection)) {
        gw_connection_end(connection, GW_CAUSE_LOCAL);
        return;
    }
    switch (gw_tls_accept(connection->ssl)) {
    case GW_TLS_DONE:
        on_handshake_done(connection);
        break;
    case GW_TLS_WANT:
        break;
    case GW_TLS_CLOSED:
        gw_connection_end(connection, GW_CAUSE_PEER_CLOSED);
        break;
    case GW_TLS_BROKEN:
        gw_connection_end(connection, GW_CAUSE_HANDSHAKE_FAILED);
        break;
    }
}

/* The records of a conversation are put together: a peer may fill each with a single byte, and Python pays by the piece. */
static enum gw_tls_result read_pieces(struct gw_connection *connection, size_t *size)
{
    struct gw_worker *worker = connection->worker;
    enum gw_tls_result result = GW_TLS_DONE;

    while (result == GW_TLS_DONE && *size < sizeof(worker->plain)) {
        size_t piece = 0;

        result = gw_tls_read(connection->ssl, worker->plain + *size, sizeof(worker->plain) - *size, &piece);
        *size += piece;
    }
    return result;
}

/* Decrypts what was fed for as long as the connection lives. */
static void read_records(struct gw_connection *connection)
{
    struct gw_worker *worker = connection->worker;
    enum gw_tls_result result = GW_TLS_DONE;

    while (result == GW_TLS_DONE && (connection->state == GW_CONNECTION_PRE_TUNNEL || connection->state == GW_CONNECTION_CHANNEL)) {
        size_t size = 0;

        if (connection->state == GW_CONNECTION_CHANNEL) {
            result = gw_tls_read(connection->ssl, worker->plain, sizeof(worker->plain), &size);
            if (size)
                gw_cstp_channel_receive(connection, worker->plain, size);
        } else {
            result = read_pieces(connection, &size);
            if (size)
                on_app_data(connection, worker->plain, size);
        }
    }
    if (result == GW_TLS_CLOSED)
        gw_connection_end(connection, GW_CAUSE_PEER_CLOSED);
    else if (result == GW_TLS_BROKEN)
        gw_connection_end(connection, connection->out.size > GW_QUEUE_SOFT ? GW_CAUSE_STALLED : GW_CAUSE_PROTOCOL);
}

static void receive(struct gw_connection *connection)
{
    struct gw_worker *worker = connection->worker;
    size_t wanted = connection->state == GW_CONNECTION_CHANNEL ? sizeof(worker->input) : GW_PRE_TUNNEL_INPUT;
    ssize_t got = recv(connection->pollable.fd, worker->input, wanted, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (got <= 0) {
        gw_connection_end(connection, got ? GW_CAUSE_PEER_RESET : GW_CAUSE_PEER_CLOSED);
        return;
    }
    if (connection->state >= GW_CONNECTION_CLOSING)
        return;
    connection->heard = true;
    connection->io.feed = worker->input;
    connection->io.feed_size = (size_t)got;
    if (connection->state == GW_CONNECTION_HANDSHAKE) {
        worker->handshakes++;
        advance_handshake(connection);
    }
    read_records(connection);
    gw_tun_flush(worker);           /* no other client's packets could join these, and the cache still has their memory */
    connection->io.feed = NULL;
    connection->io.feed_size = 0;
    if (connection->state == GW_CONNECTION_PRE_TUNNEL)
        rewatch(connection);
}

void gw_connection_ready(struct gw_connection *connection, uint32_t events)
{
    struct gw_worker *worker = connection->worker;

    if (connection->state == GW_CONNECTION_DEAD)
        return;
    if (events & EPOLLOUT)
        gw_connection_flush(connection);
    if (connection->state == GW_CONNECTION_DEAD)
        return;
    /* The others are not made to wait for a storm of logins: what is left is reported again. */
    if (connection->state == GW_CONNECTION_HANDSHAKE && worker->handshakes >= GW_HANDSHAKES_PER_TURN)
        return;
    /* A peer that left while we do not read it (flow control) is noticed by the hang-up alone. */
    if (events & EPOLLIN || events & (EPOLLERR | EPOLLHUP))
        receive(connection);
    else if (events & EPOLLRDHUP)
        gw_connection_end(connection, GW_CAUSE_PEER_CLOSED);
}

void gw_connection_detach(struct gw_connection *connection)
{
    struct gw_worker *worker = connection->worker;
    struct gw_connection **dirty = &worker->dirty;

    give_slot(connection);
    delist(connection);
    epoll_ctl(worker->epoll, EPOLL_CTL_DEL, connection->pollable.fd, NULL);
    while (connection->dirty && *dirty && *dirty != connection)
        dirty = &(*dirty)->next_dirty;
    if (connection->dirty && *dirty)
        *dirty = connection->next_dirty;
    connection->dirty = false;
    connection->worker = NULL;
}

int gw_connection_adopt(struct gw_worker *worker, struct gw_connection *connection)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = &connection->pollable };

    enlist(worker, connection);
    connection->interest = event.events;
    if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, connection->pollable.fd, &event)) {
        gw_connection_end(connection, GW_CAUSE_LOCAL);
        return -ENOMEM;
    }
    return 0;
}

static bool is_stalled(const struct gw_connection *connection)
{
    uint64_t patience = connection->worker->gateway->config.write_timeout_ms * GW_MS;

    return connection->waiting_since && connection->worker->now > connection->waiting_since + patience;
}

void gw_connections_tick(struct gw_worker *worker)
{
    struct gw_connection *next;

    for (struct gw_connection *connection = worker->connections; connection; connection = next) {
        next = connection->next;
        if (is_stalled(connection))
            gw_connection_end(connection, GW_CAUSE_STALLED);
        else if (connection->deadline && worker->now > connection->deadline)
            gw_connection_end(connection, connection->state == GW_CONNECTION_CLOSING ? GW_CAUSE_STALLED : GW_CAUSE_TIMEOUT);
    }
}

void gw_connection_destroy(struct gw_connection *connection, struct gw_chunk_pool *pool)
{
    if (connection->pollable.fd >= 0)
        close(connection->pollable.fd);
    if (connection->ssl)
        wolfSSL_free(connection->ssl);
    gw_send_queue_clear(&connection->out, pool);
    gw_cstp_reader_free(&connection->frames);
    free(connection->server_name);
    free(connection);
}

void gw_connections_reap(struct gw_worker *worker)
{
    while (worker->dead) {
        struct gw_connection *connection = worker->dead;

        worker->dead = connection->next_dead;
        gw_connection_destroy(connection, &worker->chunks);
    }
}
