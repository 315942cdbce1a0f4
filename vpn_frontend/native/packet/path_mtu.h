/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Inner packets that are larger than their client's tunnel carries, as a router treats them: IPv4 packets that may be are
 * fragmented (RFC 791), of all others the sender hears which size would pass (RFC 1191, RFC 8201).
 */
#ifndef VPN_FRONTEND_OVERSIZE_H
#define VPN_FRONTEND_OVERSIZE_H

#include "runtime/worker.h"

#define GW_TOO_BIG_RATE 32u         /* messages to senders per session and second (RFC 1812 section 4.3.2.8) */

/* True: it went on in fragments. False: it may not be split. */
bool gw_oversize_split(struct gw_worker *worker, struct gw_session *session, const uint8_t *packet, size_t size, bool control);
/* Tells the sender of one that was dropped, where that may be, which size would have passed. */
void gw_oversize_tell(struct gw_worker *worker, struct gw_session *session, const uint8_t *packet, size_t size);

#endif
