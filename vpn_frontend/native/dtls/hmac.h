/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * HMAC-SHA256 over several parts, and the comparison that goes with it.
 */
#ifndef VPN_FRONTEND_KEYED_HASH_H
#define VPN_FRONTEND_KEYED_HASH_H

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
/* In a time that tells nothing of where they differ. */
bool gw_hmac_equal(const uint8_t a[GW_HASH_SIZE], const uint8_t b[GW_HASH_SIZE]);

#endif
