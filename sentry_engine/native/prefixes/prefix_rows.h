/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The prefixes of all tiers of one address family as rows, sorted by address, then length (shorter first), then tier. An IPv4
 * row has its address in the upper half of the high word, so that the same code flattens both families.
 */
#ifndef SENTRY_ENGINE_PREFIX_ROWS_H
#define SENTRY_ENGINE_PREFIX_ROWS_H

#include "ip_address.h"
#include "plan.h"

#include <stddef.h>

struct se_prefix_row {
    struct se_address start;
    uint32_t value;
    uint8_t length; /* 0 to 32 for IPv4, 0 to 128 for IPv6 */
    uint8_t tier;
};

struct se_prefix_rows {
    struct se_prefix_row *row; /* owned; se_prefix_rows_free */
    size_t count;
};

/*
 * Checks every row of the columns (`values_below[tier]` bounds its value), splits them by family, and sorts. The caller frees
 * both by se_prefix_rows_free. Returns 0, -ENOMEM, or -E2BIG or -EINVAL with `fault` filled; on failure both are empty.
 */
int se_prefix_rows_load(const struct se_table_columns columns[SE_TIERS], const uint32_t values_below[SE_TIERS],
                 struct se_prefix_rows *v4, struct se_prefix_rows *v6, struct se_fault *fault);
void se_prefix_rows_free(struct se_prefix_rows *rows);

#endif
