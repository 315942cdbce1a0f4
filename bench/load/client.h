/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A VPN client: TCP, TLS 1.3 on P-256, the login, an open tunnel, and DTLS if requested. Blocking calls; one thread at a
 * time per client. Functions return 0 or a negative errno.
 */
#ifndef BENCH_LOAD_CLIENT_H
#define BENCH_LOAD_CLIENT_H

#include "channel.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define LC_BUFFER (64 * 1024)              /* encrypted records of one send() or recv() */
#define LC_HEADROOM 8                   /* in front of a payload, for the header of its frame */
#define LC_PAYLOAD_MAX 2048

enum lc_type { LC_DATA = 0, LC_DPD_REQUEST = 3, LC_DPD_RESPONSE = 4, LC_DISCONNECT = 5 };

struct lc_target {
    struct sockaddr_in address;
    const char *user;
    const char *password;
    const char *certificate, *key;      /* PEM files of the client's certificate; NULL: none */
    long users;                         /* named `user` and a number, with codes if asked; 0: `user` alone, without */
    int dtls;                           /* open a UDP channel, and send over it */
};

struct lc_contexts {
    WOLFSSL_CTX *tls, *dtls;
};

struct lc_client {
    int fd;                             /* owned; -1: closed */
    WOLFSSL *tls;                       /* owned; NULL before lc_handshake */
    struct lc_channel *channel;         /* owned; NULL: packets go over TLS */
    uint32_t inner_ipv4;                /* network order, after lc_open_tunnel */
    uint8_t app_id[LC_NAME];            /* names the session in a DTLS hello */
    long login;                         /* number of this login in the run */
    int offered_dtls;                   /* the server gave an app_id */
    size_t out_size, in_at, in_size;
    int gather;                         /* records stay in `out` until lc_flush */
    char cookies[2048];
    uint8_t out[LC_BUFFER], in[LC_BUFFER];
};

int lc_contexts(struct lc_contexts *contexts, const struct lc_target *target);

void lc_init(struct lc_client *client);
int lc_connect(struct lc_client *client, const struct lc_target *target);
int lc_handshake(struct lc_client *client, const struct lc_contexts *contexts, const struct lc_target *target);
int lc_open_tunnel(struct lc_client *client, const struct lc_target *target);   /* login and CONNECT: login.c */
int lc_open_channel(struct lc_client *client, const struct lc_contexts *contexts, const struct lc_target *target);
/* Timeout of reads and writes, which then return -EAGAIN. */
int lc_set_timeout(struct lc_client *client, long microseconds);
/* Adds a frame. Requires LC_HEADROOM writable bytes before the payload. Sent by lc_flush, or when the buffer is full. */
int lc_push(struct lc_client *client, enum lc_type type, uint8_t *payload, size_t size);
int lc_flush(struct lc_client *client);
/* Receives one frame into `data`: returns its type, sets payload and size. -EAGAIN after the timeout. */
int lc_pull(struct lc_client *client, uint8_t *data, size_t room, const uint8_t **payload, size_t *size);
void lc_disconnect(struct lc_client *client);   /* sends DISCONNECT: the server ends the session */
void lc_close(struct lc_client *client);    /* with RST, so that no port stays in TIME_WAIT */

#endif
