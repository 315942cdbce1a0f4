/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The cookie that a DTLS client must echo before the server keeps anything for it (RFC 6347 section 4.2.1). Stateless: the secret
 * of a period is derived from a master secret. Cookies of this period and of the one before are accepted.
 *
 * The HMAC is the one that wolfSSL computes over its `peer` and the ClientHello. So an object made after the echo, with the same
 * secret and peer, accepts the cookie and continues where its own exchange would be.
 */
#ifndef VPN_FRONTEND_DTLS_COOKIE_H
#define VPN_FRONTEND_DTLS_COOKIE_H

#include "dtls/hello.h"

#define GW_COOKIE_SIZE 32u
#define GW_COOKIE_SECRET_SIZE 32u
#define GW_COOKIE_PERIOD UINT64_C(60000000000)  /* ns; a cookie lives one to two periods */
#define GW_COOKIE_REPLY_SIZE 60u        /* a HelloVerifyRequest with its record header */

struct gw_cookies {                     /* one per worker, of the same master secret */
    uint8_t master[GW_COOKIE_SECRET_SIZE];
    uint64_t period;                    /* of secrets[0] */
    uint8_t secrets[2][GW_COOKIE_SECRET_SIZE];  /* of this period and the one before */
};

int gw_cookies_init(struct gw_cookies *cookies, const uint8_t master[GW_COOKIE_SECRET_SIZE], uint64_t now);
/* Derives the secrets of the present period. To be called before the others; cheap within a period. */
int gw_cookies_turn(struct gw_cookies *cookies, uint64_t now);
int gw_cookie_make(const uint8_t secret[GW_COOKIE_SECRET_SIZE], const void *peer, size_t peer_size, const struct gw_hello *hello,
                   uint8_t out[GW_COOKIE_SIZE]);
/* Returns the secret under which the hello's cookie is good for `peer`; NULL: none. */
const uint8_t *gw_cookie_check(const struct gw_cookies *cookies, const void *peer, size_t peer_size, const struct gw_hello *hello);
/* Writes the HelloVerifyRequest, which is no larger than any hello that gw_hello_read accepts. 0 or a negative errno. */
int gw_cookie_reply(const struct gw_cookies *cookies, const void *peer, size_t peer_size, const struct gw_hello *hello,
                    uint8_t out[GW_COOKIE_REPLY_SIZE]);

#endif
