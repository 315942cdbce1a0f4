/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "packet/gro.h"

#include "packet/checksum.h"
#include "packet/ip_header.h"
#include "wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#define UDP_SEGMENTS_MAX 64u        /* the kernel's limit for one UDP_L4 packet (UDP_MAX_SEGMENTS) */

/* A parsed packet. */
struct candidate {
    const uint8_t *packet;
    size_t size, transport, headers;
    bool ipv6, udp;
    bool mergeable;
    bool acknowledges;              /* an ACK without data: not mergeable, but replaceable */
    struct gw_ack ack;
};

static bool is_extension(uint8_t protocol)
{
    return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_FRAGMENT ||
           protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_AH || protocol == IPPROTO_MH;
}

static uint64_t pseudo_sum(const struct candidate *c)
{
    uint8_t protocol = c->udp ? IPPROTO_UDP : IPPROTO_TCP;
    size_t length = c->size - c->transport;

    return c->ipv6 ? gw_sum_pseudo(c->packet + 8, 32, protocol, length) : gw_sum_pseudo(c->packet + 12, 8, protocol, length);
}

static bool has_right_checksum(const struct candidate *c)
{
    if (!c->ipv6 && gw_sum_fold(gw_sum(0, c->packet, c->transport)) != 0xffff)
        return false;
    if (c->udp && gw_read16(c->packet + c->transport + 6) == 0)
        return false;               /* no checksum: segments would get one */
    return gw_sum_fold(gw_sum(pseudo_sum(c), c->packet + c->transport, c->size - c->transport)) == 0xffff;
}

enum kind {
    FLOW,                           /* one of a TCP or UDP flow */
    OTHER,                          /* of a flow that is not merged */
    ODD,                            /* fragments, IP options, extension headers: the flow is unknown */
};

/* Parses the packet. Mergeable: no IP options, data, no flags but ACK and PSH. */
static enum kind classify(const struct gw_gro *g, const uint8_t *packet, size_t size, struct candidate *c)
{
    uint8_t protocol;

    *c = (struct candidate){ .packet = packet, .size = size, .ipv6 = packet[0] >> 4 == 6 };
    c->transport = c->ipv6 ? IPV6_HEADER : IPV4_HEADER;
    protocol = packet[c->ipv6 ? 6 : 9];
    if (c->ipv6 ? is_extension(protocol) : packet[0] != 0x45 || gw_read16(packet + 6) & 0xbfff)
        return ODD;
    c->udp = protocol == IPPROTO_UDP;
    if (!(c->udp ? g->udp : g->tcp && protocol == IPPROTO_TCP))
        return OTHER;
    c->headers = c->transport + (c->udp ? UDP_HEADER : TCP_HEADER);
    if (size < c->headers)
        return ODD;
    if (c->udp) {
        c->mergeable = size > c->headers && gw_read16(packet + c->transport + 4) == size - c->transport;
    } else {
        c->headers = c->transport + (size_t)(packet[c->transport + 12] >> 4) * 4;
        c->mergeable = c->headers >= c->transport + TCP_HEADER && size > c->headers &&
                       (packet[c->transport + 13] & ~TCP_PSH) == TCP_ACK && !(packet[c->transport + 12] & 15);
    }
    c->acknowledges = g->acks && !c->udp && c->headers == size &&
                      gw_ack_read(packet + c->transport, size - c->transport, &c->ack) && has_right_checksum(c);
    c->mergeable = c->mergeable && has_right_checksum(c);
    return FLOW;
}

static bool same_flow(const struct gw_flow *f, const struct candidate *c)
{
    size_t addresses = c->ipv6 ? 8 : 12, size = c->ipv6 ? 32 : 8;

    return f->active && f->ipv6 == c->ipv6 && f->udp == c->udp &&
           memcmp(f->packet + f->transport, c->packet + c->transport, 4) == 0 &&
           memcmp(f->packet + addresses, c->packet + addresses, size) == 0;
}

/* True if the IP headers are equal but for length, identification and checksum. */
static bool same_ip(const struct gw_flow *f, const struct candidate *c)
{
    if (c->ipv6)                    /* version, class, flow label, next header, hop limit */
        return memcmp(f->packet, c->packet, 4) == 0 && memcmp(f->packet + 6, c->packet + 6, 2) == 0;
    return f->packet[1] == c->packet[1] && memcmp(f->packet + 6, c->packet + 6, 3) == 0;
}

static bool in_sequence(const struct gw_flow *f, const struct candidate *c)
{
    return c->ipv6 || (uint16_t)(gw_read16(f->packet + 4) + f->count) == gw_read16(c->packet + 4);
}

static bool same_tcp(const struct gw_flow *f, const struct candidate *c)
{
    const uint8_t *first = f->packet + f->transport, *next = c->packet + c->transport;

    return f->headers == c->headers && gw_read32(next + 4) == f->next_sequence &&
           memcmp(first + 8, next + 8, 5) == 0 &&           /* acknowledgement, header length */
           memcmp(first + 14, next + 14, 2) == 0 &&         /* window */
           memcmp(first + 18, next + 18, c->headers - c->transport - 18) == 0;
}

static bool can_append(const struct gw_flow *f, const struct candidate *c)
{
    size_t payload = c->size - c->headers;

    if (f->closed || !c->mergeable || payload > f->each || f->size + payload > GW_LARGE_MAX || !same_ip(f, c) || !in_sequence(f, c))
        return false;
    return c->udp ? f->count < UDP_SEGMENTS_MAX : same_tcp(f, c);
}

static bool can_replace(const struct gw_gro *g, const struct gw_flow *f, const struct candidate *c)
{
    return f->acknowledges && c->acknowledges && same_ip(f, c) && gw_ack_supersedes(&f->ack, &c->ack, g->loss) &&
           c->ack.number - f->first_number <= GW_ACK_STRETCH;
}

static void replace(struct gw_gro *g, struct gw_flow *f, const struct candidate *c)
{
    memcpy(f->packet, c->packet, c->size);
    f->headers = c->headers;
    f->size = c->size;
    f->ack = c->ack;
    g->superseded++;
}

static void append(struct gw_flow *f, const struct candidate *c)
{
    size_t payload = c->size - c->headers;

    memcpy(f->packet + f->size, c->packet + c->headers, payload);
    f->size += payload;
    f->next_sequence += (uint32_t)payload;
    f->count++;
    if (!c->udp)
        f->packet[f->transport + 13] |= c->packet[c->transport + 13] & TCP_PSH;
    f->closed = payload < f->each || (!c->udp && c->packet[c->transport + 13] & TCP_PSH);
}

static void begin(struct gw_flow *f, const struct candidate *c)
{
    uint8_t *memory = f->packet;
    size_t payload = c->size - c->headers;

    memcpy(memory, c->packet, c->size);
    *f = (struct gw_flow){
        .active = true,
        .closed = !c->udp && c->packet[c->transport + 13] & TCP_PSH,
        .acknowledges = c->acknowledges,
        .ipv6 = c->ipv6,
        .udp = c->udp,
        .each = (uint16_t)payload,
        .count = 1,
        .first_number = c->ack.number,
        .ack = c->ack,
        .next_sequence = c->udp ? 0 : gw_read32(c->packet + c->transport + 4) + (uint32_t)payload,
        .transport = c->transport,
        .headers = c->headers,
        .size = c->size,
        .packet = memory,
    };
}

/* Writes lengths and checksums of a merged packet. The transport's is the sum of the pseudo header: the kernel completes it. */
static void finish(struct gw_flow *f, struct virtio_net_hdr *header)
{
    struct candidate whole = { .packet = f->packet, .size = f->size, .transport = f->transport, .ipv6 = f->ipv6, .udp = f->udp };
    uint16_t sum;

    if (f->ipv6) {
        gw_write16(f->packet + 4, f->size - IPV6_HEADER);
    } else {
        gw_write16(f->packet + 2, f->size);
        memset(f->packet + 10, 0, 2);
        gw_sum_store(f->packet + 10, gw_sum(0, f->packet, f->transport));
    }
    if (f->udp)
        gw_write16(f->packet + f->transport + 4, f->size - f->transport);
    header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    header->gso_type = f->udp ? VIRTIO_NET_HDR_GSO_UDP_L4 : f->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
    header->gso_size = f->each;
    header->hdr_len = (uint16_t)f->headers;
    header->csum_start = (uint16_t)f->transport;
    header->csum_offset = f->udp ? UDP_CHECKSUM : TCP_CHECKSUM;
    sum = gw_sum_fold(pseudo_sum(&whole));
    memcpy(f->packet + f->transport + header->csum_offset, &sum, 2);
}

static void emit_flow(struct gw_gro *g, struct gw_flow *f)
{
    struct virtio_net_hdr header = { 0 };

    if (f->count > 1)
        finish(f, &header);
    f->active = false;
    g->emit(g->owner, &header, f->packet, f->size);
}

static struct gw_flow *slot_for_new(struct gw_gro *g)
{
    for (uint32_t i = 0; i < GW_FLOWS; i++)
        if (!g->flows[i].active)
            return &g->flows[i];
    g->turn = (g->turn + 1) % GW_FLOWS;
    emit_flow(g, &g->flows[g->turn]);
    return &g->flows[g->turn];
}

void gw_gro_take(struct gw_gro *g, const uint8_t *packet, size_t size)
{
    const struct virtio_net_hdr plain = { 0 };
    struct candidate c;
    enum kind kind = classify(g, packet, size, &c);

    if (kind == ODD)
        gw_gro_flush(g);
    for (uint32_t i = 0; i < GW_FLOWS && kind == FLOW; i++) {
        if (!same_flow(&g->flows[i], &c))
            continue;
        if (can_append(&g->flows[i], &c)) {
            append(&g->flows[i], &c);
            return;
        }
        if (can_replace(g, &g->flows[i], &c)) {
            replace(g, &g->flows[i], &c);
            return;
        }
        emit_flow(g, &g->flows[i]);
        break;
    }
    if (c.mergeable || c.acknowledges)
        begin(slot_for_new(g), &c);
    else
        g->emit(g->owner, &plain, packet, size);
}

void gw_gro_flush(struct gw_gro *g)
{
    for (uint32_t i = 0; i < GW_FLOWS; i++)
        if (g->flows[i].active)
            emit_flow(g, &g->flows[i]);
}

int gw_gro_init(struct gw_gro *g, void (*emit)(void *, const struct virtio_net_hdr *, const uint8_t *, size_t),
                void *owner)
{
    memset(g, 0, sizeof(*g));
    g->memory = malloc((size_t)GW_FLOWS * (GW_LARGE_MAX + 1));
    if (!g->memory)
        return -ENOMEM;
    for (uint32_t i = 0; i < GW_FLOWS; i++)
        g->flows[i].packet = g->memory + (size_t)i * (GW_LARGE_MAX + 1);
    g->emit = emit;
    g->owner = owner;
    return 0;
}

void gw_gro_free(struct gw_gro *g)
{
    free(g->memory);
    g->memory = NULL;
}
