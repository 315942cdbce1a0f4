/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The DTLS channel of a session, on the session's worker. It has up to two connections: the live one, and a pending one that
 * replaces it after its handshake. So a client that starts DTLS again is served meanwhile. With GW_DTLS_CERTIFICATE any client
 * may finish the handshake. Such a connection is used once its client has proved to be the session's (dtls/proof.h).
 *
 * Packets for the client go over DTLS while it is `active`. It is active once it is up, until the client falls back (its data
 * comes over TLS) or is silent for a DPD period. Data from the client over DTLS makes it active again.
 */
#ifndef VPN_FRONTEND_DTLS_CHANNEL_H
#define VPN_FRONTEND_DTLS_CHANNEL_H

#include "dtls/connection.h"

#define GW_DTLS_HELLO_PAUSE (3 * GW_SECOND) /* between two handshakes of one session */
#define GW_DTLS_CONTROL_MAX 512u    /* bytes of a control frame's payload: a reason and a sentence */
#define GW_DTLS_REBINDS 64u         /* datagrams from other ports that are tried per session and second */

struct gw_dtls {
    struct gw_dtls_config config;
    struct gw_dtls_connection *live, *pending;  /* owned; NULL: none */
    bool active;
    bool attached;                  /* a TLS channel has begun with this expectation */
    uint64_t heard, probed;         /* as in struct gw_session, for DTLS alone */
    uint64_t rebind_second;
    uint32_t rebinds;               /* in the second `rebind_second` */
};

/* The session expects this client. Connections made under an older expectation end. */
void gw_dtls_expect(struct gw_worker *worker, struct gw_session *session, const struct gw_dtls_config *config);
/* The session has a new TLS channel. An expectation that an earlier channel used ends. */
void gw_dtls_attached(struct gw_worker *worker, struct gw_session *session, uint32_t host);
/* Ends the connections and the expectation. */
void gw_dtls_forget(struct gw_worker *worker, struct gw_session *session);
/* Frees without an event. NULL is ignored. */
void gw_dtls_destroy(struct gw_dtls *dtls);
/* Ends the connections and keeps the expectation: the client may come again. Sends GW_DTLS_DOWN if one was live. */
void gw_dtls_drop(struct gw_worker *worker, struct gw_session *session, enum gw_cause cause);
/* Handles a datagram of the session. */
void gw_dtls_take(struct gw_worker *worker, struct gw_session *session, const struct gw_datagram *info, const uint8_t *datagram);
/* True if the live connection has this path. */
bool gw_dtls_is_at(const struct gw_session *session, const struct gw_path *path);
/* The session has migrated to this worker. */
void gw_dtls_adopt(struct gw_worker *worker, struct gw_session *session);
/* The session is about to migrate: a signature that it awaits is asked for again where it arrives. */
void gw_dtls_leave(struct gw_session *session);
/* Sends an inner packet with a byte of room in front of it. -ENOTCONN or -EIO: to be sent over TLS. */
int gw_dtls_send(struct gw_session *session, uint8_t *packet, size_t size);
/* Sends a control frame, if there is a live connection. */
void gw_dtls_send_control(struct gw_session *session, enum gw_frame_type type, const uint8_t *payload, size_t size);
/* When the client was last heard over DTLS; 0: there is none. */
static inline uint64_t gw_dtls_heard(const struct gw_dtls *dtls)
{
    return dtls && dtls->live ? dtls->heard : 0;
}
/* Data came over TLS: the client does not use its DTLS now. NULL is ignored. */
static inline void gw_dtls_fall_back(struct gw_dtls *dtls)
{
    if (dtls)
        dtls->active = false;
}
/* When gw_dtls_tick has something to do, or before: UINT64_MAX: never, as things are. */
uint64_t gw_dtls_due(const struct gw_session *session);
/* DPD, and timeouts of the pending handshake. */
void gw_dtls_tick(struct gw_worker *worker, struct gw_session *session);

#endif
