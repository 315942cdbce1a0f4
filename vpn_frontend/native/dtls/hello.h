/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Parser for unauthenticated datagrams. It reads record headers, and from a ClientHello (RFC 6347 section 4.2, RFC 9147 section
 * 5.3) the name of the session and the input of the cookie. Pointers lead into the datagram.
 */
#ifndef VPN_FRONTEND_DTLS_HELLO_H
#define VPN_FRONTEND_DTLS_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GW_DTLS_RECORD_HEADER 13u
#define GW_DTLS_NAME_SIZE 32u           /* bytes of an App-ID and of a session id */
#define GW_DTLS_RANDOM_SIZE 32u
#define GW_DTLS_APP_ID_EXTENSION 48018u /* openconnect sends the App-ID in it where it cannot set the session id */

/* Record types. */
enum { GW_DTLS_CHANGE_CIPHER_SPEC = 20, GW_DTLS_ALERT = 21, GW_DTLS_HANDSHAKE = 22, GW_DTLS_APPLICATION_DATA = 23 };

enum gw_dtls_kind {
    GW_DTLS_GARBAGE,                    /* not a DTLS record of a client */
    GW_DTLS_HELLO,                      /* a handshake record of epoch 0 that begins with a ClientHello */
    GW_DTLS_CLEAR,                      /* any other record of epoch 0: handshake, change cipher spec, alert */
    GW_DTLS_SEALED,                     /* a record of a later epoch */
};

enum gw_dtls_content {
    GW_DTLS_ANYTHING,                   /* or unknown: a DTLS 1.3 header may omit the length */
    GW_DTLS_FLIGHT,                     /* only handshake and change cipher spec */
    GW_DTLS_ONE_OF_DATA,                /* exactly one record of data, as clients send */
};

struct gw_hello {
    uint8_t sequence[6];                /* of the record; repeated in the answer (RFC 6347 section 4.2.1) */
    uint16_t message;                   /* handshake message number: 0 without a cookie, 1 with one */
    bool dtls13;                        /* supported_versions has DTLS 1.3 */
    const uint8_t *version;             /* 2 bytes, as in the body */
    const uint8_t *random;
    const uint8_t *session_id, *cookie, *suites, *compression;
    size_t session_id_size, cookie_size, suites_size, compression_size;
    const uint8_t *app_id;              /* NULL: no such extension */
    bool psk, has_identity;             /* there is a PSK extension; its identity has this form: */
    uint8_t identity[GW_DTLS_NAME_SIZE];    /* DTLS 1.3: the first PSK identity, an App-ID in hexadecimal */
};

enum gw_dtls_kind gw_dtls_classify(const uint8_t *datagram, size_t size);
/* Looks at the record headers only. */
enum gw_dtls_content gw_dtls_look_into(const uint8_t *datagram, size_t size);
/* 0 for one whole, unfragmented ClientHello that fills the datagram and has a random other than zero; else -EPROTO. */
int gw_hello_read(const uint8_t *datagram, size_t size, struct gw_hello *hello);
/* Returns the 32-byte name of the session: App-ID, else session id, else PSK identity; NULL: none. */
const uint8_t *gw_hello_name(const struct gw_hello *hello);

#endif
