/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One client as the load generator needs it: TCP, TLS 1.3 on P-256, the login, an open tunnel, and DTLS beside it where that
 * is asked for. Blocking calls, one thread at a time per client. Functions return 0 or a negative errno.
 */
#ifndef BENCH_LOAD_CLIENT_H
#define BENCH_LOAD_CLIENT_H

#include "channel.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define LC_BOX (64 * 1024)              /* sealed records gathered for one send(), or taken by one recv() */
#define LC_HEADROOM 8                   /* in front of a payload that is sent, for the header of its frame */
#define LC_PAYLOAD_MAX 2048

enum lc_type { LC_DATA = 0, LC_DPD_REQUEST = 3, LC_DPD_RESPONSE = 4, LC_DISCONNECT = 5 };

struct lc_target {
    struct sockaddr_in address;
    const char *user;
    const char *password;
    int dtls;                           /* open a UDP channel too, and send through it */
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
    int offered_dtls;                   /* the server gave an app_id */
    size_t out_size, in_at, in_size;
    int gather;                         /* records stay in the outbox until lc_flush */
    char cookies[2048];
    uint8_t out[LC_BOX], in[LC_BOX];
};

int lc_contexts(struct lc_contexts *contexts);

void lc_init(struct lc_client *client);
int lc_connect(struct lc_client *client, const struct lc_target *target);
int lc_handshake(struct lc_client *client, const struct lc_contexts *contexts, const struct lc_target *target);
int lc_open_tunnel(struct lc_client *client, const struct lc_target *target);   /* login and CONNECT: login.c */
int lc_open_channel(struct lc_client *client, const struct lc_contexts *contexts, const struct lc_target *target);
/* Reads and writes give up after so long, with -EAGAIN. */
int lc_set_patience(struct lc_client *client, long microseconds);
/* One frame whose payload has LC_HEADROOM writable bytes before it; goes out with lc_flush, or at once if the box is full. */
int lc_push(struct lc_client *client, enum lc_type type, uint8_t *payload, size_t size);
int lc_flush(struct lc_client *client);
/* One frame into `data`: its type, and its payload's place and size. -EAGAIN: none came for as long as the patience goes. */
int lc_pull(struct lc_client *client, uint8_t *data, size_t room, const uint8_t **payload, size_t *size);
void lc_goodbye(struct lc_client *client);  /* DISCONNECT, so that the server ends the session */
void lc_close(struct lc_client *client);    /* with a reset, so that no port waits in TIME_WAIT */

#endif
