/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One DTLS connection, from the hello whose cookie was good: its handshake and, with GW_DTLS_CERTIFICATE, the proof behind
 * it. What a connection that works is used for is the session's business (dtls_channel.h).
 */
#ifndef VPN_FRONTEND_DTLS_LINK_H
#define VPN_FRONTEND_DTLS_LINK_H

#include "dtls/udp_port.h"
#include "runtime/worker.h"

#define GW_DTLS_HANDSHAKE_TIME (12 * GW_SECOND)     /* clients give up by then */
#define GW_DTLS_PROOF_TIME (4 * GW_SECOND)          /* from the end of a handshake with the certificate to the proof behind it */

struct gw_dtls_connection {
    WOLFSSL *ssl;
    struct gw_dtls_io io;
    enum gw_dtls_content content;   /* of the datagram that io was given last */
    struct gw_worker *worker;
    struct gw_path path;
    uint8_t random[GW_DTLS_RANDOM_SIZE];
    uint64_t started, deadline;     /* deadline: when the last flight is sent again */
    struct gw_proof proof;          /* GW_DTLS_CERTIFICATE, once the handshake is done */
    uint64_t proof_since;               /* since when the proof is waited for; 0: it is not */
    bool confirmed;                   /* the client has shown that it has our last flight: nothing in the clear counts any more */
};

/* `config` must outlive it. NULL: out of memory. */
struct gw_dtls_connection *gw_dtls_connection_new(struct gw_worker *worker, const struct gw_dtls_config *config,
                                                  const struct gw_datagram *info, const uint8_t random[GW_DTLS_RANDOM_SIZE]);
void gw_dtls_connection_free(struct gw_dtls_connection *connection);
/* False where `connection` is NULL, too. */
bool gw_dtls_connection_is_at(const struct gw_dtls_connection *connection, const struct gw_path *path);
/* What wolfSSL reads next. */
void gw_dtls_connection_feed(struct gw_dtls_connection *connection, const uint8_t *datagram, size_t size);
/* A datagram for the handshake or the proof. GW_DTLS_DONE: the connection works, and records behind the client's last flight may
 * wait in it; GW_DTLS_BROKEN: counted, to be freed. */
enum gw_dtls_result gw_dtls_connection_advance(struct gw_dtls_connection *connection, const uint8_t *datagram, size_t size);
/* To be called once a second until the connection works: sends the last flight again where it is due. False: its time is over,
 * counted, to be freed. */
bool gw_dtls_connection_tick(struct gw_dtls_connection *connection);
/* The client has our last flight: what only a repetition of it would need is given back. */
void gw_dtls_connection_confirm(struct gw_dtls_connection *connection);
/* Whether a frame is the client's proof; it is answered each time it comes, since the answer may have been lost. */
bool gw_dtls_connection_is_proof(const struct gw_dtls_connection *connection, const uint8_t *frame, size_t size);
void gw_dtls_connection_answer_proof(struct gw_dtls_connection *connection);

#endif
