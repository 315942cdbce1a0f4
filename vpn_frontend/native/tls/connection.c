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
    struct gw_link *link = owner;
    struct gw_worker *worker = link->worker;

    if (link->out.size + size > GW_QUEUE_HARD)
        return -ENOBUFS;
    if (!link->dirty) {
        link->dirty = true;
        link->next_dirty = worker->dirty;
        worker->dirty = link;
    }
    return gw_outbox_push(&link->out, &worker->chunks, data, size);
}

static void watch(struct gw_link *link, uint32_t interest)
{
    struct epoll_event event = { .events = interest, .data.ptr = &link->source };

    if (interest == link->interest)
        return;
    link->interest = interest;
    epoll_ctl(link->worker->epoll, EPOLL_CTL_MOD, link->source.fd, &event);
}

/* What the link waits for follows from its state alone. */
static void rewatch(struct gw_link *link)
{
    uint32_t interest = EPOLLRDHUP;

    if (link->state != GW_LINK_CONVERSATION || link->undelivered < GW_CREDIT_MAX)
        interest |= EPOLLIN;
    if (link->out.size)
        interest |= EPOLLOUT;
    watch(link, interest);
}

static void enlist(struct gw_worker *worker, struct gw_link *link)
{
    link->worker = worker;
    link->previous = NULL;
    link->next = worker->links;
    if (worker->links)
        worker->links->previous = link;
    worker->links = link;
}

static void delist(struct gw_link *link)
{
    if (link->previous)
        link->previous->next = link->next;
    else
        link->worker->links = link->next;
    if (link->next)
        link->next->previous = link->previous;
}

static bool take_slot(struct gw_worker *worker, struct gw_link *link)
{
    uint32_t slot = worker->slots_free;

    if (slot == worker->slots_size)
        return false;
    worker->slots_free = worker->slots[slot].next_free;
    worker->slots[slot].link = link;
    link->id = gw_id(worker->slots[slot].generation, slot, worker->index);
    link->addressed = true;
    return true;
}

static void give_slot(struct gw_link *link)
{
    struct gw_link_slot *slot;

    if (!link->addressed)
        return;
    slot = &link->worker->slots[gw_id_slot(link->id)];
    slot->link = NULL;
    slot->generation++;
    slot->next_free = link->worker->slots_free;
    link->worker->slots_free = gw_id_slot(link->id);
    link->addressed = false;
}

struct gw_link *gw_link_open(struct gw_worker *worker, int fd, const uint8_t peer[16], uint16_t peer_port, uint16_t local_port)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP };
    struct gw_link *link = calloc(1, sizeof(*link));

    if (!link)
        return NULL;
    link->source = (struct gw_source){ GW_SOURCE_LINK, fd };
    link->io.write = queue_output;
    link->io.owner = link;
    memcpy(link->peer, peer, 16);
    link->peer_port = peer_port;
    link->local_port = local_port;
    link->interest = event.events;
    link->deadline = gw_clock_now() + worker->gateway->config.handshake_timeout_ms * GW_MS;
    if (!take_slot(worker, link))
        goto no_slot;
    link->worker = worker;
    event.data.ptr = &link->source;
    if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &event))
        goto no_epoll;
    enlist(worker, link);
    return link;

no_epoll:
    give_slot(link);
no_slot:
    free(link);
    return NULL;
}

struct gw_link *gw_link_find(struct gw_worker *worker, uint64_t id)
{
    uint32_t slot = gw_id_slot(id);
    struct gw_link *link = slot < worker->slots_size ? worker->slots[slot].link : NULL;

    return link && link->id == id ? link : NULL;
}

void gw_link_flush(struct gw_link *link)
{
    long sent;

    if (link->state == GW_LINK_DEAD)
        return;
    sent = gw_outbox_send(&link->out, &link->worker->chunks, link->source.fd);
    if (sent < 0 && sent != -EAGAIN) {
        gw_link_end(link, GW_CAUSE_PEER_RESET);
        return;
    }
    if (!link->out.size)
        link->waiting_since = 0;
    else if (sent > 0 || !link->waiting_since)
        link->waiting_since = gw_clock_now();
    if (!link->out.size && link->state == GW_LINK_CLOSING) {
        shutdown(link->source.fd, SHUT_WR);
        link->state = GW_LINK_LINGER;
        link->deadline = link->worker->now + GW_LINGER;
    }
    rewatch(link);
}

int gw_link_write(struct gw_link *link, const uint8_t *data, size_t size)
{
    if (gw_tls_write(link->ssl, data, size) == 0)
        return 0;
    gw_link_end(link, link->out.size + size > GW_QUEUE_HARD ? GW_CAUSE_STALLED : GW_CAUSE_PEER_RESET);
    return -EPIPE;
}

void gw_link_credit(struct gw_link *link, size_t size)
{
    link->undelivered -= size < link->undelivered ? (uint32_t)size : link->undelivered;
    if (link->state == GW_LINK_CONVERSATION)
        rewatch(link);
}

static int tell(struct gw_link *link, struct gw_event *event, const void *data, bool optional)
{
    int status;

    event->link = link->id;
    memcpy(event->peer, link->peer, 16);
    event->peer_port = link->peer_port;
    event->local_port = link->local_port;
    status = gw_event_push(&link->worker->gateway->events, event, data, optional);
    if (status)
        gw_count(link->worker, GW_STAT_events_shed);
    return status;
}

static void count_end(struct gw_link *link, enum gw_cause cause)
{
    struct gw_worker *worker = link->worker;

    switch (cause) {
    case GW_CAUSE_HANDSHAKE_FAILED:
        gw_count(worker, GW_STAT_handshakes_failed);
        gw_gate_tell(worker, link, SE_EVENT_TLS_HANDSHAKE_FAILED);
        break;
    case GW_CAUSE_TIMEOUT:
        if (link->state == GW_LINK_HANDSHAKE)
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
        if (!link->heard)
            gw_count(worker, GW_STAT_health_probes);
        break;
    default:
        break;
    }
}

static void tell_end(struct gw_link *link, enum gw_cause cause)
{
    struct gw_event event = { .kind = GW_LINK_CLOSED, .cause = cause };

    if (link->session)
        gw_session_lost_channel(link->worker, link->session, cause, NULL, 0);
    else if (link->known && !link->silent) {
        event.reserved = 1;         /* its place among max_links is free once Python has read this */
        tell(link, &event, NULL, false);
        return;
    } else if (!link->silent && link->heard)
        tell(link, &event, NULL, true);
    __atomic_sub_fetch(&link->worker->gateway->links, 1, __ATOMIC_RELAXED);
}

void gw_link_end(struct gw_link *link, enum gw_cause cause)
{
    struct gw_worker *worker = link->worker;

    if (link->state == GW_LINK_DEAD)
        return;
    if (link->state < GW_LINK_CLOSING)
        count_end(link, cause);     /* who sees the alert sees it counted */
    if (cause == GW_CAUSE_PEER_CLOSED && (link->state == GW_LINK_CONVERSATION || link->state == GW_LINK_CHANNEL))
        wolfSSL_shutdown(link->ssl);
    if (cause == GW_CAUSE_HANDSHAKE_FAILED || cause == GW_CAUSE_PEER_CLOSED)
        gw_outbox_send(&link->out, &worker->chunks, link->source.fd);   /* the alert, as far as it goes */
    tell_end(link, link->state < GW_LINK_CLOSING ? cause : GW_CAUSE_LOCAL);
    link->state = GW_LINK_DEAD;
    give_slot(link);
    delist(link);
    close(link->source.fd);
    link->source.fd = -1;
    link->next_dead = worker->dead;
    worker->dead = link;
}

void gw_link_finish(struct gw_link *link)
{
    if (link->state >= GW_LINK_CLOSING)
        return;
    if (link->state == GW_LINK_HANDSHAKE) {
        gw_link_end(link, GW_CAUSE_LOCAL);
        return;
    }
    link->state = GW_LINK_CLOSING;
    link->deadline = link->worker->now + link->worker->gateway->config.write_timeout_ms * GW_MS;
    wolfSSL_shutdown(link->ssl);
    gw_link_flush(link);
}

static void converse(struct gw_link *link, const uint8_t *data, size_t size)
{
    struct gw_event event = { .kind = GW_LINK_DATA, .data_size = (uint32_t)size };

    link->undelivered += (uint32_t)gw_event_cost(size);
    link->deadline = link->worker->now + link->worker->gateway->config.conversation_timeout_ms * GW_MS;
    if (tell(link, &event, data, false))
        gw_link_end(link, GW_CAUSE_LOCAL);  /* a request with a hole in it is another request */
}

static void shook_hands(struct gw_link *link)
{
    struct gw_tls_facts facts;
    struct gw_event event = { .kind = GW_LINK_UP, .data_size = sizeof(facts.exporter) };
    int status;

    if (gw_tls_finish(link->ssl, &facts)) {
        gw_link_end(link, GW_CAUSE_HANDSHAKE_FAILED);
        return;
    }
    gw_count(link->worker, facts.resumed ? GW_STAT_handshakes_resumed : GW_STAT_handshakes_done);
    link->state = GW_LINK_CONVERSATION;
    link->deadline = link->worker->now + link->worker->gateway->config.conversation_timeout_ms * GW_MS;
    event.tls_version = facts.version;
    event.resumed = facts.resumed;
    memcpy(event.cipher, facts.cipher, sizeof(event.cipher));
    memcpy(event.server_name, link->server_name, sizeof(event.server_name));
    free(link->server_name);
    link->server_name = NULL;
    status = tell(link, &event, (const uint8_t *)facts.exporter, false);
    explicit_bzero(facts.exporter, sizeof(facts.exporter));
    link->known = !status;
    if (status)
        gw_link_end(link, GW_CAUSE_LOCAL);
}

/* The first bytes of a peer are what its TLS object is made for: before them it costs no more than its link. */
static int greet(struct gw_link *link)
{
    link->server_name = malloc(256);
    if (!link->server_name)
        return -ENOMEM;
    gw_tls_server_name(link->io.feed, link->io.feed_size, link->server_name);
    link->ssl = gw_tls_new(&link->worker->gateway->tls, &link->io);
    return link->ssl ? 0 : -ENOMEM;
}

static void shake_hands(struct gw_link *link)
{
    if (!link->ssl && greet(link)) {
        gw_link_end(link, GW_CAUSE_LOCAL);
        return;
    }
    switch (gw_tls_accept(link->ssl)) {
    case GW_TLS_DONE:
        shook_hands(link);
        break;
    case GW_TLS_WANT:
        break;
    case GW_TLS_CLOSED:
        gw_link_end(link, GW_CAUSE_PEER_CLOSED);
        break;
    case GW_TLS_BROKEN:
        gw_link_end(link, GW_CAUSE_HANDSHAKE_FAILED);
        break;
    }
}

/* The records of a conversation are put together: a peer may fill each with a single byte, and Python pays by the piece. */
static enum gw_tls_result read_pieces(struct gw_link *link, size_t *size)
{
    struct gw_worker *worker = link->worker;
    enum gw_tls_result result = GW_TLS_DONE;

    while (result == GW_TLS_DONE && *size < sizeof(worker->plain)) {
        size_t piece = 0;

        result = gw_tls_read(link->ssl, worker->plain + *size, sizeof(worker->plain) - *size, &piece);
        *size += piece;
    }
    return result;
}

/* Decrypts what was fed for as long as the link lives. */
static void read_records(struct gw_link *link)
{
    struct gw_worker *worker = link->worker;
    enum gw_tls_result result = GW_TLS_DONE;

    while (result == GW_TLS_DONE && (link->state == GW_LINK_CONVERSATION || link->state == GW_LINK_CHANNEL)) {
        size_t size = 0;

        if (link->state == GW_LINK_CHANNEL) {
            result = gw_tls_read(link->ssl, worker->plain, sizeof(worker->plain), &size);
            if (size)
                gw_channel_receive(link, worker->plain, size);
        } else {
            result = read_pieces(link, &size);
            if (size)
                converse(link, worker->plain, size);
        }
    }
    if (result == GW_TLS_CLOSED)
        gw_link_end(link, GW_CAUSE_PEER_CLOSED);
    else if (result == GW_TLS_BROKEN)
        gw_link_end(link, link->out.size > GW_QUEUE_SOFT ? GW_CAUSE_STALLED : GW_CAUSE_PROTOCOL);
}

static void receive(struct gw_link *link)
{
    struct gw_worker *worker = link->worker;
    size_t wanted = link->state == GW_LINK_CHANNEL ? sizeof(worker->input) : GW_CONVERSATION_INPUT;
    ssize_t got = recv(link->source.fd, worker->input, wanted, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (got <= 0) {
        gw_link_end(link, got ? GW_CAUSE_PEER_RESET : GW_CAUSE_PEER_CLOSED);
        return;
    }
    if (link->state >= GW_LINK_CLOSING)
        return;
    link->heard = true;
    link->io.feed = worker->input;
    link->io.feed_size = (size_t)got;
    if (link->state == GW_LINK_HANDSHAKE) {
        worker->handshakes++;
        shake_hands(link);
    }
    read_records(link);
    gw_tun_flush(worker);           /* no other client's packets could join these, and the cache still has their memory */
    link->io.feed = NULL;
    link->io.feed_size = 0;
    if (link->state == GW_LINK_CONVERSATION)
        rewatch(link);
}

void gw_link_ready(struct gw_link *link, uint32_t events)
{
    struct gw_worker *worker = link->worker;

    if (link->state == GW_LINK_DEAD)
        return;
    if (events & EPOLLOUT)
        gw_link_flush(link);
    if (link->state == GW_LINK_DEAD)
        return;
    /* The others are not made to wait for a storm of logins: what is left is reported again. */
    if (link->state == GW_LINK_HANDSHAKE && worker->handshakes >= GW_HANDSHAKES_PER_TURN)
        return;
    /* A peer that left while we do not read it (flow control) is noticed by the hang-up alone. */
    if (events & EPOLLIN || events & (EPOLLERR | EPOLLHUP))
        receive(link);
    else if (events & EPOLLRDHUP)
        gw_link_end(link, GW_CAUSE_PEER_CLOSED);
}

void gw_link_detach(struct gw_link *link)
{
    struct gw_worker *worker = link->worker;
    struct gw_link **dirty = &worker->dirty;

    give_slot(link);
    delist(link);
    epoll_ctl(worker->epoll, EPOLL_CTL_DEL, link->source.fd, NULL);
    while (link->dirty && *dirty && *dirty != link)
        dirty = &(*dirty)->next_dirty;
    if (link->dirty && *dirty)
        *dirty = link->next_dirty;
    link->dirty = false;
    link->worker = NULL;
}

int gw_link_adopt(struct gw_worker *worker, struct gw_link *link)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = &link->source };

    enlist(worker, link);
    link->interest = event.events;
    if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, link->source.fd, &event)) {
        gw_link_end(link, GW_CAUSE_LOCAL);
        return -ENOMEM;
    }
    return 0;
}

static bool is_stalled(const struct gw_link *link)
{
    uint64_t patience = link->worker->gateway->config.write_timeout_ms * GW_MS;

    return link->waiting_since && link->worker->now > link->waiting_since + patience;
}

void gw_links_tick(struct gw_worker *worker)
{
    struct gw_link *next;

    for (struct gw_link *link = worker->links; link; link = next) {
        next = link->next;
        if (is_stalled(link))
            gw_link_end(link, GW_CAUSE_STALLED);
        else if (link->deadline && worker->now > link->deadline)
            gw_link_end(link, link->state == GW_LINK_CLOSING ? GW_CAUSE_STALLED : GW_CAUSE_TIMEOUT);
    }
}

void gw_link_destroy(struct gw_link *link, struct gw_chunk_pool *pool)
{
    if (link->source.fd >= 0)
        close(link->source.fd);
    if (link->ssl)
        wolfSSL_free(link->ssl);
    gw_outbox_clear(&link->out, pool);
    gw_cstp_reader_free(&link->frames);
    free(link->server_name);
    free(link);
}

void gw_links_bury(struct gw_worker *worker)
{
    while (worker->dead) {
        struct gw_link *link = worker->dead;

        worker->dead = link->next_dead;
        gw_link_destroy(link, &worker->chunks);
    }
}
