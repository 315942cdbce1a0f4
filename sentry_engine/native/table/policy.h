/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A policy in force: one block of memory without a pointer in it, so that it can be checksummed, written to a file and read
 * back, and a view of it with the addresses of its sections worked out. Immutable from the moment it is published; only the
 * hit counters beside it change.
 */
#ifndef SENTRY_ENGINE_POLICY_H
#define SENTRY_ENGINE_POLICY_H

#include "table/flatten.h"

#include <stdatomic.h>

#define SE_SNAPSHOT_MAGIC "ocsentry"
#define SE_SNAPSHOT_ABI 1u      /* of the layout below; a file of any other is refused */
#define SE_MAX_EVENTS 1024u     /* built-in and custom */
#define SE_MAX_LIMITS 65536u
#define SE_MAX_RULES (1u << 26) /* 8 bytes of counter each */
#define SE_MAX_SET_CELLS (1u << 22) /* sets of limits times events: 16 MB */
#define SE_MAX_PAYBACKS 1024u
#define SE_MAX_KEPT_RULES 65536u /* names of rules that outlive their plan, in Python's list */
#define SE_NO_ACTION 255u       /* on_missing: the policy does not care */
#define SE_NO_LIMIT UINT32_MAX
#define SE_FOREVER UINT64_MAX
#define SE_REASONS 25u          /* in sentry_engine.verdict.Reason */

/* sentry_engine.cores.plan.Limit, and what counting needs worked out once. Times in ns. */
struct se_limit {
    uint64_t window, penalty;
    uint64_t blacklist_ttl;   /* SE_FOREVER: without end */
    uint64_t strike_memory;
    double penalty_seconds, penalty_growth, penalty_max_seconds;
    uint32_t rule;            /* index to the plan's rule names */
    uint32_t kept_rule;       /* number of the name in the engine's own list, which outlives the plan */
    uint32_t max_events;      /* 1 to 65535 */
    uint32_t blacklist_threshold; /* 0: never */
    uint32_t event;
    uint32_t unit_shift;      /* a unit of the window table is 2^unit_shift ns; set by se_window_prepare */
    uint32_t window_units;
    uint32_t reserved;
};

struct se_payback {
    uint32_t event, from_event, points, reserved;
};

struct se_entry {
    uint32_t rule;            /* UINT32_MAX: none */
    uint8_t reason;
    uint8_t reserved[3];
};

/* Where a section lies: bytes from the start of the block, and how many items it has. */
struct se_section {
    uint64_t offset, count;
};

/* The direct index of a prefix table: slot = (key - base) >> shift, held inside 0 to slots - 1. */
struct se_index {
    uint64_t base;
    uint32_t shift, slots;
};

struct se_range4 {
    uint32_t start, cell;
};

#define SE_CELL_DEEP (1u << 31) /* a /64 that holds longer prefixes: the rest is the number of its group */

/* The ranges inside one /64. */
struct se_deep_group {
    uint32_t first, count;
};

struct se_snapshot {
    char magic[8];
    uint32_t abi, header_size;
    uint64_t size;            /* of the whole block */
    uint64_t checksum;        /* of all bytes after this field; 0 until the snapshot is written to a file */
    uint64_t version;
    uint32_t rule_count, event_count, set_count;
    uint8_t default_action, on_missing; /* enum se_action; on_missing also SE_NO_ACTION */
    uint8_t ipv4_prefix, ipv6_prefix;   /* bits of a source: 1 to 32, 1 to 64 */
    uint32_t escalate_after, reserved;
    uint64_t prefixes4, prefixes6;      /* rows that were flattened, for the record */
    struct se_index index4, index6;
    struct se_section slots4, ranges4;              /* uint32_t, struct se_range4 */
    struct se_section slots6, starts6, cells6;      /* uint32_t, uint64_t, uint32_t */
    struct se_section groups, deep_starts, deep_cells; /* struct se_deep_group, uint64_t, uint32_t */
    struct se_section cells;                        /* uint32_t, see cells.h */
    struct se_section timed, entries;               /* struct se_timed, struct se_entry */
    struct se_section limits, sets, paybacks;       /* struct se_limit, uint32_t [set][event], struct se_payback */
};

struct se_policy {
    const struct se_snapshot *snapshot; /* owned, of `mapped` bytes; se_policy_free */
    size_t mapped;
    const uint32_t *slots4;
    const struct se_range4 *ranges4;
    const uint32_t *slots6;
    const uint64_t *starts6;
    const uint32_t *cells6;
    const struct se_deep_group *groups;
    const uint64_t *deep_starts;
    const uint32_t *deep_cells;
    const uint32_t *cells;
    const struct se_timed *timed;
    const struct se_entry *entries;
    const struct se_limit *limits;
    const uint32_t *sets;
    const struct se_payback *paybacks;
    _Atomic uint64_t *hits;   /* owned; by index of the rule */
};

/*
 * What readers are given: a policy, and optionally an overlay whose only table is RULES. An overlay holds what changes often
 * (blocks from the API), so that one more of them does not rebuild a million prefixes. Its rules are numbered after those of
 * the base. Between equal prefixes the base wins, as the lower entry would in one table.
 */
struct se_in_force {
    const struct se_policy *base, *overlay; /* not owned; overlay: NULL if there is none */
    uint64_t retired_at;
    uint32_t generation;      /* which publication this was */
};

/* Takes over a block of `mapped` bytes from se_block_map. Returns NULL when memory is out; then the block is freed. */
struct se_policy *se_policy_open(const struct se_snapshot *snapshot, size_t mapped);
void se_policy_free(struct se_policy *policy);

/* Bytes without the hit counters, and how many rules and limits a policy has. */
uint64_t se_policy_bytes(const struct se_policy *policy);
uint32_t se_policy_rules(const struct se_policy *policy);
uint32_t se_policy_limits(const struct se_policy *policy);

/* Anonymous zeroed memory, in huge pages where the kernel will. NULL when there is none. */
void *se_block_map(size_t size);
void se_block_unmap(const void *block, size_t size);

/* Against torn and rotten files, not against forgers: what is read is checked for sense besides. */
uint64_t se_checksum(const void *bytes, uint64_t size);

#endif
