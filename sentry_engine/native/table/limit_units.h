/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef SENTRY_ENGINE_LIMIT_UNITS_H
#define SENTRY_ENGINE_LIMIT_UNITS_H

#include "plan.h"

#define SE_MAX_WINDOW_UNITS (1u << 30) /* ages stay below twice that, far from the wrap of 32 bits */

/* Sets the unit of a limit's times: the smallest power of two ns for which a window is less than SE_MAX_WINDOW_UNITS. */
static inline void se_limit_set_units(struct se_limit *limit)
{
    uint32_t shift = 0;

    while ((limit->window - 1) >> shift >= SE_MAX_WINDOW_UNITS - 1)
        shift++;
    limit->unit_shift = shift;
    limit->window_units = (uint32_t)(((limit->window - 1) >> shift) + 1);
}

#endif
