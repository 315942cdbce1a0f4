/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One DTLS connection: its handshake, from a ClientHello with a valid cookie on, and with GW_DTLS_CERTIFICATE the proof after it.
 * The session's DTLS channel uses the connection once it works (tunnel/dtls_channel.h).
 */
#ifndef VPN_FRONTEND_DTLS_CONNECTION_H
#define VPN_FRONTEND_DTLS_CONNECTION_H

#include "dtls/udp_port.h"
#include "runtime/worker.h"

#define GW_DTLS_HANDSHAKE_TIME (12 * GW_SECOND)     /* clients give up within it */
#define GW_DTLS_PROOF_TIME (4 * GW_SECOND)          /* from the end of a handshake to its proof */

struct gw_dtls_connection {
    WOLFSSL *ssl;                   /* owned */
    struct gw_dtls_io io;
    struct gw_signature signature;  /* GW_DTLS_CERTIFICATE */
    enum gw_dtls_content content;   /* of the datagram that was fed last */
    struct gw_worker *worker;
    struct gw_path path;
    uint8_t random[GW_DTLS_RANDOM_SIZE];
    uint64_t started, deadline;     /* deadline: when the last flight is retransmitted */
    struct gw_proof proof;          /* GW_DTLS_CERTIFICATE, once the handshake is done */
    uint64_t proof_since;           /* since when a proof is expected; 0: none is */
    bool confirmed;                 /* the client has our last flight: unencrypted records are ignored */
};

/* Returns a connection for a ClientHello with this random. `config` must outlive it. NULL: out of memory. */
struct gw_dtls_connection *gw_dtls_connection_new(struct gw_worker *worker, const struct gw_dtls_config *config,
                                                  const struct gw_datagram *info, const uint8_t random[GW_DTLS_RANDOM_SIZE]);
void gw_dtls_connection_free(struct gw_dtls_connection *connection);
/* True if the connection has this path; false for NULL. */
bool gw_dtls_connection_is_at(const struct gw_dtls_connection *connection, const struct gw_path *path);
/* Sets the datagram that wolfSSL reads next. */
void gw_dtls_connection_feed(struct gw_dtls_connection *connection, const uint8_t *datagram, size_t size);
/* Handles a datagram of the handshake or the proof. GW_DTLS_DONE: the connection works, and records behind the client's last flight
 * may wait in it. GW_DTLS_BROKEN: counted, to be freed. */
enum gw_dtls_result gw_dtls_connection_advance(struct gw_dtls_connection *connection, const uint8_t *datagram, size_t size);
/* Once a second until the connection works: retransmits the last flight when due. False: timed out, counted, to be freed. */
bool gw_dtls_connection_tick(struct gw_dtls_connection *connection);
/* The client has our last flight: frees the memory that only its retransmission needs. */
void gw_dtls_connection_confirm(struct gw_dtls_connection *connection);
/* True if the frame is the client's proof. Each repetition is answered: an answer may have been lost. */
bool gw_dtls_connection_is_proof(const struct gw_dtls_connection *connection, const uint8_t *frame, size_t size);
void gw_dtls_connection_answer_proof(struct gw_dtls_connection *connection);

#endif
