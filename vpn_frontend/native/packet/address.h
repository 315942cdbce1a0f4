/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Addresses of 16 bytes: IPv6, or IPv4 in mapped form, ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2).
 */
#ifndef VPN_FRONTEND_ADDRESS_H
#define VPN_FRONTEND_ADDRESS_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Stores the mapped form of the 4 bytes at `address`. The store is two words, as lookups read it: a processor that has to gather a
 * word from smaller stores waits for them. */
static inline void gw_map_ipv4(uint8_t out[16], const void *address)
{
    uint64_t words[2] = { 0 };
    uint32_t ipv4;

    memcpy(&ipv4, address, sizeof(ipv4));
    words[1] = htobe64(UINT64_C(0xffff) << 32 | be32toh(ipv4));
    memcpy(out, words, sizeof(words));
}

/* True for an IPv4 address in mapped form. */
static inline bool gw_is_mapped(const uint8_t address[16])
{
    static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

    return memcmp(address, prefix, sizeof(prefix)) == 0;
}

/* True for fe80::/10. */
static inline bool gw_is_link_local(const uint8_t address[16])
{
    return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

#endif
