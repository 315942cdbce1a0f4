/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The bytes that the library holds for a DTLS connection after its handshake, counted by its own allocators: what wolfssl.sh frees
 * earlier than the release does. A client and a server in one thread, with the pre-shared key of a session.
 */
#include <assert.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define DATAGRAMS 16u
#define DATAGRAM 2048u
#define KEY 32u
#define STEPS 20
#define BOUND_12 6500u              /* bytes; the release holds 9 200, with the epochs of DTLS 1.3, a certificate and a generator */
#define BOUND_13 10300u             /* the release holds 11 300 */

struct line {
    uint8_t datagrams[DATAGRAMS][DATAGRAM];
    int sizes[DATAGRAMS];
    unsigned sent, taken;
};

static struct line to_server, to_client;
static bool counting;               /* what is allocated now is the server's */
static size_t held;

/* A head before each block tells whether it is counted, and its size. */
struct head {
    _Alignas(16) size_t size;
    bool counted;
};

static void *take(size_t size)
{
    struct head *head = malloc(sizeof(*head) + size);

    if (!head)
        return NULL;
    *head = (struct head){ size, counting };
    held += counting ? size : 0;
    return head + 1;
}

static void give(void *block)
{
    struct head *head = (struct head *)block - 1;

    if (!block)
        return;
    held -= head->counted ? head->size : 0;
    free(head);
}

static void *take_again(void *block, size_t size)
{
    void *other = take(size);

    if (other && block) {
        size_t before = ((struct head *)block - 1)->size;

        memcpy(other, block, before < size ? before : size);
        give(block);
    }
    return other;
}

static int on_receive(WOLFSSL *ssl, char *data, int room, void *context)
{
    struct line *line = context;
    unsigned at = line->taken % DATAGRAMS;

    (void)ssl;
    if (line->taken == line->sent)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    assert(line->sizes[at] <= room);
    memcpy(data, line->datagrams[at], (size_t)line->sizes[at]);
    line->taken++;
    return line->sizes[at];
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
        counting = false;
        connected = wolfSSL_connect(client);
        counting = true;
        accepted = wolfSSL_accept(server);
    }
    assert(accepted == WOLFSSL_SUCCESS && connected == WOLFSSL_SUCCESS);
}

/* A record each way: after it the handshake is over for both. */
static void exchange(WOLFSSL *from, WOLFSSL *to, bool to_is_server)
{
    char text[8] = "";

    counting = !to_is_server;
    assert(wolfSSL_write(from, "packet", 7) == 7);
    counting = to_is_server;
    assert(wolfSSL_read(to, text, sizeof(text)) == 7 && !strcmp(text, "packet"));
}

static size_t hold(WOLFSSL_METHOD *method, const char *suite)
{
    WOLFSSL_CTX *servers = context(wolfDTLS_server_method(), suite), *clients = context(method, suite);
    WOLFSSL *server, *client;
    char peer[28] = { 1 };
    size_t before = held, size;

    wolfSSL_CTX_set_psk_server_callback(servers, find_key);
    wolfSSL_CTX_set_psk_client_callback(clients, give_key);
    client = object(clients, &to_client, &to_server);
    counting = true;
    server = object(servers, &to_server, &to_client);
    assert(wolfSSL_dtls_set_peer(server, peer, sizeof(peer)) == WOLFSSL_SUCCESS);
    shake_hands(server, client);
    exchange(client, server, true);
    wolfSSL_FreeHandshakeResources(server);
    for (int i = 0; i < 3; i++) {
        exchange(server, client, false);
        exchange(client, server, true);
    }
    size = held - before;
    wolfSSL_free(server);
    counting = false;
    wolfSSL_free(client);
    wolfSSL_CTX_free(servers);
    wolfSSL_CTX_free(clients);
    assert(held == before);
    return size;
}

int main(void)
{
    size_t of_12, of_13;

    wolfSSL_SetAllocators(take, give, take_again);
    wolfSSL_Init();
    of_12 = hold(wolfDTLSv1_2_client_method(), "PSK-AES256-GCM-SHA384");
    of_13 = hold(wolfDTLSv1_3_client_method(), "TLS13-AES128-GCM-SHA256");
    fprintf(stderr, "held: %zu bytes with DTLS 1.2, %zu with DTLS 1.3\n", of_12, of_13);
    assert(of_12 < BOUND_12 && of_13 < BOUND_13);
    puts("ok");
    return 0;
}
