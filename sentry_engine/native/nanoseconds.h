/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Python's seconds as ns and back, as sentry_engine.cores.nanoseconds does.
 */
#ifndef SENTRY_ENGINE_NANOSECONDS_H
#define SENTRY_ENGINE_NANOSECONDS_H

#include "plan.h"

#include <math.h>

#define SE_MAX_SECONDS 9.2e9 /* 292 years, which fit in 63 bits of ns; longer is SE_FOREVER */
#define SE_MAX_NS UINT64_C(9200000000000000000)

/* Negative seconds and NaN are 0. */
static inline uint64_t se_to_ns(double seconds)
{
    if (!(seconds > 0))
        return 0;
    return seconds < SE_MAX_SECONDS ? (uint64_t)llround(seconds * 1e9) : SE_FOREVER;
}

/* A time after `now`. Beyond what se_to_ns takes it is SE_FOREVER, too. */
static inline uint64_t se_add_ns(uint64_t now, uint64_t duration)
{
    return now < SE_MAX_NS && duration < SE_MAX_NS - now ? now + duration : SE_FOREVER;
}

/* SE_FOREVER is inf. */
static inline double se_to_seconds(uint64_t ns)
{
    return ns == SE_FOREVER ? INFINITY : (double)ns / 1e9;
}

#endif
