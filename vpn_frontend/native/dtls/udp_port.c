/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dtls/udp_port.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAMES_PER_SESSION 2u        /* the previous name stays until the worker has the new one */

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

struct gw_dtls_hub *gw_dtls_hub_new(uint32_t max_sessions, struct gw_tls_holder *hosts, bool fips, char *error, size_t error_size)
{
    struct gw_dtls_hub *hub = calloc(1, sizeof(*hub));
    uint64_t seeds[2];

    if (!hub) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    hub->contexts.hosts = hosts;
    if (gw_dtls_contexts_init(&hub->contexts, fips, error, error_size))
        goto fail;
    snprintf(error, error_size, "no memory or randomness for DTLS");
    if (getrandom(seeds, sizeof(seeds), 0) != (ssize_t)sizeof(seeds) ||
        getrandom(hub->cookie_master, sizeof(hub->cookie_master), 0) != (ssize_t)sizeof(hub->cookie_master) ||
        gw_client_table_init(&hub->names, NAMES_PER_SESSION * max_sessions, seeds[0]) ||
        gw_client_table_init(&hub->addresses, max_sessions, seeds[1]))
        goto fail;
    return hub;

fail:
    gw_dtls_hub_free(hub);
    return NULL;
}

void gw_dtls_hub_free(struct gw_dtls_hub *hub)
{
    if (!hub)
        return;
    gw_client_table_free(&hub->names);
    gw_client_table_free(&hub->addresses);
    gw_dtls_contexts_free(&hub->contexts);
    free(hub);
}

static struct gw_udp_port *port_new(const struct gw_worker *worker)
{
    struct gw_udp_port *port = calloc(1, sizeof(*port));
    uint64_t seed;

    if (!port)
        return NULL;
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed) ||
        gw_path_cache_init(&port->paths, worker->gateway->config.max_sessions, seed) ||
        gw_cookies_init(&port->cookies, worker->gateway->dtls->cookie_master, worker->now)) {
        gw_path_cache_free(&port->paths);
        free(port);
        return NULL;
    }
    port->out.sockets = port->sockets;
    port->out.segmenting = worker->gateway->config.offloads & GW_OFFLOAD_UDP_GSO;
    return port;
}

/* Asks for the destination of each datagram: answers have to leave from it. An IPv6 socket reports IPv4 ones mapped. */
static int ask_for_destination(int fd, bool ipv6)
{
    const int on = 1;

    if (ipv6)
        return setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) ? -errno : 0;
    return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) ? -errno : 0;
}

/* UDP_GRO needs Linux 5.0; without it datagrams come singly. */
static void ask_for_gro(int fd)
{
    const int on = 1;

    setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
}

static int adopt(struct gw_worker *worker, struct gw_udp_port *port, int fd)
{
    struct gw_udp_listener *listener = &port->listeners[port->count];
    struct sockaddr_in6 name = { 0 };
    socklen_t size = sizeof(name);
    int status;

    if (port->count == GW_UDP_SOCKETS_MAX)
        return -ENOSPC;
    if (getsockname(fd, (struct sockaddr *)&name, &size))
        return -errno;
    status = ask_for_destination(fd, name.sin6_family == AF_INET6);
    if (status)
        return status;
    if (worker->gateway->config.offloads & GW_OFFLOAD_UDP_GRO)
        ask_for_gro(fd);
    listener->pollable = (struct gw_pollable){ GW_POLL_UDP, .fd = fd };
    listener->index = (uint16_t)port->count;
    listener->port = ntohs(name.sin6_port);   /* sockaddr_in has it at the same offset */
    port->sockets[port->count] = (struct gw_udp_socket){ fd, name.sin6_family == AF_INET6 };
    status = gw_worker_watch(worker, &listener->pollable, EPOLLIN);
    if (!status)
        port->count++;
    return status;
}

int gw_udp_port_add(struct gw_worker *worker, int fd)
{
    if (!worker->udp)
        worker->udp = port_new(worker);
    return worker->udp ? adopt(worker, worker->udp, fd) : -ENOMEM;
}

uint32_t gw_udp_port_sockets(const struct gw_worker *worker)
{
    return worker->udp ? worker->udp->count : 0;
}

void gw_udp_port_free(struct gw_worker *worker)
{
    struct gw_udp_port *port = worker->udp;

    if (!port)
        return;
    for (uint32_t i = 0; i < port->count; i++)
        close(port->listeners[i].pollable.fd);
    for (uint32_t i = 0; i < GW_WORKERS_MAX; i++)
        free(port->outgoing[i]);
    gw_path_cache_free(&port->paths);
    free(port);
    worker->udp = NULL;
}
