/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Bounds what one source holds of the places for connections, and finds the connection that leaves when the places run out.
 */
#ifndef VPN_FRONTEND_SOURCE_EVICTION_H
#define VPN_FRONTEND_SOURCE_EVICTION_H

#include "runtime/worker.h"

#define GW_SOURCE_SHARE 16u             /* one source holds at most this part of the places, and as many are kept for newcomers */
#define GW_SILENT (3 * GW_SECOND)       /* silence in which a connection does not count as idle: a phone on a bad network */

/* Makes room for a connection of `peer`. If its source has its share, the oldest of the source that was silent for GW_SILENT ends.
 * If the places run out, the oldest silent one of the source with the most ends; if none of it is silent, its oldest. Only
 * connections of this worker are ended. */
void gw_sources_make_room(struct gw_worker *worker, const uint8_t peer[16]);

#endif
