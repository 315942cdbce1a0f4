/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tun/queue.h"

#include "tunnel/cstp_channel.h"
#include "runtime/handoff.h"
#include "packet/inner_packet.h"
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

#define READS_PER_TURN 64
#define BYTES_PER_TURN 262144u      /* read at once, so that other connections get their turn */

static int set_offloads(int fd, unsigned int wanted)
{
    return ioctl(fd, TUNSETOFFLOAD, wanted) ? -errno : 0;
}

/* The most that kernel and operator allow: USO came with linux 6.2, without TSO the queue carries plain packets. */
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

int gw_tun_init(struct gw_worker *worker, int fd, uint32_t allowed)
{
    int header_size = GW_VNET_HEADER;
    struct ifreq request = { 0 };
    uint32_t offloads;

    worker->vnet = ioctl(fd, TUNGETIFF, &request) == 0 && request.ifr_flags & IFF_VNET_HDR;
    if (!worker->vnet)
        return 0;
    if (ioctl(fd, TUNSETVNETHDRSZ, &header_size))
        return -errno;
    offloads = negotiate(fd, allowed);
    if (gw_gro_init(&worker->gro, write_out, worker))
        return -ENOMEM;
    worker->gro.tcp = offloads & GW_OFFLOAD_COALESCE;
    worker->gro.acks = offloads & GW_OFFLOAD_ACKS;
    worker->gro.udp = offloads & GW_OFFLOAD_COALESCE && offloads & GW_OFFLOAD_USO;
    return 0;
}

/* Whose it is; 0: nobody's, counted. */
static uint64_t find_owner(struct gw_worker *worker, const uint8_t *packet, size_t size, struct gw_inner *inner)
{
    uint64_t id;

    if (gw_inner_read(packet, size, inner) == GW_STAT_rx_malformed) {
        gw_count(worker, GW_STAT_tx_malformed);
        return 0;
    }
    id = gw_address_table_find(&worker->addresses, inner->destination);
    if (!id)
        gw_count(worker, GW_STAT_tx_no_session);
    return id;
}

static void deliver(struct gw_worker *worker, uint64_t id, uint8_t *packet, size_t size, bool control)
{
    struct gw_session *session = gw_session_find(worker, id);
    uint32_t home;

    if (session)
        gw_downlink_deliver(worker, session, packet, size, control);
    else if (gw_session_locate(worker, id, &home))
        gw_handoff_add(worker, home, id, packet, size);
    else
        gw_count(worker, GW_STAT_tx_no_session);
}

static void deliver_segments(struct gw_worker *worker, uint64_t id, const struct virtio_net_hdr *header, const uint8_t *packet,
                             size_t size)
{
    uint8_t *out = worker->packet + GW_HEADROOM;
    struct gw_gso segments;
    size_t part;

    if (gw_gso_begin(&segments, header, packet, size)) {
        gw_count(worker, GW_STAT_tx_malformed);
        return;
    }
    while ((part = gw_gso_next(&segments, out, GW_PACKET_MAX)))
        deliver(worker, id, out, part, false);
}

static void take(struct gw_worker *worker, uint8_t *packet, size_t size)
{
    struct virtio_net_hdr header = { 0 };
    struct gw_inner inner;
    uint64_t id = find_owner(worker, packet, size, &inner);

    if (!id)
        return;
    if (worker->vnet)
        memcpy(&header, packet - GW_VNET_HEADER, GW_VNET_HEADER);
    if (header.gso_type != VIRTIO_NET_HDR_GSO_NONE)
        deliver_segments(worker, id, &header, packet, size);
    else if (gw_checksum_complete(&header, packet, size))
        gw_count(worker, GW_STAT_tx_malformed);
    else
        deliver(worker, id, packet, size, inner.control);
}

void gw_downlink_ready(struct gw_worker *worker)
{
    size_t extra = worker->vnet ? GW_VNET_HEADER : 0, total = 0;
    uint8_t *packet = worker->large + GW_HEADROOM;

    for (int i = 0; i < READS_PER_TURN && total < BYTES_PER_TURN; i++) {
        ssize_t size = read(worker->tun.fd, packet - extra, GW_PACKET_MAX + extra);

        if (size > (ssize_t)extra) {
            take(worker, packet, (size_t)size - extra);
            total += (size_t)size;
        } else if (size >= 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) {
            epoll_ctl(worker->epoll, EPOLL_CTL_DEL, worker->tun.fd, NULL);  /* the device is gone */
            return;
        } else if (errno != EINTR) {
            return;
        }
    }
}

static int write_one(struct gw_worker *worker, const struct virtio_net_hdr *header, const uint8_t *packet, size_t size)
{
    struct iovec parts[2] = {
        { .iov_base = (void *)(uintptr_t)header, .iov_len = GW_VNET_HEADER },
        { .iov_base = (void *)(uintptr_t)packet, .iov_len = size },
    };
    ssize_t written;

    if (worker->tun.fd < 0)
        return -ENODEV;
    worker->tun_written = true;
    do
        written = worker->vnet ? writev(worker->tun.fd, parts, 2) : write(worker->tun.fd, packet, size);
    while (written < 0 && errno == EINTR);
    if (written >= 0)
        return 0;
    return -errno;
}

/* Some kernels refuse merged packets that others take (torvalds/linux e269d79c7d35): then this one gets them one by one. */
static void write_apart(struct gw_worker *worker, const struct virtio_net_hdr *header, const uint8_t *packet, size_t size)
{
    const struct virtio_net_hdr plain = { 0 };
    uint8_t *out = worker->packet + GW_HEADROOM;
    struct gw_gso segments;
    size_t part;

    if (header->gso_type == VIRTIO_NET_HDR_GSO_UDP_L4)
        worker->gro.udp = false;
    else
        worker->gro.tcp = false;
    gw_count(worker, GW_STAT_offload_refused);
    if (gw_gso_begin(&segments, header, packet, size))
        return;
    while ((part = gw_gso_next(&segments, out, GW_PACKET_MAX)))
        if (write_one(worker, &plain, out, part))
            gw_count(worker, GW_STAT_rx_tun_full);
}

static void write_out(void *owner, const struct virtio_net_hdr *header, const uint8_t *packet, size_t size)
{
    struct gw_worker *worker = owner;
    int status = write_one(worker, header, packet, size);

    if (status == -EINVAL && header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
        write_apart(worker, header, packet, size);
    else if (status)
        gw_count(worker, GW_STAT_rx_tun_full);
}

void gw_tun_write(struct gw_worker *worker, const uint8_t *packet, size_t size)
{
    const struct virtio_net_hdr plain = { 0 };

    if (worker->vnet)
        gw_gro_take(&worker->gro, packet, size);
    else
        write_out(worker, &plain, packet, size);
}

void gw_tun_flush(struct gw_worker *worker)
{
    if (!worker->vnet)
        return;
    gw_gro_flush(&worker->gro);
    __atomic_store_n(&worker->stats[GW_STAT_rx_acks_superseded], worker->gro.superseded, __ATOMIC_RELAXED);
}
