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

/* Servers may merge datagrams only if they are as a kernel sends them: with a checksum of UDP, which a payload that stays the
 * same keeps (of one of PACKET bytes), ... */
void packet_sign(uint8_t *packet);

/* ... and numbered one after the other. */
void packet_number(uint8_t *packet, uint16_t identification);

#endif
