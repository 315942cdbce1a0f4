/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A file with a right checksum may still be wrong, by a faulty build or by intent. After these checks every lookup stays inside
 * the block, ends, and answers with rules that exist.
 */
#include "table/snapshot_check.h"

#include "gate.h"
#include "prefixes/cells.h"
#include "prefixes/prefix_table.h"
#include "table/limit_units.h"
#include "table/lookup.h"
#include "table/plan_check.h"

#include <errno.h>
#include <stdlib.h>

struct check {
    const struct se_snapshot *snapshot;
    const uint8_t *base;
    struct se_fault *fault;
    uint64_t *starts; /* owned bit set: the words at which a cell starts */
};

static int refuse(struct check *check, const char *what, uint64_t number)
{
    return se_refuse(check->fault, what, number);
}

static int check_section(struct check *check, const struct se_section *section, size_t item)
{
    uint64_t size = check->snapshot->size;

    if (section->offset % 8 || section->offset < sizeof *check->snapshot || section->offset > size ||
        section->count > (size - section->offset) / item)
        return refuse(check, "a section outside of the snapshot", section->offset);
    return 0;
}

static int check_sections(struct check *check)
{
    const struct se_snapshot *s = check->snapshot;
    const struct {
        const struct se_section *section;
        size_t item;
    } sections[] = {
        {&s->lines4, sizeof(struct se_line4)}, {&s->beneath, sizeof(uint32_t)},
        {&s->slots4, sizeof(uint32_t)},      {&s->ranges4, sizeof(struct se_range4)},
        {&s->slots6, sizeof(uint32_t)},      {&s->starts6, sizeof(uint64_t)},
        {&s->cells6, sizeof(uint32_t)},      {&s->groups, sizeof(struct se_deep_group)},
        {&s->deep_starts, sizeof(uint64_t)}, {&s->deep_cells, sizeof(uint32_t)},
        {&s->cells, sizeof(uint32_t)},       {&s->timed, sizeof(struct se_timed)},
        {&s->entries, sizeof(struct se_entry)}, {&s->limits, sizeof(struct se_limit)},
        {&s->sets, sizeof(uint32_t)},        {&s->paybacks, sizeof(struct se_payback)},
    };
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (check_section(check, sections[i].section, sections[i].item))
            return -EINVAL;
    }
    if (s->ranges4.count < 1 || s->starts6.count < 1 || s->starts6.count != s->cells6.count ||
        s->deep_starts.count != s->deep_cells.count || s->slots4.count != (s->lines4.count ? 0 : s->index4.slots + UINT64_C(1)) ||
        (s->lines4.count && s->lines4.count != s->index4.slots) || s->beneath.count != s->rule_count ||
        s->slots6.count != s->index6.slots + UINT64_C(1) || s->ranges4.count > UINT32_MAX || s->starts6.count > UINT32_MAX)
        return refuse(check, "sections whose sizes do not fit together", 0);
    return 0;
}

/* Checks limits, sets and settings as those of a plan. */
static int check_plan(struct check *check)
{
    const struct se_snapshot *s = check->snapshot;
    const struct se_limit *limits = (const struct se_limit *)(check->base + s->limits.offset);
    const struct se_plan_columns plan = {
        .limits = limits,
        .sets = (const uint32_t *)(check->base + s->sets.offset),
        .paybacks = (const struct se_payback *)(check->base + s->paybacks.offset),
        .limit_count = (uint32_t)s->limits.count,
        .set_count = s->set_count,
        .event_count = s->event_count,
        .payback_count = (uint32_t)s->paybacks.count,
        .rule_count = s->rule_count,
        .default_action = s->default_action,
        .on_missing = s->on_missing,
        .ipv4_prefix = s->ipv4_prefix,
        .ipv6_prefix = s->ipv6_prefix,
    };
    if (s->limits.count > SE_MAX_LIMITS || s->paybacks.count > SE_MAX_PAYBACKS ||
        s->sets.count != (uint64_t)s->set_count * s->event_count)
        return refuse(check, "sections whose sizes do not fit together", 0);
    if (se_plan_check(&plan, check->fault))
        return -EINVAL;
    for (uint32_t i = 0; i < plan.limit_count; i++) {
        struct se_limit prepared = limits[i];
        se_limit_set_units(&prepared);
        if (prepared.unit_shift != limits[i].unit_shift || prepared.window_units != limits[i].window_units)
            return refuse(check, "a limit whose units are not those of its window", i);
    }
    return 0;
}

/* True for an entry, or a timed entry below `timed_below`: chains lead to lower numbers only, so they end. */
static bool is_value(const struct se_snapshot *snapshot, uint32_t value, uint64_t timed_below)
{
    uint32_t index = value & SE_VALUE_INDEX_MASK;

    return value & SE_VALUE_TIMED ? index < timed_below : index < snapshot->entries.count;
}

static int check_entries(struct check *check)
{
    const struct se_snapshot *s = check->snapshot;
    const struct se_entry *entries = (const struct se_entry *)(check->base + s->entries.offset);
    const struct se_timed *timed = (const struct se_timed *)(check->base + s->timed.offset);

    for (uint64_t i = 0; i < s->entries.count; i++) {
        if ((entries[i].rule != UINT32_MAX && entries[i].rule >= s->rule_count) || entries[i].reason >= SE_REASONS)
            return refuse(check, "an entry whose rule or reason does not exist", i);
    }
    for (uint64_t i = 0; i < s->timed.count; i++) {
        if (timed[i].value & SE_VALUE_TIMED || !is_value(s, timed[i].value, 0) || timed[i].next_length > 128 ||
            (timed[i].next != SE_NO_VALUE && !is_value(s, timed[i].next, i)))
            return refuse(check, "a timed entry that leads nowhere", i);
    }
    return 0;
}

static int check_cell(struct check *check, const uint32_t *cell)
{
    const struct se_snapshot *s = check->snapshot;

    for (unsigned tier = 0; tier < SE_TIERS; tier++) {
        uint32_t value = se_cell_value(cell, tier);
        if (value == SE_NO_VALUE)
            continue;
        if (tier == SE_LIMITS_TIER ? value >= s->set_count : !is_value(s, value, s->timed.count))
            return -EINVAL;
        if (se_cell_length(cell, tier) > 128)
            return -EINVAL;
    }
    return 0;
}

/* Walks the cells from the first word to the last and records where each starts. */
static int check_cells(struct check *check)
{
    const uint32_t *words = (const uint32_t *)(check->base + check->snapshot->cells.offset);
    uint64_t count = check->snapshot->cells.count;

    if (count > SE_MAX_CELL_WORDS)
        return refuse(check, "too many cells", count);
    for (uint64_t at = 0; at < count; at += se_cell_size(words + at)) {
        if (words[at] & 0x80 || at + se_cell_size(words + at) > count || check_cell(check, words + at))
            return refuse(check, "a cell that points nowhere", at);
        check->starts[at / 64] |= UINT64_C(1) << at % 64;
    }
    return 0;
}

static bool is_cell(const struct check *check, uint32_t cell)
{
    return cell < check->snapshot->cells.count && check->starts[cell / 64] >> cell % 64 & 1;
}

/* A tier that precedes the rule, or its own, must not be beneath it: a walk of the tiers would answer otherwise than the rule. */
static int check_beneath(struct check *check)
{
    const uint32_t *beneath = (const uint32_t *)(check->base + check->snapshot->beneath.offset);
    const uint32_t *cells = (const uint32_t *)(check->base + check->snapshot->cells.offset);

    for (uint64_t i = 0; i < check->snapshot->beneath.count; i++) {
        if (!is_cell(check, beneath[i] >> SE_BENEATH_SHIFT) || (beneath[i] & 0xff) > 128)
            return refuse(check, "a rule without a cell", i);
        if (cells[beneath[i] >> SE_BENEATH_SHIFT] & (1u << SE_NEVER_BLOCK_TIER | 1u << SE_RULES_TIER))
            return refuse(check, "a rule above what decides before it", i);
    }
    return 0;
}

/* True for what a range may have: a cell, or a rule. */
static bool is_found(const struct check *check, uint32_t number)
{
    if (!(number & SE_CELL_RULE))
        return is_cell(check, number);
    return !(number & ~(SE_CELL_RULE | SE_CELL_REJECTS | SE_CELL_RULE_MASK)) &&
           (number & SE_CELL_RULE_MASK) < check->snapshot->beneath.count;
}

/* The starts of ranges, in either of the two layouts. */
struct starts {
    const uint8_t *first;
    size_t stride;
    bool wide; /* 64 bits, else 32 */
    uint64_t count;
};

static uint64_t start_at(const struct starts *starts, uint64_t i)
{
    const uint8_t *at = starts->first + i * starts->stride;

    return starts->wide ? *(const uint64_t *)at : *(const uint32_t *)at;
}

static int check_starts(struct check *check, const struct starts *starts)
{
    if (start_at(starts, 0) != 0)
        return refuse(check, "ranges that do not start at the first address", 0);
    for (uint64_t i = 1; i < starts->count; i++) {
        if (start_at(starts, i) <= start_at(starts, i - 1))
            return refuse(check, "ranges that do not rise", i);
    }
    return 0;
}

/* Every slot must name the range that holds its first key: then a search between two slots finds every key. */
static int check_index(struct check *check, const struct se_index *index, const uint32_t *slots, const struct starts *starts)
{
    uint64_t range = 0;

    if (index->slots < 1 || index->shift > 63 || slots[0] != 0 || slots[index->slots] != starts->count - 1)
        return refuse(check, "an index that does not fit its ranges", 0);
    for (uint32_t slot = 1; slot < index->slots; slot++) {
        uint64_t first = se_slot_start(index, slot);
        while (range + 1 < starts->count && start_at(starts, range + 1) <= first)
            range++;
        if (slots[slot] != range)
            return refuse(check, "an index that does not fit its ranges", slot);
    }
    return 0;
}

static bool is_spilled(const struct se_line4 *line)
{
    return (se_line_codes(line) & SE_LINE_SPILLED) != 0;
}

/* The ranges of a spilled slot. They follow those of the slot spilled before it. */
static int check_spilled(struct check *check, const struct se_line4 *line, uint64_t slot, uint64_t *next)
{
    const struct se_range4 *ranges = (const struct se_range4 *)(check->base + check->snapshot->ranges4.offset);
    uint64_t count = line->cells[1];

    if (line->cells[0] != *next || count < 1 || count > check->snapshot->ranges4.count - *next)
        return refuse(check, "a line whose ranges do not exist", slot);
    for (uint64_t i = *next + 1; i < *next + count; i++) {
        if (ranges[i].start <= ranges[i - 1].start)
            return refuse(check, "ranges that do not rise", i);
    }
    *next += count;
    return 0;
}

static int check_line(struct check *check, const struct se_line4 *line, uint64_t slot)
{
    for (unsigned i = 0; i < SE_LINE_CELLS; i++) { /* whichever the codes choose; those that are not used are 0 */
        if (!is_found(check, line->cells[i]))
            return refuse(check, "a range without a cell", slot);
    }
    for (unsigned i = 1; i < SE_LINE_STARTS; i++) {
        if (line->starts[i] < line->starts[i - 1])
            return refuse(check, "ranges that do not rise", slot);
    }
    return 0;
}

/* Keys outside of the span make offsets that mean nothing in the first and the last line, so those have to be spilled. */
static int check_lines(struct check *check)
{
    const struct se_snapshot *s = check->snapshot;
    const struct se_line4 *lines = (const struct se_line4 *)(check->base + s->lines4.offset);
    uint64_t next = 0;

    if (s->index4.shift > SE_LINE_SHIFT || !is_spilled(&lines[0]) || !is_spilled(&lines[s->lines4.count - 1]))
        return refuse(check, "an index that does not fit its ranges", 0);
    for (uint64_t i = 0; i < s->lines4.count; i++) {
        if (is_spilled(&lines[i]) ? check_spilled(check, &lines[i], i, &next) : check_line(check, &lines[i], i))
            return -EINVAL;
    }
    return next == s->ranges4.count ? 0 : refuse(check, "a line whose ranges do not exist", next);
}

static int check_ranges4(struct check *check)
{
    const struct se_snapshot *s = check->snapshot;
    const struct se_range4 *ranges = (const struct se_range4 *)(check->base + s->ranges4.offset);
    const struct starts starts = {(const uint8_t *)&ranges->start, sizeof *ranges, false, s->ranges4.count};

    for (uint64_t i = 0; i < s->ranges4.count; i++) {
        if (!is_found(check, ranges[i].cell))
            return refuse(check, "a range without a cell", i);
    }
    if (s->lines4.count)
        return check_lines(check);
    if (check_starts(check, &starts))
        return -EINVAL;
    return check_index(check, &s->index4, (const uint32_t *)(check->base + s->slots4.offset), &starts);
}

static int check_group(struct check *check, const struct se_deep_group *group, uint64_t number)
{
    const struct se_snapshot *s = check->snapshot;
    const uint64_t *deep = (const uint64_t *)(check->base + s->deep_starts.offset);
    const uint32_t *cells = (const uint32_t *)(check->base + s->deep_cells.offset);
    const struct starts starts = {(const uint8_t *)(deep + group->first), sizeof *deep, true, group->count};

    if (group->count < 1 || group->first > s->deep_starts.count || group->count > s->deep_starts.count - group->first)
        return refuse(check, "a /64 whose ranges do not exist", number);
    for (uint64_t i = group->first; i < (uint64_t)group->first + group->count; i++) {
        if (!is_found(check, cells[i]))
            return refuse(check, "a range without a cell", i);
    }
    return check_starts(check, &starts);
}

static int check_ranges6(struct check *check)
{
    const struct se_snapshot *s = check->snapshot;
    const uint64_t *begin = (const uint64_t *)(check->base + s->starts6.offset);
    const uint32_t *cells = (const uint32_t *)(check->base + s->cells6.offset);
    const struct se_deep_group *groups = (const struct se_deep_group *)(check->base + s->groups.offset);
    const struct starts starts = {(const uint8_t *)begin, sizeof *begin, true, s->starts6.count};
    uint64_t next_group = 0;

    for (uint64_t i = 0; i < s->cells6.count; i++) {
        if (!(cells[i] & SE_CELL_DEEP)) {
            if (!is_found(check, cells[i]))
                return refuse(check, "a range without a cell", i);
            continue;
        }
        /* One group for one range, in order: otherwise a small file could make the checks visit its ranges many times. */
        if ((cells[i] & ~SE_CELL_DEEP) != next_group || next_group >= s->groups.count)
            return refuse(check, "a /64 whose ranges do not exist", i);
        if (check_group(check, &groups[next_group], i))
            return -EINVAL;
        next_group++;
    }
    if (check_starts(check, &starts))
        return -EINVAL;
    return check_index(check, &s->index6, (const uint32_t *)(check->base + s->slots6.offset), &starts);
}

int se_snapshot_check(const struct se_snapshot *snapshot, uint64_t size, struct se_fault *fault)
{
    struct check check = {snapshot, (const uint8_t *)snapshot, fault, NULL};
    int rc;

    if (size < sizeof *snapshot || snapshot->size != size)
        return refuse(&check, "a file that is no snapshot of a policy", size);
    rc = check_sections(&check);
    if (rc)
        return rc;
    check.starts = calloc(snapshot->cells.count / 64 + 1, sizeof *check.starts);
    if (!check.starts)
        return -ENOMEM;
    rc = check_plan(&check);
    if (!rc)
        rc = check_entries(&check);
    if (!rc)
        rc = check_cells(&check);
    if (!rc)
        rc = check_beneath(&check);
    if (!rc)
        rc = check_ranges4(&check);
    if (!rc)
        rc = check_ranges6(&check);
    free(check.starts);
    return rc;
}
