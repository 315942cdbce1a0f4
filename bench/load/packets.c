/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "packets.h"

#include "job.h"

#include <string.h>

/* Adds an even number of bytes to `sum`. */
static uint16_t checksum(uint32_t sum, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)(data[i] << 8 | data[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void store16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

void packet_fill(uint8_t *packet, uint16_t size, uint32_t source)
{
    uint16_t port = job.port;

    memset(packet, 0x5a, size);
    memcpy(packet, (uint8_t[]){ 0x45, 0, (uint8_t)(size >> 8), (uint8_t)size, 0, 0, 0x40, 0, 64, 17, 0, 0 }, 12);
    memcpy(packet + 12, &source, 4);
    memcpy(packet + 16, &job.inner, 4);
    store16(packet + 10, checksum(0, packet, 20));
    size = (uint16_t)(size - 20);
    memcpy(packet + 20, (uint8_t[]){ 0x30, 0x39, (uint8_t)(port >> 8), (uint8_t)port, (uint8_t)(size >> 8), (uint8_t)size, 0, 0 },
           8);
}

void packet_sign(uint8_t *packet)
{
    store16(packet + 26, checksum(IPPROTO_UDP + PACKET - 20, packet + 12, PACKET - 12));
}

void packet_number(uint8_t *packet, uint16_t identification)
{
    store16(packet + 4, identification);
    store16(packet + 10, 0);
    store16(packet + 10, checksum(0, packet, 20));
}
