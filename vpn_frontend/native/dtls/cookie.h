/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The cookie that a DTLS client must echo before anything is kept for it (RFC 6347 section 4.2.1). No state: the secrets
 * of a period follow from one master secret, and the cookie of this period and of the one before are taken.
 *
 * The HMAC is the one that wolfSSL computes itself over its `peer` and the hello, so that an object made after the echo, with
 * the same secret and the same peer, finds the cookie good and goes on where an exchange of its own would be.
 */
#ifndef VPN_FRONTEND_DTLS_COOKIE_H
#define VPN_FRONTEND_DTLS_COOKIE_H

#include "dtls/hello.h"

#define GW_COOKIE_SIZE 32u
#define GW_COOKIE_SECRET_SIZE 32u
#define GW_COOKIE_PERIOD UINT64_C(60000000000)  /* ns that a secret is given out; a cookie lives one to two of them */
#define GW_COOKIE_REPLY_SIZE 60u        /* a whole HelloVerifyRequest with its record header */

struct gw_cookies {                     /* one per worker, all from the same master */
    uint8_t master[GW_COOKIE_SECRET_SIZE];
    uint64_t period;                    /* the one that secrets[0] is for */
    uint8_t secrets[2][GW_COOKIE_SECRET_SIZE];  /* of this period and of the one before */
};

int gw_cookies_init(struct gw_cookies *cookies, const uint8_t master[GW_COOKIE_SECRET_SIZE], uint64_t now);
/* Call before the others, with a clock that does not run backwards; cheap within a period. */
int gw_cookies_turn(struct gw_cookies *cookies, uint64_t now);
int gw_cookie_make(const uint8_t secret[GW_COOKIE_SECRET_SIZE], const void *peer, size_t peer_size, const struct gw_hello *hello,
                   uint8_t out[GW_COOKIE_SIZE]);
/* The secret under which the hello's cookie is good for `peer`, or NULL. */
const uint8_t *gw_cookie_check(const struct gw_cookies *cookies, const void *peer, size_t peer_size, const struct gw_hello *hello);
/* The HelloVerifyRequest. Never larger than a hello that gw_hello_read takes; 0 or a negative errno. */
int gw_cookie_reply(const struct gw_cookies *cookies, const void *peer, size_t peer_size, const struct gw_hello *hello,
                    uint8_t out[GW_COOKIE_REPLY_SIZE]);

#endif
