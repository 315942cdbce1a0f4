/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "totp.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hmac.h>

#define PERIOD 30                       /* seconds of a step, RFC 6238 */

static const uint8_t secret[] = "12345678901234567890";     /* of all users, RFC 6238 appendix B */

int lc_totp(long step, char code[LC_CODE])
{
    uint64_t counter = (uint64_t)(time(NULL) / PERIOD + step);
    uint8_t message[8], digest[WC_SHA_DIGEST_SIZE], *part;
    Hmac hmac;
    int error = wc_HmacInit(&hmac, NULL, INVALID_DEVID);

    for (int i = 7; i >= 0; i--, counter >>= 8)
        message[i] = (uint8_t)counter;
    if (!error)
        error = wc_HmacSetKey(&hmac, WC_SHA, secret, sizeof secret - 1);
    if (!error)
        error = wc_HmacUpdate(&hmac, message, sizeof message);
    if (!error)
        error = wc_HmacFinal(&hmac, digest);
    wc_HmacFree(&hmac);
    if (error)
        return -EIO;
    part = digest + (digest[sizeof digest - 1] & 15);
    snprintf(code, LC_CODE, "%06u",
             ((part[0] & 127u) << 24 | (uint32_t)part[1] << 16 | (uint32_t)part[2] << 8 | part[3]) % 1000000u);
    return 0;
}
