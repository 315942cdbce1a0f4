/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Inner packets through a gateway of gateway_site.h: a client sends them up, the test puts them into the TUN queue. Each has a mark.
 * Included once, instead of gateway_site.h.
 */
#ifndef TESTS_SITE_PACKETS_H
#define TESTS_SITE_PACKETS_H

#include "gateway_site.h"
#include "tun/queue.h"

#define SIZE 32                     /* of a packet */
#define INNER 1                     /* the name of the client whose packets these are, see open_tunnel */

static bool with_headers;           /* the queue has virtio headers */

static void make_packet(uint8_t packet[SIZE], bool up, uint8_t mark)
{
    static const uint8_t client[4] = { 10, 0, 0, INNER }, host[4] = { 192, 0, 2, 1 };
    uint32_t sum = 0;

    memset(packet, 0, SIZE);
    packet[0] = 0x45, packet[3] = SIZE, packet[8] = 64, packet[9] = 17;
    memcpy(packet + 12, up ? client : host, 4);
    memcpy(packet + 16, up ? host : client, 4);
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)packet[i] << 8 | packet[i + 1];
    sum = ~((sum & 0xffff) + (sum >> 16));
    packet[10] = (uint8_t)(sum >> 8), packet[11] = (uint8_t)sum;
    packet[21] = 53, packet[23] = 53, packet[25] = SIZE - 20;
    packet[SIZE - 1] = mark;
}

static bool send_up(WOLFSSL *ssl, uint8_t mark)
{
    uint8_t frame[8 + SIZE] = "STF\1\0\40";

    make_packet(frame + 8, true, mark);
    return wolfSSL_write(ssl, frame, sizeof(frame)) == (int)sizeof(frame);
}

static bool send_down(const struct site *site, uint8_t mark)
{
    uint8_t packet[GW_VNET_HEADER + SIZE] = { 0 };
    size_t header = with_headers ? GW_VNET_HEADER : 0;

    make_packet(packet + header, false, mark);
    return send(site->tun[0], packet, header + SIZE, 0) == (ssize_t)(header + SIZE);
}

#endif
