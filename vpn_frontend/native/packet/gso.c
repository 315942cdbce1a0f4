/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "packet/gso.h"

#include "packet/checksum.h"
#include "packet/ip_header.h"
#include "wire.h"

#include <errno.h>
#include <netinet/in.h>

static void store_checksum(uint8_t *at, uint64_t sum, bool udp)
{
    uint16_t value = (uint16_t)~gw_sum_fold(sum);

    if (udp && !value)
        value = 0xffff;             /* RFC 768: zero means none */
    memcpy(at, &value, 2);
}

int gw_checksum_complete(const struct virtio_net_hdr *header, uint8_t *packet, size_t size)
{
    size_t start = header->csum_start, at = start + header->csum_offset;

    if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
        return 0;
    if (start >= size || at + 2 > size)
        return -EINVAL;
    /* The checksum field has the sum of the pseudo header. */
    store_checksum(packet + at, gw_sum(0, packet + start, size - start), header->csum_offset == UDP_CHECKSUM);
    return 0;
}

int gw_gso_begin(struct gw_gso *gso, const struct virtio_net_hdr *header, const uint8_t *packet, size_t size)
{
    uint8_t type = header->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
    size_t transport = header->csum_start, headers;
    bool udp = type == VIRTIO_NET_HDR_GSO_UDP_L4;

    if (!udp && type != VIRTIO_NET_HDR_GSO_TCPV4 && type != VIRTIO_NET_HDR_GSO_TCPV6)
        return -EINVAL;
    if (!size || !header->gso_size || !(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
        return -EINVAL;
    if (transport < (packet[0] >> 4 == 6 ? IPV6_HEADER : IPV4_HEADER) || transport + (udp ? UDP_HEADER : TCP_HEADER) > size)
        return -EINVAL;
    headers = transport + (udp ? UDP_HEADER : (size_t)(packet[transport + 12] >> 4) * 4);
    if (headers < transport + (udp ? UDP_HEADER : TCP_HEADER) || headers >= size)
        return -EINVAL;
    *gso = (struct gw_gso){
        .packet = packet,
        .transport = transport,
        .headers = headers,
        .payload = size - headers,
        .each = header->gso_size,
        .ipv6 = packet[0] >> 4 == 6,
        .udp = udp,
    };
    return 0;
}

static void write_ip(const struct gw_gso *s, uint8_t *out, size_t size)
{
    if (s->ipv6) {
        gw_write16(out + 4, size - IPV6_HEADER);
        return;
    }
    gw_write16(out + 2, size);
    gw_write16(out + 4, (uint16_t)(gw_read16(s->packet + 4) + s->index));
    memset(out + 10, 0, 2);
    store_checksum(out + 10, gw_sum(0, out, s->transport), false);
}

static void write_tcp(const struct gw_gso *s, uint8_t *tcp, bool last)
{
    gw_write32(tcp + 4, gw_read32(s->packet + s->transport + 4) + (uint32_t)s->at);
    if (!last)
        tcp[TCP_FLAGS] &= (uint8_t)~(TCP_FIN | TCP_PSH);
    if (s->index)
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;    /* RFC 3168 section 6.1.2: once */
}

size_t gw_gso_next(struct gw_gso *s, uint8_t *out, size_t capacity)
{
    size_t left = s->payload - s->at, part = left < s->each ? left : s->each;
    size_t size = s->headers + part, length = size - s->transport;
    uint8_t *transport = out + s->transport;
    uint8_t *checksum = transport + (s->udp ? UDP_CHECKSUM : TCP_CHECKSUM);
    uint64_t pseudo;

    if (!left || size > capacity)
        return 0;
    memcpy(out, s->packet, s->headers);
    memcpy(out + s->headers, s->packet + s->headers + s->at, part);
    write_ip(s, out, size);
    if (s->udp)
        gw_write16(transport + 4, length);
    else
        write_tcp(s, transport, part == left);
    pseudo = s->ipv6 ? gw_sum_pseudo(out + 8, 32, s->udp ? IPPROTO_UDP : IPPROTO_TCP, length)
                     : gw_sum_pseudo(out + 12, 8, s->udp ? IPPROTO_UDP : IPPROTO_TCP, length);
    memset(checksum, 0, 2);
    store_checksum(checksum, gw_sum(pseudo, transport, length), s->udp);
    s->at += part;
    s->index++;
    return size;
}
