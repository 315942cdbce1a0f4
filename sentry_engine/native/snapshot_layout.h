/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The layout of a snapshot: a policy as one block of memory. It contains no pointer, so it can be checksummed, written to a file
 * and read back. A header, then sections.
 */
#ifndef SENTRY_ENGINE_SNAPSHOT_LAYOUT_H
#define SENTRY_ENGINE_SNAPSHOT_LAYOUT_H

#include <stdint.h>

#define SE_SNAPSHOT_MAGIC "ocsentry"
#define SE_SNAPSHOT_ABI 1u      /* of this layout; a file of any other is refused */

struct se_entry {
    uint32_t rule;            /* SE_NO_RULE: none */
    uint8_t reason;           /* enum se_reason */
    uint8_t reserved[3];
};

/* An entry that expires, for one row. From `expires` on `next` holds, the value of the next shorter prefix. */
struct se_timed {
    uint64_t expires;         /* ns */
    uint32_t value;           /* the entry, without SE_VALUE_TIMED */
    uint32_t next;            /* a value, or SE_NO_VALUE */
    uint32_t next_length;     /* of the prefix that `next` comes from */
    uint32_t reserved;
};

/* Where a section lies: bytes from the start of the block, and its number of items. */
struct se_section {
    uint64_t offset, count;
};

/* The direct index of a prefix table: slot = (key - base) >> shift, clamped to 0 to slots - 1. */
struct se_index {
    uint64_t base;
    uint32_t shift, slots;
};

struct se_range4 {
    uint32_t start, cell;
};

#define SE_CELL_DEEP (1u << 31) /* flag in cells6: a /64 with longer prefixes; the other bits number its group */

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
    uint64_t prefixes4, prefixes6;      /* rows that were flattened; informative */
    struct se_index index4, index6;
    struct se_section slots4, ranges4;                 /* uint32_t, struct se_range4 */
    struct se_section slots6, starts6, cells6;         /* uint32_t, uint64_t, uint32_t */
    struct se_section groups, deep_starts, deep_cells; /* struct se_deep_group, uint64_t, uint32_t */
    struct se_section cells;                           /* uint32_t, see prefixes/cells.h */
    struct se_section timed, entries;                  /* struct se_timed, struct se_entry */
    struct se_section limits, sets, paybacks;          /* struct se_limit, uint32_t [set][event], struct se_payback */
};

#endif
