/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fuzz-sources: vpn_frontend/native/packet/inner_packet.c vpn_frontend/native/packet/gro.c vpn_frontend/native/packet/ack_filter.c */
/* fuzz-sources: vpn_frontend/native/packet/gso.c vpn_frontend/native/packet/checksum.c */
/* Packets of clients: what passes the checks is merged and split again, and must come out as what went in. What the TUN
 * queue hands over is split, whatever its header says. Input: a byte that chooses, then packets (16 bits of size, bytes). */
#include "packet/gro.h"
#include "packet/inner_packet.h"

#include <stdlib.h>
#include <string.h>

static uint64_t in_digest, out_digest;      /* sums over packets, so that flows may pass each other */
static uint8_t part[65535];

static uint64_t digest(const uint8_t *packet, size_t size)
{
    uint64_t value = size;

    for (size_t i = 0; i < size; i++)
        value = (value ^ packet[i]) * UINT64_C(0x100000001b3);
    return value;
}

static void emit(void *owner, const struct virtio_net_hdr *header, const uint8_t *packet, size_t size)
{
    struct gw_gso gso;
    size_t got;

    (void)owner;
    if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
        out_digest += digest(packet, size);
        return;
    }
    if (gw_gso_begin(&gso, header, packet, size))
        abort();
    while ((got = gw_gso_next(&gso, part, sizeof(part))))
        out_digest += digest(part, got);
}

static void from_client(struct gw_gro *gro, const uint8_t *packet, size_t size)
{
    struct gw_inner inner;

    if (gw_inner_read(packet, size, &inner) != GW_INNER_OK)
        return;
    in_digest += digest(packet, size);
    gw_gro_take(gro, packet, size);
}

static void from_queue(uint8_t *data, size_t size)
{
    struct virtio_net_hdr header = { 0 };
    struct gw_gso gso;
    size_t got, total = 0;

    if (size < GW_VNET_HEADER)
        return;
    memcpy(&header, data, GW_VNET_HEADER);
    gw_checksum_complete(&header, data + GW_VNET_HEADER, size - GW_VNET_HEADER);
    if (gw_gso_begin(&gso, &header, data + GW_VNET_HEADER, size - GW_VNET_HEADER))
        return;
    while ((got = gw_gso_next(&gso, part, sizeof(part))))
        total += got - gso.headers;
    if (total != gso.payload)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_gro gro;
    int choice;

    if (!size || gw_gro_init(&gro, emit, NULL))
        return 0;
    choice = *data++;
    size--;
    gro.tcp = choice & 1;
    gro.udp = choice & 2;
    in_digest = out_digest = 0;
    while (size >= 2) {
        size_t length = (size_t)data[0] << 8 | data[1];
        uint8_t *packet;

        data += 2;
        size -= 2;
        length = length < size ? length : size;
        packet = malloc(length ? length : 1);
        memcpy(packet, data, length);
        if (choice & 4)
            from_queue(packet, length);
        else
            from_client(&gro, packet, length);
        free(packet);
        data += length;
        size -= length;
    }
    gw_gro_flush(&gro);
    gw_gro_free(&gro);
    if (in_digest != out_digest)
        abort();
    return 0;
}
