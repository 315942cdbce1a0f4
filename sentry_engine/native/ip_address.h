/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An address as two words in host order, the high one first. IPv4 is ::ffff:a.b.c.d. A prefix in ::ffff:0:0/96 is IPv4.
 */
#ifndef SENTRY_ENGINE_IP_ADDRESS_H
#define SENTRY_ENGINE_IP_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SE_V4_OFFSET 96u /* added to an IPv4 prefix length */

struct se_address {
    uint64_t hi, lo;
};

struct se_network {
    struct se_address address;
    uint8_t length; /* 0 to 128 */
};

static inline uint64_t se_load_be64(const uint8_t *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    return __builtin_bswap64(word);
}

static inline void se_store_be64(uint8_t *bytes, uint64_t word)
{
    word = __builtin_bswap64(word);
    memcpy(bytes, &word, sizeof word);
}

static inline struct se_address se_address_load(const uint8_t bytes[16])
{
    return (struct se_address){se_load_be64(bytes), se_load_be64(bytes + 8)};
}

static inline void se_address_store(uint8_t bytes[16], struct se_address address)
{
    se_store_be64(bytes, address.hi);
    se_store_be64(bytes + 8, address.lo);
}

static inline bool se_is_ipv4(struct se_address address)
{
    return address.hi == 0 && address.lo >> 32 == 0xffff;
}

/* A word with its first `bits` (0 to 64) bits set. */
static inline uint64_t se_high_bits(unsigned bits)
{
    return bits == 0 ? 0 : ~(uint64_t)0 << (64 - bits);
}

static inline struct se_address se_mask(struct se_address address, unsigned length)
{
    address.hi &= se_high_bits(length < 64 ? length : 64);
    address.lo &= se_high_bits(length > 64 ? length - 64 : 0);
    return address;
}

static inline bool se_address_equal(struct se_address a, struct se_address b)
{
    return ((a.hi ^ b.hi) | (a.lo ^ b.lo)) == 0;
}

/* True if a network contains an address. A network shorter than 96 bits contains no IPv4. */
static inline bool se_network_contains(const struct se_network *network, struct se_address address)
{
    if (network->length < SE_V4_OFFSET && se_is_ipv4(address))
        return false;
    return se_address_equal(se_mask(address, network->length), network->address);
}

#endif
