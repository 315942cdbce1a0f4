/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "channel.h"

#include "tests/vpn_frontend/native/named_session.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define BUFFER 61440                       /* bytes of one segmented datagram, below the 65 507 of UDP */
#define SEGMENTS_MAX 44                 /* in it: Linux takes 64, and 44 of full size fit */
#define MTU 1500
#define TRIES 12                        /* of the handshake, each waits TRY_US for an answer */
#define TRY_US 400000
#define RECEIVE_BUFFER (4 << 20)        /* bytes; root may exceed the system's limit */

struct lc_channel {
    int fd;                             /* owned */
    WOLFSSL *ssl;                       /* owned */
    uint8_t key[LC_KEY];
    size_t segment, out_size, segments; /* of the outgoing buffer: each record but the last fills a segment */
    size_t in_at, in_size, in_segment;
    int gather;
    uint8_t out[BUFFER], in[65536];
};

static unsigned int give_key(WOLFSSL *ssl, const char *hint, char *identity, unsigned int identity_size, unsigned char *key,
                             unsigned int key_size)
{
    const struct lc_channel *channel = wolfSSL_GetIOReadCtx(ssl);

    (void)hint;
    if (identity_size < 4 || key_size < LC_KEY)
        return 0;
    strcpy(identity, "psk");
    memcpy(key, channel->key, LC_KEY);
    return LC_KEY;
}

static int send_box(struct lc_channel *channel)
{
    char control[CMSG_SPACE(sizeof(uint16_t))] = { 0 };
    struct iovec piece = { channel->out, channel->out_size };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

    if (!channel->out_size)
        return 0;
    if (channel->segments > 1) {
        struct cmsghdr *head = (struct cmsghdr *)control;
        uint16_t size = (uint16_t)channel->segment;

        message.msg_control = control;
        message.msg_controllen = sizeof control;
        head->cmsg_level = SOL_UDP;
        head->cmsg_type = UDP_SEGMENT;
        head->cmsg_len = CMSG_LEN(sizeof size);
        memcpy(CMSG_DATA(head), &size, sizeof size);
    }
    channel->out_size = channel->segments = 0;
    while (sendmsg(channel->fd, &message, MSG_NOSIGNAL) < 0) {
        if (errno == ENOBUFS || errno == EAGAIN)
            return 0;                   /* lost, as on any network */
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

static int dtls_send(WOLFSSL *ssl, char *data, int size, void *context)
{
    struct lc_channel *channel = context;
    int last;

    (void)ssl;
    if (size <= 0 || size > MTU)
        return WOLFSSL_CBIO_ERR_GENERAL;
    if (channel->segments && ((size_t)size > channel->segment || channel->out_size + (size_t)size > BUFFER))
        if (send_box(channel))
            return WOLFSSL_CBIO_ERR_CONN_CLOSE;
    if (!channel->segments)
        channel->segment = (size_t)size;
    memcpy(channel->out + channel->out_size, data, (size_t)size);
    channel->out_size += (size_t)size;
    channel->segments++;
    last = (size_t)size < channel->segment || channel->segments == SEGMENTS_MAX;
    if ((last || !channel->gather) && send_box(channel))
        return WOLFSSL_CBIO_ERR_CONN_CLOSE;
    return size;
}

static int take_datagrams(struct lc_channel *channel)
{
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec piece = { channel->in, sizeof channel->in };
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control,
    };
    ssize_t got;

    do
        got = recvmsg(channel->fd, &message, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN ? WOLFSSL_CBIO_ERR_WANT_READ : WOLFSSL_CBIO_ERR_CONN_CLOSE;
    channel->in_at = 0;
    channel->in_size = channel->in_segment = (size_t)got;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
        int size;

        if (head->cmsg_level != SOL_UDP || head->cmsg_type != UDP_GRO)
            continue;
        memcpy(&size, CMSG_DATA(head), sizeof size);
        if (size > 0)
            channel->in_segment = (size_t)size;
    }
    return 0;
}

static int dtls_receive(WOLFSSL *ssl, char *data, int room, void *context)
{
    struct lc_channel *channel = context;
    size_t size;
    int error;

    (void)ssl;
    if (channel->in_at == channel->in_size && (error = take_datagrams(channel)))
        return error;
    size = channel->in_size - channel->in_at;
    if (size > channel->in_segment)
        size = channel->in_segment;
    channel->in_at += size;
    if (size > (size_t)room)
        size = (size_t)room;
    memcpy(data, channel->in + channel->in_at - size, size);
    return (int)size;
}

WOLFSSL_CTX *lc_channel_context(void)
{
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfDTLSv1_2_client_method());

    if (!context)
        return NULL;
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
    wolfSSL_CTX_set_cipher_list(context, "PSK-AES256-GCM-SHA384");
    wolfSSL_CTX_set_psk_client_callback(context, give_key);
    wolfSSL_CTX_DisableExtendedMasterSecret(context);
    wolfSSL_CTX_SetIOSend(context, dtls_send);
    wolfSSL_CTX_SetIORecv(context, dtls_receive);
    return context;
}

static int shake_hands(struct lc_channel *channel)
{
    for (int tries = 0; tries < TRIES;) {
        int status = wolfSSL_connect(channel->ssl);

        if (status == WOLFSSL_SUCCESS)
            return 0;
        if (wolfSSL_get_error(channel->ssl, status) != WOLFSSL_ERROR_WANT_READ)
            return -EPROTO;
        tries++;
        wolfSSL_dtls_got_timeout(channel->ssl);
    }
    return -ETIMEDOUT;
}

static int name_session(struct lc_channel *channel, const uint8_t name[LC_NAME])
{
    static const uint8_t suite[] = { 0x00, 0xa9 };
    uint8_t nothing[48] = { 0 };        /* not used: the session is not resumed */
    WOLFSSL_SESSION *session = named_session(name, nothing, 0xfd, suite);
    int status = session ? wolfSSL_set_session(channel->ssl, session) : 0;

    wolfSSL_SESSION_free(session);
    return status == WOLFSSL_SUCCESS ? 0 : -EPROTO;
}

static int open_socket(struct lc_channel *channel, const struct sockaddr_in *server)
{
    int on = 1, room = RECEIVE_BUFFER;

    channel->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (channel->fd < 0 || connect(channel->fd, (const struct sockaddr *)server, sizeof *server))
        return -errno;
    setsockopt(channel->fd, SOL_UDP, UDP_GRO, &on, sizeof on);
    if (setsockopt(channel->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room))
        setsockopt(channel->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    return lc_channel_set_timeout(channel, TRY_US);
}

struct lc_channel *lc_channel_open(WOLFSSL_CTX *context, const struct sockaddr_in *server, const uint8_t name[LC_NAME],
                                   const uint8_t key[LC_KEY])
{
    struct lc_channel *channel = calloc(1, sizeof *channel);
    int error;

    if (!channel)
        return NULL;
    channel->fd = -1;
    memcpy(channel->key, key, LC_KEY);
    channel->ssl = wolfSSL_new(context);
    error = channel->ssl ? open_socket(channel, server) : -ENOMEM;
    if (!error) {
        wolfSSL_SetIOReadCtx(channel->ssl, channel);
        wolfSSL_SetIOWriteCtx(channel->ssl, channel);
        wolfSSL_dtls_set_using_nonblock(channel->ssl, 1);
        wolfSSL_dtls_set_mtu(channel->ssl, MTU);
        error = name_session(channel, name);
    }
    if (!error)
        error = shake_hands(channel);
    if (!error)
        return channel;
    lc_channel_close(channel);
    errno = -error;
    return NULL;
}

void lc_channel_close(struct lc_channel *channel)
{
    if (!channel)
        return;
    wolfSSL_free(channel->ssl);
    if (channel->fd >= 0)
        close(channel->fd);
    free(channel);
}

int lc_channel_set_timeout(struct lc_channel *channel, long microseconds)
{
    struct timeval timeout = { microseconds / 1000000, microseconds % 1000000 };

    return setsockopt(channel->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) ? -errno : 0;
}

int lc_channel_push(struct lc_channel *channel, const uint8_t *data, size_t size)
{
    channel->gather = 1;
    return wolfSSL_write(channel->ssl, data, (int)size) == (int)size ? 0 : -ECONNRESET;
}

int lc_channel_flush(struct lc_channel *channel)
{
    return send_box(channel);
}

long lc_channel_pull(struct lc_channel *channel, uint8_t *data, size_t room)
{
    int got = wolfSSL_read(channel->ssl, data, (int)room);

    if (got > 0)
        return got;
    return wolfSSL_get_error(channel->ssl, got) == WOLFSSL_ERROR_WANT_READ ? -EAGAIN : -ECONNRESET;
}
