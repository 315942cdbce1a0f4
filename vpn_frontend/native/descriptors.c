/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Descriptors that a gateway takes over before it starts, on Python's threads.
 */
#include "dtls/udp_port.h"
#include "tun/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static uint16_t local_port(int fd)
{
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &size))
        return 0;
    return ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                              : ((struct sockaddr_in6 *)&address)->sin6_port);
}

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int gw_add_listener(gw *g, uint32_t worker_index, int fd)
{
    const int on = 1;
    struct gw_worker *worker;
    struct gw_listener *listener;
    int status;

    if (g->running || worker_index >= g->config.workers)
        return -EINVAL;
    worker = g->workers[worker_index];
    if (worker->listener_count == GW_LISTENERS_MAX)
        return -ENOSPC;
    listener = &worker->listeners[worker->listener_count];
    listener->pollable = (struct gw_pollable){ GW_POLL_LISTENER, .fd = fd };
    listener->port = local_port(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  /* connections inherit it: output is batched here, not in the kernel */
    status = set_nonblocking(fd);
    if (!status)
        status = gw_worker_watch(worker, &listener->pollable, EPOLLIN);
    if (!status)
        worker->listener_count++;
    return status;
}

int gw_add_tun(gw *g, uint32_t worker_index, int fd)
{
    struct gw_worker *worker;
    int status;

    if (g->running || worker_index >= g->config.workers)
        return -EINVAL;
    worker = g->workers[worker_index];
    status = set_nonblocking(fd);
    return status ? status : gw_tun_add(worker, fd, g->config.offloads);
}

int gw_set_signer(gw *g, uint32_t worker_index, int fd)
{
    struct gw_worker *worker;
    int status;

    if (g->running || worker_index >= g->config.workers)
        return -EINVAL;
    worker = g->workers[worker_index];
    if (worker->signer.fd >= 0)
        return -EEXIST;
    worker->signer_pollable = (struct gw_pollable){ GW_POLL_SIGNER, .fd = fd };
    status = gw_worker_watch(worker, &worker->signer_pollable, EPOLLIN);
    if (!status)
        worker->signer.fd = fd;
    return status;
}

int gw_add_udp(gw *g, uint32_t worker, int fd)
{
    int status;

    if (g->running || worker >= g->config.workers)
        return -EINVAL;
    status = set_nonblocking(fd);
    return status ? status : gw_udp_port_add(g->workers[worker], fd);
}
