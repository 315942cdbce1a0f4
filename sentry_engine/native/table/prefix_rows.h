/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The prefixes of all tiers of one address family as rows in one order: by address, the shorter prefix first, then by tier.
 * IPv4 rows carry their address in the upper half of the high word, so that both families are flattened by the same code.
 */
#ifndef SENTRY_ENGINE_ROWS_H
#define SENTRY_ENGINE_ROWS_H

#include "ip_address.h"

#include <stddef.h>

#define SE_TIERS 7u              /* sentry_engine.cores.plan.Tier, in its order */
#define SE_LIMITS_TIER 6u        /* its values are sets of limits, those of the others are entries */
#define SE_MAX_ROWS (1u << 26)   /* of all tiers together: 64 million, at 24 bytes each while a policy is built */

/* The columns of one tier, as sentry_engine.cores.plan.PrefixTable has them. The memory is the caller's. */
struct se_table_columns {
    const uint8_t *networks;
    const uint8_t *lengths;
    const uint32_t *values;
    uint64_t count;
};

struct se_row {
    struct se_address start;
    uint32_t value;
    uint8_t length; /* 0 to 32 for IPv4, 0 to 128 for IPv6 */
    uint8_t tier;
};

struct se_rows {
    struct se_row *row; /* owned; se_rows_free */
    size_t count;
};

/* Where a plan is wrong: tier and row for the message. */
struct se_fault {
    const char *what;
    uint32_t tier;
    uint64_t row;
};

/*
 * Splits the columns of all tiers by family, checks every row (`values_below[tier]` bounds its value), and sorts.
 * Returns 0, -ENOMEM, -E2BIG or -EINVAL with `fault` filled; then nothing is left to free.
 */
int se_rows_load(const struct se_table_columns columns[SE_TIERS], const uint32_t values_below[SE_TIERS],
                 struct se_rows *v4, struct se_rows *v6, struct se_fault *fault);
void se_rows_free(struct se_rows *rows);

#endif
