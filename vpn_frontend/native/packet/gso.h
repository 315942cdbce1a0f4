/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Generic segmentation offload (GSO): splits large packets of the kernel. A TUN queue with IFF_VNET_HDR delivers up to 64 KiB of
 * one TCP or UDP flow at once (TSO, USO). From it the packets that would have been on the wire are made, one after the other.
 */
#ifndef VPN_FRONTEND_GSO_H
#define VPN_FRONTEND_GSO_H

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
    size_t payload, at;             /* bytes of payload, and how many of them are done */
    uint16_t each, index;
    bool ipv6, udp;
};

/* Completes the checksum that the kernel has left open. -EINVAL: its place is outside the packet. */
int gw_checksum_complete(const struct virtio_net_hdr *header, uint8_t *packet, size_t size);
/* 0, or -EINVAL: not a large TCP or UDP packet. The packet must outlive the iteration. */
int gw_gso_begin(struct gw_gso *gso, const struct virtio_net_hdr *header, const uint8_t *packet, size_t size);
/* Writes the next packet to `out`. Returns its size; 0: none is left, or it exceeds `capacity`. */
size_t gw_gso_next(struct gw_gso *gso, uint8_t *out, size_t capacity);

#endif
