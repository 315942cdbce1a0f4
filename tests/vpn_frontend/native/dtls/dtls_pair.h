/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A client and a server of DTLS or TLS in one thread, with a pre-shared key, and lines of datagrams or bytes between them.
 */
#ifndef TESTS_DTLS_PAIR_H
#define TESTS_DTLS_PAIR_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define DATAGRAMS 16u
#define DATAGRAM 2048u
#define KEY 32u
#define STEPS 20

struct line {
    uint8_t datagrams[DATAGRAMS][DATAGRAM];
    int sizes[DATAGRAMS];
    unsigned sent, taken;
    int read;                       /* bytes of the datagram that is taken next: of a stream, which is read in parts */
};

static struct line to_server, to_client;
static bool server_turn;            /* what the library does now is the server's */

static int on_receive(WOLFSSL *ssl, char *data, int room, void *context)
{
    struct line *line = context;
    unsigned at = line->taken % DATAGRAMS;
    int size = line->sizes[at] - line->read;

    if (line->taken == line->sent)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    assert(size <= room || !wolfSSL_dtls(ssl));
    size = size < room ? size : room;
    memcpy(data, line->datagrams[at] + line->read, (size_t)size);
    line->read += size;
    if (line->read == line->sizes[at]) {
        line->read = 0;
        line->taken++;
    }
    return size;
}

static int on_send(WOLFSSL *ssl, char *data, int size, void *context)
{
    struct line *line = context;
    unsigned at = line->sent++ % DATAGRAMS;

    (void)ssl;
    assert(line->sent - line->taken <= DATAGRAMS && (unsigned)size <= DATAGRAM);
    memcpy(line->datagrams[at], data, (size_t)size);
    line->sizes[at] = size;
    return size;
}

static unsigned give_key(WOLFSSL *ssl, const char *hint, char *identity, unsigned room, unsigned char *key, unsigned capacity)
{
    (void)ssl, (void)hint;
    assert(room > 3 && capacity >= KEY);
    memcpy(identity, "psk", 4);
    memset(key, 7, KEY);
    return KEY;
}

static unsigned find_key(WOLFSSL *ssl, const char *identity, unsigned char *key, unsigned capacity)
{
    (void)ssl, (void)identity;
    assert(capacity >= KEY);
    memset(key, 7, KEY);
    return KEY;
}

static WOLFSSL_CTX *context(WOLFSSL_METHOD *method, const char *suite)
{
    WOLFSSL_CTX *context = wolfSSL_CTX_new(method);

    assert(context && wolfSSL_CTX_set_cipher_list(context, suite) == WOLFSSL_SUCCESS);
    wolfSSL_CTX_SetIORecv(context, on_receive);
    wolfSSL_CTX_SetIOSend(context, on_send);
    wolfSSL_CTX_dtls_set_mtu(context, 1200);
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
    return context;
}

static WOLFSSL *object(WOLFSSL_CTX *context, struct line *in, struct line *out)
{
    WOLFSSL *ssl = wolfSSL_new(context);

    assert(ssl);
    wolfSSL_SetIOReadCtx(ssl, in);
    wolfSSL_SetIOWriteCtx(ssl, out);
    wolfSSL_dtls_set_using_nonblock(ssl, 1);
    return ssl;
}

static void shake_hands(WOLFSSL *server, WOLFSSL *client)
{
    int accepted = 0, connected = 0;

    for (int i = 0; i < STEPS && (accepted != WOLFSSL_SUCCESS || connected != WOLFSSL_SUCCESS); i++) {
        server_turn = false;
        connected = wolfSSL_connect(client);
        server_turn = true;
        accepted = wolfSSL_accept(server);
    }
    assert(accepted == WOLFSSL_SUCCESS && connected == WOLFSSL_SUCCESS);
}

/* Contexts and objects of both; `server` is made on its turn. */
struct pair {
    WOLFSSL_CTX *servers, *clients;
    WOLFSSL *server, *client;
};

static struct pair pair_of(WOLFSSL_METHOD *server, WOLFSSL_METHOD *client, const char *suite)
{
    struct pair pair = { .servers = context(server, suite), .clients = context(client, suite) };
    char peer[28] = { 1 };

    wolfSSL_CTX_set_psk_server_callback(pair.servers, find_key);
    wolfSSL_CTX_set_psk_client_callback(pair.clients, give_key);
    pair.client = object(pair.clients, &to_client, &to_server);
    server_turn = true;
    pair.server = object(pair.servers, &to_server, &to_client);
    if (wolfSSL_dtls(pair.server))
        assert(wolfSSL_dtls_set_peer(pair.server, peer, sizeof(peer)) == WOLFSSL_SUCCESS);
    shake_hands(pair.server, pair.client);
    return pair;
}

static inline struct pair pair_open(WOLFSSL_METHOD *client, const char *suite)
{
    return pair_of(wolfDTLS_server_method(), client, suite);
}

static void pair_close(struct pair *pair)
{
    wolfSSL_free(pair->server);
    server_turn = false;
    wolfSSL_free(pair->client);
    wolfSSL_CTX_free(pair->servers);
    wolfSSL_CTX_free(pair->clients);
    to_server.sent = to_server.taken = to_client.sent = to_client.taken = 0;
    to_server.read = to_client.read = 0;
}

#endif
