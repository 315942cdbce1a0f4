/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The DTLS half of a session, on the session's worker. Up to two connections at a time: the one in use, and one in the making
 * that replaces it once it works, so that a client which makes its DTLS anew is served throughout. With GW_DTLS_CERTIFICATE
 * anybody may finish the handshake: such a connection works once the proof came that its client is the session's. Until then
 * nothing of it is delivered.
 *
 * Packets for the client go over DTLS while it is `active`: from the moment it is up, until the client falls back (data of it
 * comes over TLS) or is not heard for a DPD period, and again when data of it comes over DTLS.
 */
#ifndef VPN_FRONTEND_DTLS_CHANNEL_H
#define VPN_FRONTEND_DTLS_CHANNEL_H

#include "dtls/connection.h"

#define GW_DTLS_HELLO_PAUSE (3 * GW_SECOND)         /* between two handshakes of one session */
#define GW_DTLS_CONTROL_MAX 512u        /* bytes of a control frame's payload: a reason and a sentence */
#define GW_DTLS_REBINDS 64u       /* datagrams of other ports tried per session and second */

struct gw_dtls {
    struct gw_dtls_config config;
    struct gw_dtls_connection *live, *pending;     /* NULL: none */
    bool active;
    bool attached;                  /* a TLS channel has begun since the session expects this client */
    uint64_t heard, probed;
    uint64_t rebind_second;
    uint32_t rebinds;
};

/* A session expects this client from now on; connections made under an older configuration end. */
void gw_dtls_expect(struct gw_worker *worker, struct gw_session *session, const struct gw_dtls_config *config);
/* The session has a new TLS channel: an expectation that is older than it ends. */
void gw_dtls_attached(struct gw_worker *worker, struct gw_session *session);
/* The session expects nobody any more. */
void gw_dtls_forget(struct gw_worker *worker, struct gw_session *session);
/* Frees without a word. */
void gw_dtls_destroy(struct gw_dtls *dtls);
/* Ends the connections, keeps the expectation: the client will come again. Tells Python where one was up. */
void gw_dtls_drop(struct gw_worker *worker, struct gw_session *session, enum gw_cause cause);
void gw_dtls_take(struct gw_worker *worker, struct gw_session *session, const struct gw_datagram *info, const uint8_t *datagram);
/* Whether this is where its datagrams come from now. */
bool gw_dtls_is_at(const struct gw_session *session, const struct gw_path *path);
/* The session has come to this worker. */
void gw_dtls_adopt(struct gw_worker *worker, struct gw_session *session);
/* An inner packet for the client, with a byte of room in front of it: 0, or why it has to go another way. */
int gw_dtls_send(struct gw_session *session, uint8_t *packet, size_t size);
/* A control frame, where there is a connection. */
void gw_dtls_send_control(struct gw_session *session, enum gw_frame_type type, const uint8_t *payload, size_t size);
/* When the client was last heard over DTLS; 0: there is none. */
static inline uint64_t gw_dtls_heard(const struct gw_dtls *dtls)
{
    return dtls && dtls->live ? dtls->heard : 0;
}
/* Data came over TLS: the client does not trust its DTLS any more. */
static inline void gw_dtls_fall_back(struct gw_dtls *dtls)
{
    if (dtls)
        dtls->active = false;
}
/* Once a second. */
void gw_dtls_tick(struct gw_worker *worker, struct gw_session *session);

#endif
