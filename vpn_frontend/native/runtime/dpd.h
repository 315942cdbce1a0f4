/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Dead peer detection. Ticks come late on a busy machine, or after a suspend. So a peer is dead only if a probe left after it was
 * last heard and it then had half of `period` to answer.
 */
#ifndef VPN_FRONTEND_DPD_H
#define VPN_FRONTEND_DPD_H

#include <stdbool.h>
#include <stdint.h>

enum gw_dpd { GW_DPD_OK, GW_DPD_PROBE, GW_DPD_DEAD };

/* Returns what is due. `heard`: when the peer was last heard; `probed`: when the last probe left; all in ns. A probe is due after
 * `period` of silence, and again after each half of it. The peer is dead after twice `period`. A `period` of 0: never. */
static inline enum gw_dpd gw_dpd(uint64_t now, uint64_t heard, uint64_t probed, uint64_t period)
{
    bool is_probed = probed > heard;

    if (!period || now - heard < period || now - probed < period / 2)
        return GW_DPD_OK;
    return is_probed && now - heard >= 2 * period ? GW_DPD_DEAD : GW_DPD_PROBE;
}

/* The first `now` at which gw_dpd may say anything else than OK, if the peer is not heard until then. UINT64_MAX: never. */
static inline uint64_t gw_dpd_due(uint64_t heard, uint64_t probed, uint64_t period)
{
    uint64_t silent = heard + period, again = probed + period / 2;

    if (!period)
        return UINT64_MAX;
    return silent > again ? silent : again;
}

#endif
