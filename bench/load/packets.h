/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The packets inside of tunnels, as a kernel's connected socket sends them.
 */
#ifndef BENCH_LOAD_PACKETS_H
#define BENCH_LOAD_PACKETS_H

#include <stdint.h>

/* IPv4 and UDP without a checksum, `size` bytes in all, from `source` (network order) to the job's port of the server's inner
 * address. */
void packet_fill(uint8_t *packet, uint16_t size, uint32_t source);

/* Servers may merge datagrams only if they are as a kernel sends them, which these two see to. */

/* Adds the checksum of UDP to a packet of PACKET bytes; it holds for as long as the payload stays the same. */
void packet_sign(uint8_t *packet);
/* Numbers a packet: each is one more than the one before. */
void packet_number(uint8_t *packet, uint16_t identification);

#endif
