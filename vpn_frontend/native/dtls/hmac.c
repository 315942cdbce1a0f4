/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dtls/hmac.h"

#include <errno.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hmac.h>

_Static_assert(GW_HASH_SIZE == WC_SHA256_DIGEST_SIZE, "the hash is an HMAC-SHA256");

int gw_hmac(const uint8_t *key, size_t key_size, const struct gw_hash_part *parts, size_t count, uint8_t out[GW_HASH_SIZE])
{
    Hmac state;
    int status = wc_HmacInit(&state, NULL, INVALID_DEVID);

    if (status)
        return -ENOMEM;
    status = wc_HmacSetKey(&state, WC_SHA256, key, (word32)key_size);
    for (size_t i = 0; !status && i < count; i++)
        if (parts[i].size)
            status = wc_HmacUpdate(&state, parts[i].bytes, (word32)parts[i].size);
    if (!status)
        status = wc_HmacFinal(&state, out);
    wc_HmacFree(&state);
    return status ? -EIO : 0;
}

bool gw_hmac_equal(const uint8_t a[GW_HASH_SIZE], const uint8_t b[GW_HASH_SIZE])
{
    uint8_t difference = 0;

    for (size_t i = 0; i < GW_HASH_SIZE; i++)
        difference = (uint8_t)(difference | (a[i] ^ b[i]));
    return !difference;
}
