/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One client as the load generator needs it: TCP, TLS 1.3 on P-256, the login, an open tunnel. Blocking calls, one thread
 * at a time per client. Functions return 0 or a negative errno.
 */
#ifndef BENCH_LOAD_CLIENT_H
#define BENCH_LOAD_CLIENT_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define LC_OUTBOX (64 * 1024)           /* sealed records gathered for one send() */
#define LC_FRAME_HEADER 8

struct lc_target {
    struct sockaddr_in address;
    const char *user;
    const char *password;
};

struct lc_client {
    int fd;                             /* owned; -1: closed */
    WOLFSSL *tls;                       /* owned; NULL before lc_handshake */
    uint32_t inner_ipv4;                /* network order, after lc_open_tunnel */
    size_t outbox_size;
    int gather;                         /* records stay in the outbox until lc_flush */
    uint8_t outbox[LC_OUTBOX];
    char cookies[2048];
    char text[16384];                   /* the newest HTTP answer */
};

WOLFSSL_CTX *lc_context(void);          /* NULL: out of memory */

void lc_init(struct lc_client *client);
int lc_connect(struct lc_client *client, const struct lc_target *target);
int lc_handshake(struct lc_client *client, WOLFSSL_CTX *context);
int lc_open_tunnel(struct lc_client *client, const struct lc_target *target);   /* login and CONNECT */
/* One inner packet; goes out with lc_flush, or at once if the outbox is full. */
int lc_push_packet(struct lc_client *client, const uint8_t *packet, size_t size);
int lc_flush(struct lc_client *client);
/* One frame's payload into `data`; its size, 0 for a frame that is not DATA, or negative errno. */
long lc_pull_packet(struct lc_client *client, uint8_t *data, size_t size);
void lc_goodbye(struct lc_client *client);  /* DISCONNECT, so that the server ends the session */
void lc_close(struct lc_client *client);    /* with a reset, so that no port waits in TIME_WAIT */

#endif
