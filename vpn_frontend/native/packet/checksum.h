/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The Internet checksum (RFC 1071). Sums are kept in memory's byte order, in which the result is stored, too: the algorithm does
 * not depend on it.
 */
#ifndef VPN_FRONTEND_CHECKSUM_H
#define VPN_FRONTEND_CHECKSUM_H

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GW_SUM_SHORT 128u           /* bytes up to which the plain loop is faster than wider vectors */

static inline __attribute__((always_inline)) uint64_t gw_sum_short(uint64_t sum, const uint8_t *data, size_t size)
{
    uint64_t low = 0, high = 0;     /* two sums, which the compiler vectorises */

    for (; size >= 8; size -= 8, data += 8) {
        uint64_t word;

        memcpy(&word, data, 8);
        low += word & UINT32_MAX;
        high += word >> 32;
    }
    sum += (low & UINT32_MAX) + (low >> 32) + (high & UINT32_MAX) + (high >> 32);
    for (; size >= 2; size -= 2, data += 2) {
        uint16_t half;

        memcpy(&half, data, 2);
        sum += half;
    }
    if (size) {
        uint16_t last = 0;

        memcpy(&last, data, 1);
        sum += last;
    }
    return sum;
}

uint64_t gw_sum_long(uint64_t sum, const uint8_t *data, size_t size);

static inline uint64_t gw_sum(uint64_t sum, const uint8_t *data, size_t size)
{
    return size > GW_SUM_SHORT ? gw_sum_long(sum, data, size) : gw_sum_short(sum, data, size);
}

static inline uint16_t gw_sum_fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* Stores the checksum that `sum` stands for. */
static inline void gw_sum_store(uint8_t *at, uint64_t sum)
{
    uint16_t checksum = (uint16_t)~gw_sum_fold(sum);

    memcpy(at, &checksum, sizeof(checksum));
}

/* The sum of the pseudo header of TCP and UDP: both addresses (`bytes` together), protocol and length. */
static inline uint64_t gw_sum_pseudo(const uint8_t *addresses, size_t bytes, uint8_t protocol, size_t length)
{
    return gw_sum((uint64_t)htons(protocol) + htons((uint16_t)length), addresses, bytes);
}

#endif
