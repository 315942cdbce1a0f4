/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connections/connection.h"

#include "list.h"
#include "runtime/id.h"
#include "runtime/policy_gate.h"

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
    connection->held = false;
    if (!connection->dirty) {
        connection->dirty = true;
        connection->next_dirty = worker->dirty;
        worker->dirty = connection;
    }
    return gw_send_queue_push(&connection->out, &worker->chunks, data, size);
}

static void unlist(struct gw_connection *connection)
{
    struct gw_connection **list = connection->calm ? &connection->worker->calm : &connection->worker->connections;

    GW_LIST_REMOVE(*list, connection);
    connection->calm = false;
}

/* To be called when the connection gets a deadline, output that waits, or no watch: the next tick looks at it. */
static void stir(struct gw_connection *connection)
{
    if (!connection->calm)
        return;
    unlist(connection);
    GW_LIST_ADD(connection->worker->connections, connection);
}

static void calm_down(struct gw_connection *connection)
{
    unlist(connection);
    connection->calm = true;
    GW_LIST_ADD(connection->worker->calm, connection);
}

static void watch(struct gw_connection *connection, uint32_t interest)
{
    struct epoll_event event = { .events = interest, .data.ptr = &connection->pollable };

    if (interest == connection->interest) {
        connection->unwatched = false;
        return;
    }
    connection->unwatched = epoll_ctl(gw_link_epoll(&connection->worker->busy_links, &connection->pollable), EPOLL_CTL_MOD,
                                      connection->pollable.fd, &event) != 0;
    if (connection->unwatched)
        stir(connection);
    else
        connection->interest = interest;
}

void gw_connection_update_interest(struct gw_connection *connection)
{
    uint32_t interest = EPOLLRDHUP;

    if ((connection->state != GW_CONNECTION_PRE_TUNNEL || connection->undelivered < GW_CREDIT_MAX) &&
        !gw_signature_is_awaited(&connection->signature))
        interest |= EPOLLIN;
    if (connection->out.size && !connection->dirty && !connection->held)    /* what is dirty is sent before the turn ends */
        interest |= EPOLLOUT;
    watch(connection, interest);
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

struct gw_connection *gw_connection_open(struct gw_worker *worker, int fd, const uint8_t peer[16], uint16_t peer_port,
                                         uint16_t local_port, bool proxy)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP };
    struct gw_connection *connection = calloc(1, sizeof(*connection));

    if (!connection)
        return NULL;
    connection->pollable = (struct gw_pollable){ GW_POLL_CONNECTION, .fd = fd };
    connection->state = proxy ? GW_CONNECTION_PROXY_HEADER : GW_CONNECTION_HANDSHAKE;
    connection->io.write = queue_output;
    connection->io.owner = connection;
    memcpy(connection->peer, peer, 16);
    connection->peer_port = peer_port;
    connection->local_port = local_port;
    connection->interest = event.events;
    connection->opened = connection->spoke = gw_clock_now();
    connection->deadline = connection->opened + worker->gateway->config.handshake_timeout_ms * GW_MS;
    if (!take_slot(worker, connection))
        goto no_slot;
    connection->worker = worker;
    event.data.ptr = &connection->pollable;
    if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &event))
        goto no_epoll;
    GW_LIST_ADD(worker->connections, connection);
    if (!proxy)
        gw_sources_add(connection->worker, &connection->source, connection->peer);
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
    connection->held = false;
    sent = gw_send_queue_send(&connection->out, &connection->worker->chunks, connection->pollable.fd);
    if (sent < 0 && sent != -EAGAIN) {
        gw_connection_end(connection, GW_CAUSE_PEER_RESET);
        return;
    }
    if (!connection->out.size)
        connection->waiting_since = 0;
    else if (sent > 0 || !connection->waiting_since)
        connection->waiting_since = gw_clock_now();
    if (connection->waiting_since)
        stir(connection);
    if (!connection->out.size && connection->state == GW_CONNECTION_CLOSING) {
        shutdown(connection->pollable.fd, SHUT_WR);
        connection->state = GW_CONNECTION_LINGER;
        connection->deadline = connection->worker->now + GW_LINGER;
    }
    gw_connection_update_interest(connection);
}

void gw_connection_own(struct gw_connection *connection, const struct gw_connection_callbacks *callbacks, void *owner)
{
    gw_sources_remove(connection->worker, &connection->source);
    connection->state = GW_CONNECTION_OWNED;
    connection->callbacks = callbacks;
    connection->owner = owner;
    connection->silent = true;
    connection->deadline = 0;
    connection->undelivered = 0;
}

void gw_connection_disown(struct gw_connection *connection)
{
    connection->owner = NULL;
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
        gw_connection_update_interest(connection);
}

int gw_connection_push_event(struct gw_connection *connection, struct gw_event *event, const void *data, bool optional)
{
    int status;

    event->connection = connection->id;
    memcpy(event->peer, connection->peer, 16);
    memcpy(event->local, connection->local, 16);
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
        gw_gate_report_handshake(worker->gateway->gate, connection->peer, connection->peer_port, connection->local_port);
        break;
    case GW_CAUSE_TIMEOUT:
        if (connection->state == GW_CONNECTION_PROXY_HEADER)
            gw_count(worker, GW_STAT_proxy_headers_refused);
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

    if (connection->owner) {
        connection->callbacks->on_end(connection, cause);
        connection->owner = NULL;
    } else if (connection->known && !connection->silent) {
        event.frees_place = 1;
        gw_connection_push_event(connection, &event, NULL, false);
        return;
    } else if (!connection->silent && connection->heard &&
               (connection->state < GW_CONNECTION_PRE_TUNNEL) != (cause == GW_CAUSE_EVICTED)) {
        gw_connection_push_event(connection, &event, NULL, true);
    }
    __atomic_sub_fetch(&connection->worker->gateway->connections, 1, __ATOMIC_RELAXED);
}

void gw_connection_end(struct gw_connection *connection, enum gw_cause cause)
{
    struct gw_worker *worker = connection->worker;

    if (connection->state == GW_CONNECTION_DEAD)
        return;
    if (connection->state < GW_CONNECTION_CLOSING)
        count_end(connection, cause);   /* before the alert: its reader sees it counted */
    if (cause == GW_CAUSE_PEER_CLOSED &&
        (connection->state == GW_CONNECTION_PRE_TUNNEL || connection->state == GW_CONNECTION_OWNED))
        wolfSSL_shutdown(connection->ssl);
    if (cause == GW_CAUSE_HANDSHAKE_FAILED || cause == GW_CAUSE_PEER_CLOSED)
        gw_send_queue_send(&connection->out, &worker->chunks, connection->pollable.fd);   /* the alert, if it fits */
    report_end(connection, connection->state < GW_CONNECTION_CLOSING ? cause : GW_CAUSE_LOCAL);
    connection->state = GW_CONNECTION_DEAD;
    give_slot(connection);
    gw_signature_clear(&connection->signature);
    gw_sources_remove(connection->worker, &connection->source);
    unlist(connection);
    gw_link_unwatch(&worker->busy_links, &connection->pollable);
    close(connection->pollable.fd);
    connection->pollable.fd = -1;
    connection->next_dead = worker->dead;
    worker->dead = connection;
}

void gw_connection_finish(struct gw_connection *connection)
{
    if (connection->state >= GW_CONNECTION_CLOSING)
        return;
    if (connection->state <= GW_CONNECTION_HANDSHAKE) {
        gw_connection_end(connection, GW_CAUSE_LOCAL);
        return;
    }
    connection->state = GW_CONNECTION_CLOSING;
    connection->deadline = connection->worker->now + connection->worker->gateway->config.write_timeout_ms * GW_MS;
    stir(connection);
    wolfSSL_shutdown(connection->ssl);
    gw_connection_flush(connection);
}

void gw_connection_detach(struct gw_connection *connection)
{
    struct gw_worker *worker = connection->worker;
    struct gw_connection **dirty = &worker->dirty;

    give_slot(connection);
    gw_sources_remove(connection->worker, &connection->source);
    unlist(connection);
    gw_link_unwatch(&worker->busy_links, &connection->pollable);
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

    connection->worker = worker;
    GW_LIST_ADD(worker->connections, connection);
    connection->interest = event.events;
    if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, connection->pollable.fd, &event)) {
        gw_connection_end(connection, GW_CAUSE_LOCAL);
        return -ENOMEM;
    }
    return 0;
}

static bool is_stalled(const struct gw_connection *connection)
{
    uint64_t timeout = connection->worker->gateway->config.write_timeout_ms * GW_MS;

    return connection->waiting_since && connection->worker->now > connection->waiting_since + timeout;
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
        else if (connection->held)
            gw_connection_flush(connection);
        else if (connection->unwatched)
            gw_connection_update_interest(connection);
        else if (!connection->deadline && !connection->waiting_since)
            calm_down(connection);
    }
}

void gw_connections_flush(struct gw_worker *worker)
{
    while (worker->dirty) {
        struct gw_connection *connection = worker->dirty;

        worker->dirty = connection->next_dirty;
        connection->dirty = false;
        if (!connection->held)
            gw_connection_flush(connection);
    }
}

void gw_connection_destroy(struct gw_connection *connection, struct gw_chunk_pool *pool)
{
    if (connection->pollable.fd >= 0)
        close(connection->pollable.fd);
    if (connection->ssl)
        wolfSSL_free(connection->ssl);
    gw_signature_clear(&connection->signature);
    gw_send_queue_clear(&connection->out, pool);
    gw_tls_hosts_release(connection->hosts);
    free(connection->hello);
    free(connection->server_name);
    free(connection->partial_header);
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
