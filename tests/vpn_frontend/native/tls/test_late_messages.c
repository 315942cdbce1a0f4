/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Messages of a handshake after it, from a client that has the keys: of every type, to a server of TLS 1.3 that has freed what its
 * handshake needed (wolfssl.sh). It takes new keys, and none of the others.
 */
#include "dtls/dtls_pair.h"

#include <stdio.h>

#define TYPES 256u                  /* of messages */
#define HEAD 4u                     /* bytes: the type, and the length of the body */
#define BODY 44u                    /* bytes: a ClientHello up to its suites, a Finished of SHA-256, any other cut short */
#define HANDSHAKE 22                /* the type of such records (RFC 8446 section 5.1) */
#define NEW_KEYS 24u                /* KeyUpdate, RFC 8446 section 4.6.3 */
#define CERTIFICATE 11u             /* with a body of four zero bytes a whole one, of no certificate (section 4.4.2) */

/* Of the library, which does not publish it: seals `size` bytes as a record of `type`. Returns its length. */
int BuildTls13Message(WOLFSSL *ssl, uint8_t *output, int room, const uint8_t *input, int size, int type, int hash, int only_size,
                              int asynchronous);

static void send_message(WOLFSSL *client, unsigned type, unsigned size, uint8_t fill)
{
    unsigned at = to_server.sent++ % DATAGRAMS;
    uint8_t *record = to_server.datagrams[at], message[HEAD + BODY];

    memset(message, fill, sizeof(message));
    message[0] = (uint8_t)type;
    message[1] = message[2] = 0;
    message[3] = (uint8_t)size;
    memcpy(record + 5, message, HEAD + size);
    to_server.sizes[at] = BuildTls13Message(client, record, DATAGRAM, record + 5, (int)(HEAD + size), HANDSHAKE, 0, 0, 0);
    assert(to_server.sizes[at] > 0);
}

static void exchange(struct pair *pair)
{
    char text[8] = "";

    assert(wolfSSL_write(pair->client, "packet", 7) == 7);
    assert(wolfSSL_read(pair->server, text, sizeof(text)) == 7 && !strcmp(text, "packet"));
    assert(wolfSSL_write(pair->server, "answer", 7) == 7);
    assert(wolfSSL_read(pair->client, text, sizeof(text)) == 7 && !strcmp(text, "answer"));
}

static struct pair open_pair(void)
{
    struct pair pair = pair_of(wolfTLSv1_3_server_method(), wolfTLSv1_3_client_method(), "TLS13-AES128-GCM-SHA256");

    exchange(&pair);
    return pair;
}

static void test_new_keys(void)
{
    struct pair pair = open_pair();

    for (int i = 0; i < 3; i++) {
        assert(wolfSSL_update_keys(pair.client) == WOLFSSL_SUCCESS);
        exchange(&pair);
    }
    pair_close(&pair);
}

static void test_message(unsigned type, unsigned size, uint8_t fill)
{
    struct pair pair = open_pair();
    char text[8];
    int got, error;

    send_message(pair.client, type, size, fill);
    got = wolfSSL_read(pair.server, text, sizeof(text));
    assert(got <= 0);
    error = wolfSSL_get_error(pair.server, got);
    assert(error != WOLFSSL_ERROR_WANT_READ && error != WOLFSSL_ERROR_NONE);
    assert(wolfSSL_shutdown(pair.server) != 0 || wolfSSL_get_shutdown(pair.server));
    pair_close(&pair);
}

int main(void)
{
    wolfSSL_Init();
    test_new_keys();
    for (unsigned type = 0; type < TYPES; type++) {
        test_message(type, BODY, 0);
        test_message(type, BODY, 3);
        if (type != NEW_KEYS)
            test_message(type, 1, 1);
    }
    test_message(CERTIFICATE, 4, 0);
    puts("ok");
    return 0;
}
