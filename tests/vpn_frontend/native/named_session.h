/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How a client on wolfSSL names its VPN session in a ClientHello (`minor`: 0xfd DTLS 1.2, 0xfc DTLS 1.3): it offers to resume a
 * TLS session of that id. A server that uses the pre-shared key does a full handshake nevertheless. For the tests of the gateway
 * and for the benchmark.
 */
#ifndef TESTS_NAMED_SESSION_H
#define TESTS_NAMED_SESSION_H

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

/* See dtls/context.c for the form. NULL: out of memory. */
static inline WOLFSSL_SESSION *named_session(const uint8_t name[32], const uint8_t secret[48], uint8_t minor,
                                              const uint8_t suite[2])
{
    WOLFSSL_SESSION *empty = wolfSSL_SESSION_new();
    unsigned char blank[1024], whole[1100], *end = blank, *at = whole + 10;
    const unsigned char *start = whole;
    uint32_t born = htonl((uint32_t)time(NULL)), life = htonl(1000);
    int size = wolfSSL_i2d_SSL_SESSION(empty, &end);

    wolfSSL_SESSION_free(empty);
    if (size < 10)
        return NULL;
    memcpy(whole, blank, 10);
    whole[0] = WOLFSSL_CLIENT_END;
    memcpy(whole + 1, &born, 4);
    memcpy(whole + 5, &life, 4);
    whole[9] = 32;
    memcpy(at, name, 32);
    memcpy(at + 32, blank + 10, (size_t)size - 10);
    memcpy(at + 32, secret, 48);
    at += 32 + 50;
    at[0] = 0xfe, at[1] = minor, at[2] = suite[0], at[3] = suite[1];
    return wolfSSL_d2i_SSL_SESSION(NULL, &start, size + 32);
}

#endif
