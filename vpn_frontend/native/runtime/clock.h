/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The gateway's clock: nanoseconds of CLOCK_MONOTONIC, read once per turn of a worker's loop.
 */
#ifndef VPN_FRONTEND_CLOCK_H
#define VPN_FRONTEND_CLOCK_H

#include <stdint.h>
#include <time.h>

#define GW_MS UINT64_C(1000000)
#define GW_SECOND UINT64_C(1000000000)

static inline uint64_t gw_clock_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * GW_SECOND + (uint64_t)t.tv_nsec;
}

#endif
