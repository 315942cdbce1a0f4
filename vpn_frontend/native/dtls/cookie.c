/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dtls/cookie.h"

#include "dtls/hmac.h"

#include <errno.h>
#include <string.h>

_Static_assert(GW_COOKIE_SIZE == GW_HASH_SIZE, "the cookie is a keyed hash");

static int derive(struct gw_cookies *cookies, uint64_t period, uint8_t out[GW_COOKIE_SECRET_SIZE])
{
    const struct gw_hash_part part = { &period, sizeof(period) };

    return gw_hmac(cookies->master, sizeof(cookies->master), &part, 1, out);
}

static int derive_both(struct gw_cookies *cookies, uint64_t period)
{
    int status = derive(cookies, period, cookies->secrets[0]);

    if (!status)
        status = derive(cookies, period - 1, cookies->secrets[1]);
    if (!status)
        cookies->period = period;
    return status;
}

int gw_cookies_init(struct gw_cookies *cookies, const uint8_t master[GW_COOKIE_SECRET_SIZE], uint64_t now)
{
    memcpy(cookies->master, master, sizeof(cookies->master));
    return derive_both(cookies, now / GW_COOKIE_PERIOD);
}

int gw_cookies_turn(struct gw_cookies *cookies, uint64_t now)
{
    uint64_t period = now / GW_COOKIE_PERIOD;

    return period == cookies->period ? 0 : derive_both(cookies, period);
}

int gw_cookie_make(const uint8_t secret[GW_COOKIE_SECRET_SIZE], const void *peer, size_t peer_size, const struct gw_hello *hello,
                   uint8_t out[GW_COOKIE_SIZE])
{
    const struct gw_hash_part parts[] = {
        { peer, peer_size },
        { hello->version, 2 },
        { hello->random, GW_DTLS_RANDOM_SIZE },
        { hello->session_id, hello->session_id_size },
        { hello->suites, hello->suites_size },
        { hello->compression, hello->compression_size },
    };

    return gw_hmac(secret, GW_COOKIE_SECRET_SIZE, parts, sizeof(parts) / sizeof(*parts), out);
}

const uint8_t *gw_cookie_check(const struct gw_cookies *cookies, const void *peer, size_t peer_size, const struct gw_hello *hello)
{
    uint8_t expected[GW_COOKIE_SIZE];

    if (hello->cookie_size != GW_COOKIE_SIZE)
        return NULL;
    for (int i = 0; i < 2; i++)
        if (!gw_cookie_make(cookies->secrets[i], peer, peer_size, hello, expected) && gw_hmac_equal(expected, hello->cookie))
            return cookies->secrets[i];
    return NULL;
}

int gw_cookie_reply(const struct gw_cookies *cookies, const void *peer, size_t peer_size, const struct gw_hello *hello,
                    uint8_t out[GW_COOKIE_REPLY_SIZE])
{
    static const uint8_t body = 2 + 1 + GW_COOKIE_SIZE;     /* version, length of the cookie, cookie */
    /* Both version fields are DTLS 1.0, for any later version (RFC 6347 section 4.2.1). */
    const uint8_t head[GW_COOKIE_REPLY_SIZE - GW_COOKIE_SIZE] = {
        22, 0xfe, 0xff, 0, 0, [11] = 0, [12] = 12 + body,
        [13] = 3, [14] = 0, [15] = 0, [16] = body, [17] = 0, [18] = 0, [24] = body,
        [25] = 0xfe, [26] = 0xff, [27] = GW_COOKIE_SIZE,
    };

    memcpy(out, head, sizeof(head));
    memcpy(out + 5, hello->sequence, sizeof(hello->sequence));
    return gw_cookie_make(cookies->secrets[0], peer, peer_size, hello, out + sizeof(head));
}
