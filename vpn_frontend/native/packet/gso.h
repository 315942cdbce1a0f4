/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Large packets of the kernel taken apart: a TUN queue with IFF_VNET_HDR hands over up to 64 KiB of one TCP or UDP flow at
 * once (TSO, USO), from which the packets that the wire would have seen are made here, one after the other.
 */
#ifndef VPN_FRONTEND_SEGMENTS_H
#define VPN_FRONTEND_SEGMENTS_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5     /* linux 6.2 */
#endif

#define GW_VNET_HEADER 10u          /* bytes of struct virtio_net_hdr in front of every packet of the queue */

struct gw_gso {
    const uint8_t *packet;
    size_t transport, headers;      /* where the transport header begins and ends */
    size_t payload, at;             /* bytes of payload, and of those the ones already given out */
    uint16_t each, index;
    bool ipv6, udp;
};

/* Completes the checksum that the kernel left to us; -EINVAL where it points outside the packet. */
int gw_checksum_complete(const struct virtio_net_hdr *header, uint8_t *packet, size_t size);
/* 0, or -EINVAL for what is no large TCP or UDP packet. The packet must stay until the last segment is made. */
int gw_gso_begin(struct gw_gso *segments, const struct virtio_net_hdr *header, const uint8_t *packet, size_t size);
/* Writes the next packet to `out` and returns its size; 0: there is no more, or it exceeds `capacity`. */
size_t gw_gso_next(struct gw_gso *segments, uint8_t *out, size_t capacity);

#endif
