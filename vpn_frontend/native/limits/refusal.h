/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Verdicts about packets of sessions with limits.
 */
#ifndef VPN_FRONTEND_REFUSAL_H
#define VPN_FRONTEND_REFUSAL_H

enum gw_direction { GW_FROM_CLIENT, GW_TO_CLIENT };

enum gw_refusal {
    GW_PERMITTED,
    GW_REFUSED_ROUTE,
    GW_REFUSED_PORT,
    GW_REFUSED_FRAGMENT,
    GW_REFUSED_RATE,
    GW_REFUSED_QUOTA,
    GW_REFUSALS,
};

#endif
