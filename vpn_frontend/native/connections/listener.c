/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connections/listener.h"

#include "connections/connection.h"
#include "connections/proxy.h"
#include "connections/source_eviction.h"
#include "packet/address.h"
#include "runtime/policy_gate.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN 64

static uint16_t read_peer(const struct sockaddr_storage *from, uint8_t peer[16])
{
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;

        gw_map_ipv4(peer, &in->sin_addr);
        return ntohs(in->sin_port);
    }
    memcpy(peer, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
    return ntohs(((const struct sockaddr_in6 *)from)->sin6_port);
}

/* Closes with a FIN. Some clients take a reset for a broken network and retry. The peer has 2 s to close its half. */
static void reject(int fd)
{
    const int seconds = 2;

    setsockopt(fd, IPPROTO_TCP, TCP_LINGER2, &seconds, sizeof(seconds));
    close(fd);
}

static bool take_place(struct gw *gateway)
{
    if (__atomic_add_fetch(&gateway->connections, 1, __ATOMIC_RELAXED) <= gateway->config.max_connections)
        return true;
    __atomic_sub_fetch(&gateway->connections, 1, __ATOMIC_RELAXED);
    return false;
}

static void accept_one(struct gw_worker *worker, const struct gw_listener *listener, int fd, const struct sockaddr_storage *from)
{
    uint8_t peer[16];
    uint16_t port = read_peer(from, peer);
    bool proxy = gw_is_proxy(worker->gateway, peer);    /* it is asked about its client, once named */

    gw_count(worker, GW_STAT_links_accepted);
    if (!proxy && !gw_gate_accepts_tcp(worker->gateway->gate, peer, port, listener->port)) {
        gw_count(worker, GW_STAT_links_refused);
        reject(fd);
        return;
    }
    if (!proxy)
        gw_sources_make_room(worker, peer);
    if (!take_place(worker->gateway)) {
        gw_count(worker, GW_STAT_links_over_limit);
        reject(fd);
        return;
    }
    if (!gw_connection_open(worker, fd, peer, port, listener->port, proxy)) {
        gw_count(worker, GW_STAT_accept_errors);
        __atomic_sub_fetch(&worker->gateway->connections, 1, __ATOMIC_RELAXED);
        reject(fd);
    }
}

/* False: at least one listener is not watched so. */
static bool watch_all(struct gw_worker *worker, uint32_t interest)
{
    bool done = true;

    for (uint32_t i = 0; i < worker->listener_count; i++) {
        struct epoll_event event = { .events = interest, .data.ptr = &worker->listeners[i].pollable };

        done &= !epoll_ctl(worker->epoll, EPOLL_CTL_MOD, worker->listeners[i].pollable.fd, &event);
    }
    return done;
}

static void pause_accept(struct gw_worker *worker)
{
    worker->accept_paused = true;
    watch_all(worker, 0);           /* one that goes on is tried and paused again */
}

void gw_listener_ready(struct gw_worker *worker, struct gw_listener *listener)
{
    for (int i = 0; i < ACCEPTS_PER_TURN && listener->pollable.fd >= 0; i++) {
        struct sockaddr_storage from = { 0 };
        socklen_t size = sizeof(from);
        int fd = accept4(listener->pollable.fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            accept_one(worker, listener, fd, &from);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            gw_count(worker, GW_STAT_accept_errors);
            pause_accept(worker);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

void gw_listeners_tick(struct gw_worker *worker)
{
    if (worker->accept_paused)
        worker->accept_paused = !watch_all(worker, EPOLLIN);
}

void gw_listeners_unwatch(struct gw_worker *worker)
{
    worker->accept_paused = false;
    for (uint32_t i = 0; i < worker->listener_count; i++)
        epoll_ctl(worker->epoll, EPOLL_CTL_DEL, worker->listeners[i].pollable.fd, NULL);
}

void gw_listeners_watch(struct gw_worker *worker)
{
    worker->accept_paused = false;
    for (uint32_t i = 0; i < worker->listener_count; i++)
        worker->accept_paused |= gw_worker_watch(worker, &worker->listeners[i].pollable, EPOLLIN) == -ENOMEM;
}

void gw_listeners_close(struct gw_worker *worker)
{
    for (uint32_t i = 0; i < worker->listener_count; i++) {
        close(worker->listeners[i].pollable.fd);
        worker->listeners[i].pollable.fd = -1;
    }
    worker->listener_count = 0;
}
