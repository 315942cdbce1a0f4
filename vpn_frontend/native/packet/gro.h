/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The contrary of segments.h: packets of one TCP or UDP flow that follow each other within a turn of the loop become one
 * large packet, so that the kernel walks its stack once for all of them. Merged is only what the kernel would take apart
 * again into the very same packets: equal headers but for length, identification, sequence number and checksum, those
 * in step, and checksums that were right. Order within a flow is kept. Acknowledgements without data cannot be merged so: there
 * the last may stand for those before it (acknowledgement.h).
 */
#ifndef VPN_FRONTEND_COALESCER_H
#define VPN_FRONTEND_COALESCER_H

#include "packet/ack_filter.h"
#include "packet/gso.h"

#define GW_FLOWS 8u                 /* flows gathered at a time; the oldest leaves when a further one comes */
#define GW_LARGE_MAX 65535u         /* bytes of a large packet, its headers included */

struct gw_flow {
    bool active, closed;            /* closed: nothing more may be appended */
    bool ipv6, udp;
    bool acknowledges;              /* a single acknowledgement, which a later one may stand for */
    uint16_t each, count;           /* payload bytes of each packet but the last; packets */
    uint32_t next_sequence;
    size_t transport, headers, size;
    uint32_t first_number;          /* acknowledged by the first of those that `ack` stands for */
    struct gw_ack ack;
    uint8_t *packet;                /* GW_LARGE_MAX bytes */
};

struct gw_gro {
    bool tcp, udp;                  /* what may be merged */
    bool acks;                      /* and whether acknowledgements may stand for earlier ones, where tcp is merged */
    uint64_t superseded;            /* acknowledgements that did not leave, as a later one said all they did */
    uint32_t turn;                  /* which flow leaves next when all are active */
    struct gw_flow flows[GW_FLOWS];
    uint8_t *memory;
    /* Where packets leave to. `header` says what they are made of. */
    void (*emit)(void *owner, const struct virtio_net_hdr *header, const uint8_t *packet, size_t size);
    void *owner;
};

int gw_gro_init(struct gw_gro *gro, void (*emit)(void *, const struct virtio_net_hdr *, const uint8_t *, size_t),
                      void *owner);
void gw_gro_free(struct gw_gro *gro);
/* A whole IP packet that was checked (gw_inner_read). It leaves now, or with its flow. */
void gw_gro_take(struct gw_gro *gro, const uint8_t *packet, size_t size);
/* Everything leaves. */
void gw_gro_flush(struct gw_gro *gro);

#endif
