/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Generic receive offload (GRO): consecutive packets of a TCP or UDP flow within a turn are merged to one large packet. The kernel
 * then walks its stack once. Packets are merged only if the kernel would split the result into the same packets again: equal
 * headers but for length, identification, sequence number and checksum; numbers in sequence; correct checksums. Order within a
 * flow is kept. TCP ACKs without data cannot be merged: there the last may replace earlier ones (ack_filter.h).
 */
#ifndef VPN_FRONTEND_GRO_H
#define VPN_FRONTEND_GRO_H

#include "packet/ack_filter.h"
#include "packet/gso.h"

#define GW_FLOWS 8u                 /* flows held at a time; for a further one, one of them is emitted */
#define GW_LARGE_MAX 65535u         /* bytes of a large packet, its headers included */

struct gw_flow {
    bool active, closed;            /* closed: no packet may be appended */
    bool ipv6, udp;
    bool acknowledges;              /* a single ACK, which a later one may replace */
    uint16_t each, count;           /* payload bytes of each packet but the last; number of packets */
    uint32_t next_sequence;
    size_t transport, headers, size;
    uint32_t first_number;          /* acknowledged by the first ACK that `ack` replaces */
    struct gw_ack ack;
    uint8_t *packet;                /* GW_LARGE_MAX bytes */
};

struct gw_gro {
    bool tcp, udp;                  /* what may be merged */
    bool acks;                      /* with tcp: ACKs may replace earlier ones */
    uint32_t loss;                  /* bytes of three segments of the size that the next packet's flow may have */
    uint64_t superseded;            /* ACKs that a later one replaced */
    uint32_t turn;                  /* the flow emitted last because all were active */
    struct gw_flow flows[GW_FLOWS];
    uint8_t *memory;                /* owned; the packets of all flows */
    /* Takes each packet that leaves. `header` describes a merged one. */
    void (*emit)(void *owner, const struct virtio_net_hdr *header, const uint8_t *packet, size_t size);
    void *owner;
};

/* 0 or -ENOMEM. */
int gw_gro_init(struct gw_gro *gro, void (*emit)(void *, const struct virtio_net_hdr *, const uint8_t *, size_t),
                void *owner);
void gw_gro_free(struct gw_gro *gro);
/* Takes a packet that gw_inner_read accepted. It is emitted now, or with its flow. */
void gw_gro_take(struct gw_gro *gro, const uint8_t *packet, size_t size);
/* Emits all flows. */
void gw_gro_flush(struct gw_gro *gro);

#endif
