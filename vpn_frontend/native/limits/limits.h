/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The limits of one session: what it may reach, how fast, and how much. A session without limits has none of this, and pays one
 * branch per packet.
 */
#ifndef VPN_FRONTEND_LIMITS_H
#define VPN_FRONTEND_LIMITS_H

#include "limits/refusal.h"
#include "runtime/worker.h"

/* Returns limits with references of their own; NULL: out of memory. */
struct gw_limits *gw_limits_new(const struct gw_session_limits *from);
/* NULL is ignored. */
void gw_limits_free(struct gw_limits *limits);

/* Sets the session's limits, which it owns then. NULL: none. */
void gw_limits_set(struct gw_session *session, struct gw_limits *limits);

/* Checks a packet of a session with limits, of which gw_inner_read has filled `inner`. Returns GW_STAT_NONE or the reason to drop. */
enum gw_stat gw_limits_check(struct gw_worker *worker, struct gw_session *session, enum gw_direction direction,
                             const uint8_t *packet, size_t size, const struct gw_inner *inner);
/* Accounts for a packet that passed. */
void gw_limits_charge(struct gw_limits *limits, size_t size);

#endif
