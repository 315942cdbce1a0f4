/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Hashes of addresses. With a secret seed peers cannot choose addresses of one bucket.
 */
#ifndef VPN_FRONTEND_MIX_H
#define VPN_FRONTEND_MIX_H

#include <stdint.h>

/* The finalizer of splitmix64: every bit of the result depends on every bit of `value`. */
static inline uint64_t gw_mix(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

#endif
