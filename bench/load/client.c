/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define TIMEOUT_US 20000000             /* of one read or write, until lc_set_timeout changes it */

static const char EXPORTER_LABEL[] = "EXPORTER-openconnect-psk";

static int send_all(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -errno;
        data += sent;
        size -= (size_t)sent;
    }
    return 0;
}

static int flush_tls(struct lc_client *client)
{
    int error = send_all(client->fd, client->out, client->out_size);

    client->out_size = 0;
    return error;
}

static int tls_send(WOLFSSL *tls, char *data, int size, void *context)
{
    struct lc_client *client = context;

    (void)tls;
    if (size < 0 || (size_t)size > LC_BUFFER)
        return WOLFSSL_CBIO_ERR_GENERAL;
    if (client->out_size + (size_t)size > LC_BUFFER && flush_tls(client))
        return WOLFSSL_CBIO_ERR_CONN_CLOSE;
    memcpy(client->out + client->out_size, data, (size_t)size);
    client->out_size += (size_t)size;
    if (!client->gather && flush_tls(client))
        return WOLFSSL_CBIO_ERR_CONN_CLOSE;
    return size;
}

static int tls_receive(WOLFSSL *tls, char *data, int size, void *context)
{
    struct lc_client *client = context;
    size_t taken = (size_t)size;

    (void)tls;
    if (client->in_at == client->in_size) {
        ssize_t got;

        do
            got = recv(client->fd, client->in, sizeof client->in, 0);
        while (got < 0 && errno == EINTR);
        if (got < 0 && errno == EAGAIN)
            return WOLFSSL_CBIO_ERR_WANT_READ;
        if (got <= 0)
            return WOLFSSL_CBIO_ERR_CONN_CLOSE;
        client->in_at = 0;
        client->in_size = (size_t)got;
    }
    if (taken > client->in_size - client->in_at)
        taken = client->in_size - client->in_at;
    memcpy(data, client->in + client->in_at, taken);
    client->in_at += taken;
    return (int)taken;
}

int lc_contexts(struct lc_contexts *contexts, const struct lc_target *target)
{
    int groups[] = { WOLFSSL_ECC_SECP256R1 };

    contexts->tls = wolfSSL_CTX_new(wolfTLSv1_3_client_method());
    contexts->dtls = lc_channel_context();
    if (!contexts->tls || !contexts->dtls)
        return -ENOMEM;
    wolfSSL_CTX_set_verify(contexts->tls, WOLFSSL_VERIFY_NONE, NULL);
    wolfSSL_CTX_set_groups(contexts->tls, groups, 1);
    wolfSSL_CTX_set_cipher_list(contexts->tls, "TLS13-AES256-GCM-SHA384");
    wolfSSL_CTX_SetIOSend(contexts->tls, tls_send);
    wolfSSL_CTX_SetIORecv(contexts->tls, tls_receive);
    if (target->certificate &&
        (wolfSSL_CTX_use_certificate_file(contexts->tls, target->certificate, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS ||
         wolfSSL_CTX_use_PrivateKey_file(contexts->tls, target->key, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS))
        return -EINVAL;
    return 0;
}

void lc_init(struct lc_client *client)
{
    memset(client, 0, offsetof(struct lc_client, out));
    client->fd = -1;
}

int lc_set_timeout(struct lc_client *client, long microseconds)
{
    struct timeval timeout = { microseconds / 1000000, microseconds % 1000000 };

    if (setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout))
        return -errno;
    return client->channel ? lc_channel_set_timeout(client->channel, microseconds) : 0;
}

int lc_connect(struct lc_client *client, const struct lc_target *target)
{
    struct timeval timeout = { .tv_sec = TIMEOUT_US / 1000000 };
    int on = 1, error;

    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        return -errno;
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    lc_set_timeout(client, TIMEOUT_US);
    if (!connect(client->fd, (const struct sockaddr *)&target->address, sizeof target->address))
        return 0;
    error = -errno;
    lc_close(client);
    return error;
}

int lc_handshake(struct lc_client *client, const struct lc_contexts *contexts, const struct lc_target *target)
{
    client->tls = wolfSSL_new(contexts->tls);
    if (!client->tls)
        return -ENOMEM;
    wolfSSL_SetIOReadCtx(client->tls, client);
    wolfSSL_SetIOWriteCtx(client->tls, client);
    if (target->dtls)
        wolfSSL_KeepArrays(client->tls);    /* the exporter needs them */
    if (wolfSSL_UseKeyShare(client->tls, WOLFSSL_ECC_SECP256R1) != WOLFSSL_SUCCESS)
        return -EPROTO;
    return wolfSSL_connect(client->tls) == WOLFSSL_SUCCESS ? 0 : -EPROTO;
}

int lc_open_channel(struct lc_client *client, const struct lc_contexts *contexts, const struct lc_target *target)
{
    uint8_t key[LC_KEY];

    if (!client->offered_dtls)
        return -ENOPROTOOPT;
    if (wolfSSL_export_keying_material(client->tls, key, sizeof key, EXPORTER_LABEL, sizeof EXPORTER_LABEL - 1, NULL, 0, 0) !=
        WOLFSSL_SUCCESS)
        return -EPROTO;
    wolfSSL_FreeArrays(client->tls);
    client->channel = lc_channel_open(contexts->dtls, &target->address, client->app_id, key);
    return client->channel ? 0 : -errno;
}

static int push_tls(struct lc_client *client, enum lc_type type, uint8_t *payload, size_t size)
{
    uint8_t *frame = payload - LC_HEADROOM;
    int whole = (int)(size + LC_HEADROOM);

    memcpy(frame, (uint8_t[]){ 'S', 'T', 'F', 1, (uint8_t)(size >> 8), (uint8_t)size, (uint8_t)type, 0 }, LC_HEADROOM);
    return wolfSSL_write(client->tls, frame, whole) == whole ? 0 : -ECONNRESET;
}

int lc_push(struct lc_client *client, enum lc_type type, uint8_t *payload, size_t size)
{
    if (size > LC_PAYLOAD_MAX)
        return -EMSGSIZE;
    client->gather = 1;
    if (!client->channel)
        return push_tls(client, type, payload, size);
    payload[-1] = (uint8_t)type;
    return lc_channel_push(client->channel, payload - 1, size + 1);
}

int lc_flush(struct lc_client *client)
{
    return client->channel ? lc_channel_flush(client->channel) : flush_tls(client);
}

int lc_pull(struct lc_client *client, uint8_t *data, size_t room, const uint8_t **payload, size_t *size)
{
    size_t head = client->channel ? 1 : LC_HEADROOM;
    long got;

    if (client->channel) {
        got = lc_channel_pull(client->channel, data, room);
    } else {
        got = wolfSSL_read(client->tls, data, (int)room);
        if (got <= 0)
            got = wolfSSL_get_error(client->tls, (int)got) == WOLFSSL_ERROR_WANT_READ ? -EAGAIN : -ECONNRESET;
    }
    if (got < 0)
        return (int)got;
    if ((size_t)got < head)
        return -EPROTO;
    *payload = data + head;
    *size = (size_t)got - head;
    return client->channel ? data[0] : data[6];
}

void lc_disconnect(struct lc_client *client)
{
    uint8_t frame[LC_HEADROOM + 16] = { 0 };
    static const uint8_t reason[] = "\xb0" "load is done";

    if (!client->tls)
        return;
    memcpy(frame + LC_HEADROOM, reason, sizeof reason - 1);
    if (push_tls(client, LC_DISCONNECT, frame + LC_HEADROOM, sizeof reason - 1) == 0)
        flush_tls(client);
}

void lc_close(struct lc_client *client)
{
    struct linger reset = { .l_onoff = 1, .l_linger = 0 };

    lc_channel_close(client->channel);
    client->channel = NULL;
    wolfSSL_free(client->tls);
    client->tls = NULL;
    if (client->fd < 0)
        return;
    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(client->fd);
    client->fd = -1;
}
