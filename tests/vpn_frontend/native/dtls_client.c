/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A DTLS client without sockets for the tests of the gateway: datagrams go in and come out, the test carries, drops, doubles and
 * forges them. It names its session as openconnect does: by the session id of the hello (DTLS 1.3 with a PSK: by its identity).
 */
#include "named_session.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wolfssl/error-ssl.h>

enum { DC_PSK = 1, DC_RESUMPTION = 2, DC_PSK13 = 3, DC_CERTIFICATE = 4 };
#define DC_QUEUE 64

typedef struct dc {
    WOLFSSL_CTX *context;
    WOLFSSL *ssl;
    uint8_t name[32], secret[48];
    const uint8_t *in;
    int in_size;
    uint8_t *out[DC_QUEUE];
    int out_size[DC_QUEUE], head, count;
} dc;

static int receive(WOLFSSL *ssl, char *buffer, int size, void *context)
{
    dc *client = context;
    int taken = client->in_size < size ? client->in_size : size;

    (void)ssl;
    if (!client->in)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    memcpy(buffer, client->in, (size_t)taken);
    client->in = NULL;
    return taken;
}

static int transmit(WOLFSSL *ssl, char *buffer, int size, void *context)
{
    dc *client = context;
    int at = (client->head + client->count) % DC_QUEUE;

    (void)ssl;
    if (client->count == DC_QUEUE)
        abort();
    client->out[at] = malloc((size_t)size);
    memcpy(client->out[at], buffer, (size_t)size);
    client->out_size[at] = size;
    client->count++;
    return size;
}

static unsigned int give_psk(WOLFSSL *ssl, const char *hint, char *identity, unsigned int identity_size, unsigned char *key,
                             unsigned int key_size)
{
    dc *client = wolfSSL_GetIOReadCtx(ssl);

    (void)hint, (void)identity_size, (void)key_size;
    if (wolfSSL_version(ssl) == 0xfefc)
        for (int i = 0; i < 32; i++)
            sprintf(identity + 2 * i, "%02x", client->name[i]);
    else
        strcpy(identity, "psk");
    memcpy(key, client->secret, 32);
    return 32;
}

static unsigned int give_psk13(WOLFSSL *ssl, const char *hint, char *identity, unsigned int identity_size, unsigned char *key,
                               unsigned int key_size, const char **suite)
{
    dc *client = wolfSSL_GetIOReadCtx(ssl);

    *suite = "TLS13-AES128-GCM-SHA256";
    give_psk(ssl, hint, identity, identity_size, key, key_size);
    for (int i = 0; i < 32; i++)
        sprintf(identity + 2 * i, "%02x", client->name[i]);
    return 32;
}

static dc *dc_new(int way, const uint8_t *name, const uint8_t *secret, const char *ciphers)
{
    static const uint8_t psk_suite[] = { 0x00, 0xa9 }, ecdhe_suite[] = { 0xc0, 0x30 }, tls13_suite[] = { 0x13, 0x01 };
    dc *client = calloc(1, sizeof(*client));
    WOLFSSL_SESSION *session;

    wolfSSL_Init();
    memcpy(client->name, name, 32);
    memcpy(client->secret, secret, 48);
    client->context = wolfSSL_CTX_new(way >= DC_PSK13 ? wolfDTLSv1_3_client_method() : wolfDTLSv1_2_client_method());
    wolfSSL_CTX_SetIORecv(client->context, receive);
    wolfSSL_CTX_SetIOSend(client->context, transmit);
    wolfSSL_CTX_set_verify(client->context, WOLFSSL_VERIFY_NONE, NULL);
    if (wolfSSL_CTX_set_cipher_list(client->context, ciphers) != WOLFSSL_SUCCESS)
        return NULL;
    if (way == DC_PSK13)
        wolfSSL_CTX_set_psk_client_tls13_callback(client->context, give_psk13);
    else if (way == DC_PSK)
        wolfSSL_CTX_set_psk_client_callback(client->context, give_psk);
    wolfSSL_CTX_DisableExtendedMasterSecret(client->context);
    client->ssl = wolfSSL_new(client->context);
    wolfSSL_SetIOReadCtx(client->ssl, client);
    wolfSSL_SetIOWriteCtx(client->ssl, client);
    wolfSSL_dtls_set_using_nonblock(client->ssl, 1);
    wolfSSL_dtls_set_mtu(client->ssl, 1500);
    if (way == DC_CERTIFICATE)
        wolfSSL_KeepArrays(client->ssl);
    if (way >= DC_PSK13)                /* a post-quantum share would not fit one datagram with the cookie */
        wolfSSL_UseKeyShare(client->ssl, WOLFSSL_ECC_X25519);
    if (way != DC_PSK13) {
        session = way == DC_CERTIFICATE ? named_session(client->name, client->secret, 0xfc, tls13_suite)
                                        : named_session(client->name, client->secret, 0xfd, way == DC_PSK ? psk_suite : ecdhe_suite);
        wolfSSL_set_session(client->ssl, session);
        wolfSSL_SESSION_free(session);
    }
    return client;
}

static void dc_free(dc *client)
{
    while (client->count) {
        free(client->out[client->head]);
        client->head = (client->head + 1) % DC_QUEUE;
        client->count--;
    }
    wolfSSL_free(client->ssl);
    wolfSSL_CTX_free(client->context);
    free(client);
}

/* 1: connected. 0: wants more. Negative: wolfSSL's error. */
static int dc_connect(dc *client, const uint8_t *datagram, int size)
{
    int status;

    client->in = size ? datagram : NULL;
    client->in_size = size;
    status = wolfSSL_connect(client->ssl);
    if (status == WOLFSSL_SUCCESS)
        return 1;
    status = wolfSSL_get_error(client->ssl, status);
    return status == WOLFSSL_ERROR_WANT_READ ? 0 : status;
}

/* The size of the next datagram to send, taken; 0: none. */
static int dc_take(dc *client, uint8_t *out)
{
    int size;

    if (!client->count)
        return 0;
    size = client->out_size[client->head];
    memcpy(out, client->out[client->head], (size_t)size);
    free(client->out[client->head]);
    client->head = (client->head + 1) % DC_QUEUE;
    client->count--;
    return size;
}

static int dc_seal(dc *client, const uint8_t *payload, int size)
{
    return wolfSSL_write(client->ssl, payload, size) == size ? 0 : wolfSSL_get_error(client->ssl, -1);
}

/* The size of what was in the datagram; 0: nothing for us. */
static int dc_open(dc *client, const uint8_t *datagram, int size, uint8_t *out, int room)
{
    int status;

    client->in = size ? datagram : NULL;
    client->in_size = size;
    status = wolfSSL_read(client->ssl, out, room);
    if (status > 0)
        return status;
    status = wolfSSL_get_error(client->ssl, status);
    return status == WOLFSSL_ERROR_WANT_READ ? 0 : status < 0 ? status : -1;
}

static int dc_timeout(dc *client) { return wolfSSL_dtls_got_timeout(client->ssl); }
static int dc_resumed(dc *client) { return wolfSSL_session_reused(client->ssl); }
static int dc_export(dc *client, const char *label, uint8_t *out, int size)
{
    return wolfSSL_export_keying_material(client->ssl, out, (size_t)size, label, strlen(label), NULL, 0, 0) == WOLFSSL_SUCCESS;
}
