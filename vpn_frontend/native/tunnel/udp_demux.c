/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tunnel/udp_demux.h"

#include "packet/address.h"
#include "runtime/policy_gate.h"
#include "tunnel/dtls_channel.h"
#include "tunnel/migration.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BATCHES_PER_TURN 4          /* calls of recvmmsg before other events are handled */
#define CONTROL_SIZE (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)))

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

static bool policy_accepts(const struct gw_worker *worker, const struct gw_path *path, bool named)
{
    return gw_gate_accepts_udp(worker->gateway->gate, path->peer, path->peer_port, worker->udp->listeners[path->socket].port,
                               named, worker->now);
}

/* Posts the datagrams for worker `to`. A batch that is refused waits for the next turn and grows. */
static int post(struct gw_worker *worker, uint32_t to)
{
    struct gw_message *message = gw_message_new(GW_MSG_DATAGRAMS, NULL, 0);
    int status = -ENOMEM;

    if (message) {
        message->object = worker->udp->outgoing[to];
        status = gw_mailbox_post(&worker->gateway->workers[to]->mailbox, message);
    }
    if (status)
        free(message);
    else
        worker->udp->outgoing[to] = NULL;
    return status;
}

static bool has_room(const struct gw_batch *batch, const struct gw_datagram *info)
{
    return GW_BATCH_SIZE - batch->size >= sizeof(*info) + info->size;
}

static void pass_on(struct gw_worker *worker, uint32_t to, const struct gw_datagram *info, const uint8_t *datagram)
{
    struct gw_batch **batch = &worker->udp->outgoing[to];

    if (*batch && !has_room(*batch, info))
        post(worker, to);
    if (!*batch)
        *batch = gw_batch_take(&worker->gateway->batches);
    if (!*batch || !has_room(*batch, info)) {
        gw_count(worker, GW_STAT_rx_mailbox_full);
        return;
    }
    memcpy((*batch)->data + (*batch)->size, info, sizeof(*info));
    memcpy((*batch)->data + (*batch)->size + sizeof(*info), datagram, info->size);
    (*batch)->size += sizeof(*info) + info->size;
}

static void deliver(struct gw_worker *worker, const struct gw_datagram *info, const uint8_t *datagram)
{
    struct gw_session *session = gw_worker_find(worker, info->session);
    uint32_t home;

    if (session)
        gw_dtls_take(worker, session, info, datagram);
    else if (gw_worker_locate(worker, info->session, &home))
        pass_on(worker, home, info, datagram);
    else
        gw_count(worker, GW_STAT_dtls_unmatched);
}

/* Moves the session to the worker that receives its datagrams. A forged datagram cannot: the client's path leads there, too. */
static void follow(struct gw_worker *worker, const struct gw_datagram *info)
{
    struct gw_session *session = info->arrived_at == worker->index ? NULL : gw_worker_find(worker, info->session);

    if (session && gw_dtls_is_at(session, &info->path) && (!session->moved || worker->now - session->moved >= GW_MOVE_PAUSE))
        gw_migration_send(worker, session, info->arrived_at);
}

void gw_udp_demux_take_batch(struct gw_worker *worker, struct gw_batch *batch)
{
    gw_cookies_turn(&worker->udp->cookies, worker->now);
    for (size_t at = 0; at < batch->size;) {
        struct gw_datagram info;

        memcpy(&info, batch->data + at, sizeof(info));
        deliver(worker, &info, batch->data + at + sizeof(info));
        follow(worker, &info);
        gw_pacing_count_received(&worker->pacing, true);
        at += sizeof(info) + info.size;
    }
    gw_batch_give(&worker->gateway->batches, batch);
}

/* True: the cookie is good under secret *secret. False: answered with a cookie, or ignored. */
static bool check_cookie(struct gw_worker *worker, const struct gw_path *path, const struct gw_hello *hello, uint8_t *secret)
{
    struct gw_cookies *cookies = &worker->udp->cookies;
    uint8_t reply[GW_COOKIE_REPLY_SIZE];
    const uint8_t *good = gw_cookie_check(cookies, path, sizeof(*path), hello);

    if (good) {
        *secret = good == cookies->secrets[1];
        return true;
    }
    if (gw_cookie_reply(cookies, path, sizeof(*path), hello, reply) == 0) {
        gw_udp_batch_push(&worker->udp->out, path, reply, sizeof(reply));
        gw_count(worker, GW_STAT_dtls_cookies_sent);
    }
    return false;
}

/* The same for DTLS 1.3, whose cookie wolfSSL makes and reads. An answer larger than the ClientHello is not sent. */
static bool check_cookie13(struct gw_worker *worker, const struct gw_path *path, enum gw_dtls_mode mode, const uint8_t *datagram,
                           size_t size, uint8_t *secret)
{
    struct gw_dtls_contexts *contexts = &worker->gateway->dtls->contexts;
    uint8_t reply[512];
    size_t reply_size = 0;

    for (*secret = 0; *secret < 2; ++*secret) {
        reply_size = sizeof(reply);
        if (gw_dtls_retry13(contexts, mode, worker->udp->cookies.secrets[*secret], path, sizeof(*path), datagram, size, reply,
                            &reply_size))
            return true;
        if (reply_size)
            break;                  /* the ClientHello has no cookie */
    }
    if (reply_size && reply_size <= size) {
        gw_udp_batch_push(&worker->udp->out, path, reply, reply_size);
        gw_count(worker, GW_STAT_dtls_cookies_sent);
    } else {
        gw_count(worker, GW_STAT_dtls_hello_malformed);
    }
    return false;
}

static void take_hello(struct gw_worker *worker, struct gw_datagram *info, const uint8_t *datagram)
{
    struct gw_hello hello;
    const uint8_t *name;
    bool good;

    if (gw_hello_read(datagram, info->size, &hello)) {
        gw_count(worker, GW_STAT_dtls_hello_malformed);
        return;
    }
    name = gw_hello_name(&hello);
    info->session = name ? gw_client_table_find(&worker->gateway->dtls->names, name) : 0;
    if (!policy_accepts(worker, &info->path, info->session)) {
        gw_count(worker, GW_STAT_dtls_hello_refused);
        return;
    }
    if (!info->session) {
        gw_count(worker, GW_STAT_dtls_hello_unknown);
        return;
    }
    if (hello.dtls13)
        good = check_cookie13(worker, &info->path, hello.psk ? GW_DTLS_PSK : GW_DTLS_CERTIFICATE, datagram, info->size,
                              &info->secret);
    else
        good = check_cookie(worker, &info->path, &hello, &info->secret);
    if (!good)
        return;
    gw_path_cache_put(&worker->udp->paths, &info->path, info->session, worker->now);
    deliver(worker, info, datagram);
}

static uint64_t find_by_address(struct gw_worker *worker, const struct gw_path *path)
{
    uint8_t key[GW_CLIENT_KEY] = { 0 };

    memcpy(key, path->peer, sizeof(path->peer));
    return gw_client_table_find(&worker->gateway->dtls->addresses, key);
}

/* `known`: the session of this path; 0: not looked up yet. */
static void sort(struct gw_worker *worker, const struct gw_path *path, const uint8_t *datagram, size_t size, uint64_t *known)
{
    struct gw_udp_listener *listener = &worker->udp->listeners[path->socket];
    struct gw_datagram info = {
        .size = (uint32_t)size,
        .kind = (uint8_t)gw_dtls_classify(datagram, size),
        .arrived_at = (uint16_t)worker->index,
        .path = *path,
    };

    if (info.kind == GW_DTLS_GARBAGE || size > GW_DATAGRAM_MAX) {
        gw_count(worker, GW_STAT_dtls_garbage);
        return;
    }
    if (info.kind == GW_DTLS_HELLO) {
        *known = 0;                 /* the path may begin another session */
        take_hello(worker, &info, datagram);
        return;
    }
    if (!*known)
        *known = gw_path_cache_find(&worker->udp->paths, path, worker->now);
    info.session = *known;
    if (!info.session && info.kind == GW_DTLS_SEALED)
        info.session = find_by_address(worker, path);
    if (info.session != listener->last) {
        listener->last = info.session;
        listener->mixed = true;
    }
    if (info.session)
        deliver(worker, &info, datagram);
    else
        gw_count(worker, GW_STAT_dtls_unmatched);
}

/* Reads the destination, and the size of datagrams that the kernel merged (0: not merged). False: truncated, or no destination. */
static bool read_control(struct msghdr *message, struct gw_path *path, size_t *segment)
{
    bool found = false;

    *segment = 0;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
        if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO) {
            const struct in_pktinfo *info = (const struct in_pktinfo *)CMSG_DATA(at);

            gw_map_ipv4(path->local, &info->ipi_spec_dst);
            found = true;
        } else if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO) {
            const struct in6_pktinfo *info = (const struct in6_pktinfo *)CMSG_DATA(at);

            memcpy(path->local, &info->ipi6_addr, 16);
            path->interface = gw_is_link_local(path->peer) ? (uint32_t)info->ipi6_ifindex : 0;
            found = true;
        } else if (at->cmsg_level == IPPROTO_UDP && at->cmsg_type == UDP_GRO) {
            int size;

            memcpy(&size, CMSG_DATA(at), sizeof(size));
            *segment = size > 0 ? (size_t)size : 0;
        }
    }
    return found && !(message->msg_flags & MSG_CTRUNC);
}

static void read_peer(const struct sockaddr_in6 *from, uint16_t socket, struct gw_path *path)
{
    memset(path, 0, sizeof(*path));
    path->socket = socket;
    path->peer_port = ntohs(from->sin6_port);   /* sockaddr_in has it at the same offset */
    if (from->sin6_family == AF_INET)
        gw_map_ipv4(path->peer, &((const struct sockaddr_in *)from)->sin_addr);
    else
        memcpy(path->peer, &from->sin6_addr, 16);
}

/* Handles one read: a datagram, or several that have one size but for the last. */
static void unpack(struct gw_worker *worker, struct msghdr *message, uint16_t socket, const uint8_t *bytes, size_t size)
{
    struct gw_path path;
    uint64_t known = 0;
    size_t segment;

    read_peer(message->msg_name, socket, &path);
    if (!read_control(message, &path, &segment) || message->msg_flags & MSG_TRUNC) {
        gw_count(worker, GW_STAT_dtls_garbage);
        return;
    }
    worker->pacing.batched |= segment && size > (GW_PACING_BATCH - 1) * segment;
    do {
        size_t one = segment && segment < size ? segment : size;

        sort(worker, &path, bytes, one, &known);
        gw_pacing_count_received(&worker->pacing, !segment);    /* unmatched ones, too: in a flood each would wake the worker */
        bytes += one;
        size -= one;
    } while (size);
}

/* Returns the number of reads; below GW_RECEIVE_BATCH: no more wait. */
static int receive(struct gw_worker *worker, const struct gw_udp_listener *listener)
{
    struct gw_udp_port *port = worker->udp;
    struct sockaddr_in6 from[GW_RECEIVE_BATCH];
    struct mmsghdr messages[GW_RECEIVE_BATCH];
    struct iovec bodies[GW_RECEIVE_BATCH];
    _Alignas(struct cmsghdr) uint8_t control[GW_RECEIVE_BATCH][CONTROL_SIZE];
    int count;

    for (unsigned i = 0; i < GW_RECEIVE_BATCH; i++) {
        bodies[i] = (struct iovec){ port->received[i], GW_RECEIVE_SIZE };
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &from[i], .msg_namelen = sizeof(from[i]), .msg_iov = &bodies[i], .msg_iovlen = 1,
            .msg_control = control[i], .msg_controllen = CONTROL_SIZE,
        };
    }
    count = recvmmsg(listener->pollable.fd, messages, GW_RECEIVE_BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++)
        unpack(worker, &messages[i].msg_hdr, listener->index, port->received[i], messages[i].msg_len);
    return count;
}

/* Clients share the sockets. A rest of a busy one would delay the others, of which one may be calm. */
static void shorten_rest(struct gw_worker *worker, struct gw_udp_listener *listener)
{
    if (listener->mixed && listener->pollable.busy)
        worker->busy_links.shared_until = worker->now + GW_PACING_SHARED;
    listener->mixed = false;
}

void gw_udp_demux_ready(struct gw_worker *worker, struct gw_udp_listener *listener)
{
    gw_cookies_turn(&worker->udp->cookies, worker->now);
    for (int i = 0; i < BATCHES_PER_TURN; i++)
        if (receive(worker, listener) < (int)GW_RECEIVE_BATCH)
            break;
    shorten_rest(worker, listener);
}

void gw_udp_demux_flush(struct gw_worker *worker)
{
    struct gw_udp_port *port = worker->udp;

    if (!port)
        return;
    port->waiting = false;
    for (uint32_t i = 0; i < worker->gateway->config.workers; i++)
        if (port->outgoing[i] && post(worker, i))
            port->waiting = true;
    gw_udp_batch_flush(&port->out);
    __atomic_store_n(&worker->stats[GW_STAT_dtls_datagrams_sent], port->out.sent, __ATOMIC_RELAXED);
    __atomic_store_n(&worker->stats[GW_STAT_dtls_datagrams_lost], port->out.lost, __ATOMIC_RELAXED);
}
