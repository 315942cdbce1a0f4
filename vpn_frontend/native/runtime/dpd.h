/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the silence of a peer calls for. Ticks come late where a machine is busy, or was asleep: no peer is taken for dead that
 * was not asked since it was last heard, and given half of `patience` to answer.
 */
#ifndef VPN_FRONTEND_SILENCE_H
#define VPN_FRONTEND_SILENCE_H

#include <stdbool.h>
#include <stdint.h>

enum gw_dpd { GW_DPD_OK, GW_DPD_PROBE, GW_DPD_DEAD };

/* All in ns. Asked after `patience` and each half of it from then on, dead after twice of it; `patience` 0: never. */
static inline enum gw_dpd gw_dpd(uint64_t now, uint64_t heard, uint64_t probed, uint64_t patience)
{
    bool asked = probed > heard;

    if (!patience || now - heard < patience || now - probed < patience / 2)
        return GW_DPD_OK;
    return asked && now - heard >= 2 * patience ? GW_DPD_DEAD : GW_DPD_PROBE;
}

#endif
