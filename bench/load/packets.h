/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Inner packets, as a kernel's connected socket sends them.
 */
#ifndef BENCH_LOAD_PACKETS_H
#define BENCH_LOAD_PACKETS_H

#include <stdint.h>

/* Writes IPv4 and UDP headers without a UDP checksum: `size` bytes in all, from `source` (network order) to the job's port
 * of the server's inner address. */
void packet_fill(uint8_t *packet, uint16_t size, uint32_t source);

/* Servers merge datagrams only with the checksums and identifications of a kernel, which these two functions set. */

/* Adds the UDP checksum to a packet of PACKET bytes. Valid while the payload does not change. */
void packet_sign(uint8_t *packet);
/* Sets the IPv4 identification; the caller increments it per packet. */
void packet_number(uint8_t *packet, uint16_t identification);

#endif
