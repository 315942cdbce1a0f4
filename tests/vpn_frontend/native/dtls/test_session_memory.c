/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The bytes that the library holds for a connection after its handshake, counted by its own allocators: what wolfssl.sh frees
 * earlier than the release does.
 */
#include "dtls/dtls_pair.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define BOUND_12 6500u              /* bytes; the release holds 9 200, with the epochs of DTLS 1.3, a certificate and a generator */
#define BOUND_13 10300u             /* the release holds 11 500 */

#define BOUND_TLS 5300u             /* 6 100 with the windows of DTLS and what a ticket is made of */

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
    *head = (struct head){ size, server_turn };
    held += server_turn ? size : 0;
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

/* A record each way: after it the handshake is over for both. */
static void exchange(WOLFSSL *from, WOLFSSL *to, bool to_is_server)
{
    char text[8] = "";

    server_turn = !to_is_server;
    assert(wolfSSL_write(from, "packet", 7) == 7);
    server_turn = to_is_server;
    assert(wolfSSL_read(to, text, sizeof(text)) == 7 && !strcmp(text, "packet"));
}

static size_t hold(WOLFSSL_METHOD *server, WOLFSSL_METHOD *client, const char *suite)
{
    size_t before = held, size;
    struct pair pair = pair_of(server, client, suite);

    exchange(pair.client, pair.server, true);
    wolfSSL_FreeHandshakeResources(pair.server);
    for (int i = 0; i < 3; i++) {
        exchange(pair.server, pair.client, false);
        exchange(pair.client, pair.server, true);
    }
    size = held - before;
    pair_close(&pair);
    assert(held == before);
    return size;
}

int main(void)
{
    size_t of_12, of_13, of_tls;

    wolfSSL_SetAllocators(take, give, take_again);
    wolfSSL_Init();
    of_12 = hold(wolfDTLS_server_method(), wolfDTLSv1_2_client_method(), "PSK-AES256-GCM-SHA384");
    of_13 = hold(wolfDTLS_server_method(), wolfDTLSv1_3_client_method(), "TLS13-AES128-GCM-SHA256");
    of_tls = hold(wolfTLSv1_3_server_method(), wolfTLSv1_3_client_method(), "TLS13-AES128-GCM-SHA256");
    fprintf(stderr, "held: %zu bytes with DTLS 1.2, %zu with DTLS 1.3, %zu with TLS 1.3\n", of_12, of_13, of_tls);
    assert(of_12 < BOUND_12 && of_13 < BOUND_13 && of_tls < BOUND_TLS);
    puts("ok");
    return 0;
}
