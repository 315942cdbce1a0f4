/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * HMAC-SHA256 over several parts, and its comparison.
 */
#ifndef VPN_FRONTEND_HMAC_H
#define VPN_FRONTEND_HMAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GW_HASH_SIZE 32u

struct gw_hash_part {
    const void *bytes;
    size_t size;
};

/* 0, -ENOMEM or -EIO. */
int gw_hmac(const uint8_t *key, size_t key_size, const struct gw_hash_part *parts, size_t count, uint8_t out[GW_HASH_SIZE]);
/* Compares in constant time. */
bool gw_hmac_equal(const uint8_t a[GW_HASH_SIZE], const uint8_t b[GW_HASH_SIZE]);

#endif
