/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The UDP channel of a client: DTLS 1.2 with a pre-shared key (PSK-NEGOTIATE). Records of one size leave as one segmented
 * datagram (UDP_SEGMENT). One call receives what the kernel merged (UDP_GRO). Functions return 0 or a negative errno.
 */
#ifndef BENCH_LOAD_CHANNEL_H
#define BENCH_LOAD_CHANNEL_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define LC_NAME 32                      /* bytes of the App-ID */
#define LC_KEY 32                       /* bytes exported from the TLS session */

struct lc_channel;

WOLFSSL_CTX *lc_channel_context(void);  /* NULL: out of memory */
/* NULL with errno: no socket, no memory, or no answer. */
struct lc_channel *lc_channel_open(WOLFSSL_CTX *context, const struct sockaddr_in *server, const uint8_t name[LC_NAME],
                                   const uint8_t key[LC_KEY]);
void lc_channel_close(struct lc_channel *channel);
int lc_channel_set_timeout(struct lc_channel *channel, long microseconds);
/* Adds a record of type byte and payload; sent by lc_channel_flush, or when no more fits. */
int lc_channel_push(struct lc_channel *channel, const uint8_t *data, size_t size);
int lc_channel_flush(struct lc_channel *channel);
/* Returns the size of one record's content, or -EAGAIN after the timeout. */
long lc_channel_pull(struct lc_channel *channel, uint8_t *data, size_t room);

#endif
