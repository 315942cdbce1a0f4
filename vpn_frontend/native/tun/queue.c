/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tun/queue.h"

#include "packet/gso.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20             /* linux 6.2 */
#define TUN_F_USO6 0x40
#endif

static int set_offloads(int fd, unsigned int wanted)
{
    return ioctl(fd, TUNSETOFFLOAD, wanted) ? -errno : 0;
}

/* Sets and returns the offloads that kernel and operator allow. USO needs Linux 6.2; without TSO the queue has plain packets. */
static uint32_t negotiate(int fd, uint32_t allowed)
{
    const unsigned int tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, uso = TUN_F_USO4 | TUN_F_USO6;

    if (allowed & GW_OFFLOAD_TSO && allowed & GW_OFFLOAD_USO && set_offloads(fd, tso | uso) == 0)
        return allowed;
    if (allowed & GW_OFFLOAD_TSO && set_offloads(fd, tso) == 0)
        return allowed & ~(uint32_t)GW_OFFLOAD_USO;
    set_offloads(fd, 0);
    return allowed & ~(uint32_t)(GW_OFFLOAD_TSO | GW_OFFLOAD_USO | GW_OFFLOAD_COALESCE);
}

static void write_out(void *owner, const struct virtio_net_hdr *header, const uint8_t *packet, size_t size);

/* 0 or a negative errno. */
static int begin_offloads(struct gw_worker *worker, struct gw_tun_queue *queue, uint32_t allowed)
{
    int fd = queue->pollable.fd, header_size = GW_VNET_HEADER;
    struct ifreq request = { 0 };
    uint32_t offloads;

    worker->vnet = ioctl(fd, TUNGETIFF, &request) == 0 && request.ifr_flags & IFF_VNET_HDR;
    if (!worker->vnet)
        return 0;
    if (ioctl(fd, TUNSETVNETHDRSZ, &header_size))
        return -errno;
    offloads = negotiate(fd, allowed);
    if (gw_gro_init(&queue->gro, write_out, queue))
        return -ENOMEM;
    queue->gro.tcp = offloads & GW_OFFLOAD_COALESCE;
    queue->gro.acks = offloads & GW_OFFLOAD_ACKS;
    queue->gro.udp = offloads & GW_OFFLOAD_COALESCE && offloads & GW_OFFLOAD_USO;
    return 0;
}

int gw_tun_add(struct gw_worker *worker, int fd, uint32_t allowed)
{
    struct gw_tun_queue *queue = &worker->tuns[worker->tun_count];
    int status;

    if (worker->tun_count == GW_TUN_QUEUES)
        return -ENOSPC;
    *queue = (struct gw_tun_queue){ .pollable = { GW_POLL_TUN, .fd = fd }, .worker = worker };
    status = begin_offloads(worker, queue, allowed);
    if (!status)
        status = gw_worker_watch(worker, &queue->pollable, EPOLLIN);
    if (status)
        gw_gro_free(&queue->gro);
    else if (!worker->tun_count++)
        worker->busy_links.answers = &queue->pollable;
    return status;
}

static void unwatch(struct gw_worker *worker)
{
    for (uint32_t i = 0; i < worker->tun_count; i++)
        gw_link_unwatch(&worker->busy_links, &worker->tuns[i].pollable);
}

void gw_tun_failed(struct gw_worker *worker, int error)
{
    const struct gw_event event = { .kind = GW_TUN_DOWN };

    if (worker->tun_lost || (error != EBADFD && error != ENODEV && error != EFAULT))
        return;                     /* EFAULT: read by a thread that waited in the kernel while the device went */
    worker->tun_lost = true;
    unwatch(worker);
    gw_count(worker, GW_STAT_tun_lost);
    gw_event_push(&worker->gateway->events, &event, NULL, false);
}

static void report_reads(struct gw_worker *worker, int error)
{
    const struct gw_event event = { .kind = GW_TUN_FAILING, .connection = worker->index, .error = (uint32_t)error };

    gw_event_push(&worker->gateway->events, &event, NULL, false);
}

static bool other_fails(const struct gw_tun_queue *queue)
{
    const struct gw_worker *worker = queue->worker;

    for (uint32_t i = 0; i < worker->tun_count; i++)
        if (&worker->tuns[i] != queue && worker->tuns[i].failures >= GW_TUN_FAILURES)
            return true;
    return false;
}

void gw_tun_read_failed(struct gw_tun_queue *queue, int error)
{
    struct gw_worker *worker = queue->worker;

    gw_tun_failed(worker, error);
    if (worker->tun_lost || ++queue->failures < GW_TUN_FAILURES)
        return;
    if (queue->failures > GW_TUN_FAILURES)
        queue->failures = GW_TUN_FAILURES + 1;
    else if (!other_fails(queue))
        report_reads(worker, error);
    queue->paused = worker->tun_paused = true;
    gw_link_unwatch(&worker->busy_links, &queue->pollable);
}

void gw_tun_recovered(struct gw_tun_queue *queue)
{
    if (queue->failures >= GW_TUN_FAILURES && !other_fails(queue))
        report_reads(queue->worker, 0);
    queue->failures = 0;
}

void gw_tun_tick(struct gw_worker *worker)
{
    if (!worker->tun_paused || worker->tun_lost)
        return;
    worker->tun_paused = false;
    for (uint32_t i = 0; i < worker->tun_count; i++) {
        struct gw_tun_queue *queue = &worker->tuns[i];

        queue->paused = queue->paused && gw_worker_watch(worker, &queue->pollable, EPOLLIN);
        worker->tun_paused |= queue->paused;
    }
}

static int write_one(struct gw_tun_queue *queue, const struct virtio_net_hdr *header, const uint8_t *packet, size_t size)
{
    struct iovec parts[2] = {
        { .iov_base = (void *)(uintptr_t)header, .iov_len = GW_VNET_HEADER },
        { .iov_base = (void *)(uintptr_t)packet, .iov_len = size },
    };
    ssize_t written;
    int error;

    queue->written = true;
    do
        written = queue->worker->vnet ? writev(queue->pollable.fd, parts, 2) : write(queue->pollable.fd, packet, size);
    while (written < 0 && errno == EINTR);
    if (written >= 0)
        return 0;
    error = errno;
    gw_tun_failed(queue->worker, error);
    return -error;
}

/* Some kernels refuse merged packets that others take (torvalds/linux e269d79c7d35). From then on packets are written singly. */
static void write_apart(struct gw_tun_queue *queue, const struct virtio_net_hdr *header, const uint8_t *packet, size_t size)
{
    const struct virtio_net_hdr plain = { 0 };
    struct gw_worker *worker = queue->worker;
    uint8_t *out = worker->packet + GW_HEADROOM;
    struct gw_gso gso;
    size_t part;

    if (header->gso_type == VIRTIO_NET_HDR_GSO_UDP_L4)
        queue->gro.udp = false;
    else
        queue->gro.tcp = false;
    gw_count(worker, GW_STAT_offload_refused);
    if (gw_gso_begin(&gso, header, packet, size))
        return;
    while ((part = gw_gso_next(&gso, out, GW_PACKET_MAX)))
        if (write_one(queue, &plain, out, part))
            gw_count(worker, GW_STAT_rx_tun_full);
}

static void write_out(void *owner, const struct virtio_net_hdr *header, const uint8_t *packet, size_t size)
{
    struct gw_tun_queue *queue = owner;
    int status = write_one(queue, header, packet, size);

    if (status == -EINVAL && header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
        write_apart(queue, header, packet, size);
    else if (status)
        gw_count(queue->worker, GW_STAT_rx_tun_full);
}

/* A client that came back with another MTU may keep its device, and its connections their segments, at the first one. */
static uint32_t largest_packet(const struct gw_session *session)
{
    return session->config.mtu > session->mtu ? session->config.mtu : session->mtu;
}

/* The queue for a packet of the session. What GRO holds of it for the other one leaves first: the kernel handles packets in the order
 * of the writes, whatever queue they are written to. */
static struct gw_tun_queue *choose(struct gw_worker *worker, struct gw_session *session)
{
    bool second = worker->tun_count > 1 && worker->now < session->rate.busy_until;

    if (second != session->second_queue) {
        if (worker->vnet)
            gw_gro_flush(&worker->tuns[session->second_queue].gro);
        session->second_queue = second;
    }
    return &worker->tuns[second];
}

void gw_tun_write(struct gw_worker *worker, struct gw_session *session, const uint8_t *packet, size_t size)
{
    const struct virtio_net_hdr plain = { 0 };
    struct gw_tun_queue *queue;

    if (!worker->tun_count) {
        gw_count(worker, GW_STAT_rx_tun_full);
        return;
    }
    queue = choose(worker, session);
    if (worker->vnet) {
        queue->gro.loss = 3 * largest_packet(session);
        gw_gro_take(&queue->gro, packet, size);
    } else {
        write_out(queue, &plain, packet, size);
    }
}

void gw_tun_flush(struct gw_worker *worker)
{
    uint64_t superseded = 0;

    if (!worker->vnet)
        return;
    for (uint32_t i = 0; i < worker->tun_count; i++) {
        gw_gro_flush(&worker->tuns[i].gro);
        superseded += worker->tuns[i].gro.superseded;
    }
    __atomic_store_n(&worker->stats[GW_STAT_rx_acks_superseded], superseded, __ATOMIC_RELAXED);
}
