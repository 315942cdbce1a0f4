/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Ids of connections and sessions: generation (32 bits) | slot (24 bits) | worker (8 bits). The generation of a slot grows each
 * time the slot is freed, so an id never means two things. The worker is that of the connection, or the session's first one.
 */
#ifndef VPN_FRONTEND_ID_H
#define VPN_FRONTEND_ID_H

#include <stdint.h>

#define GW_SLOTS_MAX (1u << 24)

static inline uint32_t gw_id_worker(uint64_t id) { return (uint32_t)(id & 0xff); }
static inline uint32_t gw_id_slot(uint64_t id) { return (uint32_t)(id >> 8) & (GW_SLOTS_MAX - 1); }
static inline uint64_t gw_id(uint32_t generation, uint32_t slot, uint32_t worker)
{
    return (uint64_t)generation << 32 | (uint64_t)slot << 8 | worker;
}

#endif
