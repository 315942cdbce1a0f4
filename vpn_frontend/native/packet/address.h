/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Addresses as the gateway keeps them: 16 bytes, those of IPv4 mapped (RFC 4291 section 2.5.5.2).
 */
#ifndef VPN_FRONTEND_ADDRESS_H
#define VPN_FRONTEND_ADDRESS_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* Written as the two words that lookups read: a processor that has to gather a word from smaller stores waits for them. */
static inline void gw_map_ipv4(uint8_t out[16], const void *address)
{
    uint64_t words[2] = { 0 };
    uint32_t ipv4;

    memcpy(&ipv4, address, sizeof(ipv4));
    words[1] = htobe64(UINT64_C(0xffff) << 32 | be32toh(ipv4));
    memcpy(out, words, sizeof(words));
}

#endif
