/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A plan: what Python hands over to build a policy from (sentry_engine.cores.plan), as columns. All memory is the caller's
 * and is only read. Times are ns, addresses 16 bytes in network order, IPv4 as ::ffff:a.b.c.d with 96 added to the length.
 *
 * cffi reads this header (cffi_headers.py).
 */
#ifndef SENTRY_ENGINE_PLAN_H
#define SENTRY_ENGINE_PLAN_H

#include <stdint.h>

#define SE_TIERS 7u                /* sentry_engine.cores.plan.Tier, in its order */
#define SE_NEVER_BLOCK_TIER 0u
#define SE_RULES_TIER 1u
#define SE_LIMITS_TIER 6u          /* its values are sets of limits, those of the other tiers are entries */
#define SE_INFORMS 3u              /* an entry's action beside enum se_action: it names a country or network, no verdict */
#define SE_NO_ACTION 255u          /* of on_missing: a missing GeoIP database changes nothing */
#define SE_NO_LIMIT 0xffffffffu
#define SE_FOREVER 0xffffffffffffffffu

#define SE_MAX_ROWS 67108864u      /* of all tiers together, at 24 bytes each while a policy is built */
#define SE_MAX_RULES 67108864u     /* 8 bytes of hit counter each */
#define SE_MAX_EVENTS 1024u        /* built-in and custom */
#define SE_MAX_LIMITS 65536u
#define SE_MAX_SET_CELLS 4194304u  /* sets of limits times events: 16 MB */
#define SE_MAX_PAYBACKS 1024u
#define SE_MAX_KEPT_RULES 65536u   /* rule ids that the engine keeps for penalties */
#define SE_BLOCK_ROWS 1048576u     /* of 56 bytes; a row takes memory from its first use on */
#define SE_BLOCK_LINGER 4096u      /* removals before a block's number is used again: recent verdicts keep their block's id */
#define SE_MAX_WINDOW 315360000000000000u /* ns: ten years */

/* The prefixes of one tier, sentry_engine.cores.plan.PrefixTable. */
struct se_table_columns {
    const uint8_t *networks;
    const uint8_t *lengths;
    const uint32_t *values;
    uint64_t count;
};

/* What the values of all tiers but LIMITS index, sentry_engine.cores.plan.Entry. */
struct se_entry_columns {
    const uint8_t *actions;  /* enum se_action, or SE_INFORMS */
    const uint8_t *reasons;  /* enum se_reason */
    const uint32_t *rules;   /* SE_NO_RULE: none */
    const uint64_t *expires; /* SE_FOREVER: never */
    uint64_t count;
};

/* sentry_engine.cores.plan.Limit, and what is derived from it once. */
struct se_limit {
    uint64_t window, penalty;
    uint64_t blacklist_ttl;   /* SE_FOREVER: without end */
    uint64_t strike_memory;
    double penalty_seconds, penalty_growth, penalty_max_seconds;
    uint32_t rule;            /* index into the plan's rule ids */
    uint32_t kept_rule;       /* number of the rule id in the engine's own list, which outlives the plan */
    uint32_t max_events;      /* 1 to 65535 */
    uint32_t blacklist_threshold; /* 0: never */
    uint32_t event;
    uint32_t unit_shift;      /* a unit of the sliding windows is 2^unit_shift ns; set by se_limit_set_units */
    uint32_t window_units;
    uint32_t reserved;
};

/* sentry_engine.cores.plan.Payback: `event` takes the newest `points` of `from_event` back. */
struct se_payback {
    uint32_t event, from_event, points, reserved;
};

struct se_plan_columns {
    uint64_t version;
    struct se_table_columns tables[SE_TIERS];
    struct se_entry_columns entries;
    const struct se_limit *limits;
    const uint32_t *sets;     /* [set_count][event_count]: index of a limit, or SE_NO_LIMIT */
    const struct se_payback *paybacks;
    uint32_t limit_count, set_count, event_count, payback_count, rule_count;
    uint32_t escalate_after;
    uint8_t default_action, on_missing, ipv4_prefix, ipv6_prefix;
};

/* Why a plan or a snapshot is refused. `tier` is SE_TIERS for what is no row of a table; `row` is then any number. */
struct se_fault {
    const char *what;
    uint32_t tier;
    uint64_t row;
};

#endif
