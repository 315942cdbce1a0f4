/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The layout of a snapshot: a policy as one block of memory. It contains no pointer, so it can be checksummed, written to a file
 * and read back. A header, then sections.
 */
#ifndef SENTRY_ENGINE_SNAPSHOT_LAYOUT_H
#define SENTRY_ENGINE_SNAPSHOT_LAYOUT_H

#include <stdint.h>

#define SE_SNAPSHOT_MAGIC "ocsentry"
#define SE_SNAPSHOT_ABI 2u      /* of this layout; a file of any other is refused */

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

/* The first key of a slot. Keys below that of slot 0 belong to slot 0 too. */
static inline uint64_t se_slot_start(const struct se_index *index, uint32_t slot)
{
    uint64_t offset = (uint64_t)slot << index->shift;

    return offset >> index->shift != slot || offset > UINT64_MAX - index->base ? UINT64_MAX : index->base + offset;
}

struct se_range4 {
    uint32_t start, cell;
};

#define SE_LINE_STARTS 13u
#define SE_LINE_CELLS 8u
#define SE_LINE_SPILLED (UINT64_C(1) << 47) /* in `codes` */
#define SE_LINE_SHIFT 15u /* of the index, at most: a slot of a line has at most 2^15 addresses */

/*
 * A slot of IPv4 with its ranges, in one cache line: range 0 begins at the slot's first address, range i at `starts[i - 1]` after
 * it. Unused starts are 0xffff. Three bits of `codes`, the lowest first, say which of `cells` a range has. A slot with more ranges,
 * or with more different cells, is spilled: it has cells[1] ranges in ranges4, from cells[0] on.
 */
struct se_line4 {
    uint16_t codes[3];
    uint16_t starts[SE_LINE_STARTS];
    uint32_t cells[SE_LINE_CELLS];
};

#define SE_CELL_DEEP (1u << 31) /* flag in cells6: a /64 with longer prefixes; the other bits number its group */

/*
 * Where a rule of the tier RULES decides for good, a range names it in place of a cell, so that a decision reads nothing else:
 * SE_CELL_RULE, SE_CELL_REJECTS or not, and its number. What a cell would say of the rest is in `beneath`.
 */
#define SE_CELL_RULE (1u << 30)
#define SE_CELL_REJECTS (1u << 29)
#define SE_CELL_RULE_MASK ((1u << 26) - 1)

/* In `beneath`, by rule: the length of its prefix in the low byte, and the number of the cell of the other tiers. 0: not named. */
#define SE_BENEATH_SHIFT 8u

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
    struct se_section lines4;                          /* struct se_line4; of one per slot, or none: then slots4 */
    struct se_section slots4, ranges4;                 /* uint32_t, struct se_range4 */
    struct se_section slots6, starts6, cells6;         /* uint32_t, uint64_t, uint32_t */
    struct se_section groups, deep_starts, deep_cells; /* struct se_deep_group, uint64_t, uint32_t */
    struct se_section cells, beneath;                  /* uint32_t, see prefixes/cells.h; uint32_t by rule, or none */
    struct se_section timed, entries;                  /* struct se_timed, struct se_entry */
    struct se_section limits, sets, paybacks;          /* struct se_limit, uint32_t [set][event], struct se_payback */
};

#endif
