/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "table/snapshot.h"

#include "gate.h"
#include "memory/block.h"
#include "prefixes/prefix_table.h"
#include "table/limit_units.h"
#include "table/plan_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECTION_ALIGNMENT 64u /* a cache line */

static int check_entries(const struct se_plan_columns *plan, struct se_fault *fault)
{
    const struct se_entry_columns *entries = &plan->entries;

    if (entries->count >= SE_MAX_VALUES)
        return se_refuse(fault, "too many entries", entries->count);
    for (uint64_t i = 0; i < entries->count; i++) {
        if (entries->actions[i] > SE_INFORMS || entries->reasons[i] >= SE_REASONS)
            return se_refuse(fault, "an entry whose action or reason does not exist", i);
        if (entries->rules[i] != UINT32_MAX && entries->rules[i] >= plan->rule_count)
            return se_refuse(fault, "an entry that names a rule the plan does not have", i);
    }
    return 0;
}

/* A section that is to be copied into the block. */
struct piece {
    struct se_section *section;
    const void *items;
    size_t size; /* of one item */
};

/* Sets the offsets of all sections and returns the size of the block. */
static size_t lay_out(const struct piece *pieces, size_t count)
{
    size_t offset = sizeof(struct se_snapshot);

    for (size_t i = 0; i < count; i++) {
        offset = (offset + SECTION_ALIGNMENT - 1) / SECTION_ALIGNMENT * SECTION_ALIGNMENT;
        pieces[i].section->offset = offset;
        offset += pieces[i].section->count * pieces[i].size;
    }
    return offset;
}

static struct se_snapshot *write_block(const struct se_snapshot *header, const struct piece *pieces, size_t count)
{
    uint8_t *block = se_block_map((size_t)header->size);

    if (!block)
        return NULL;
    memcpy(block, header, sizeof *header);
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].section->count)
            memcpy(block + pieces[i].section->offset, pieces[i].items, pieces[i].section->count * pieces[i].size);
    }
    return (struct se_snapshot *)block;
}

static struct se_snapshot make_header(const struct se_plan_columns *plan, const struct se_draft *draft)
{
    struct se_snapshot header = {
        .abi = SE_SNAPSHOT_ABI,
        .header_size = sizeof header,
        .version = plan->version,
        .rule_count = plan->rule_count,
        .event_count = plan->event_count,
        .set_count = plan->set_count,
        .default_action = plan->default_action,
        .on_missing = plan->on_missing,
        .ipv4_prefix = plan->ipv4_prefix,
        .ipv6_prefix = plan->ipv6_prefix,
        .escalate_after = plan->escalate_after,
        .index4 = draft->index4,
        .index6 = draft->index6,
        .lines4.count = draft->lines4 ? draft->index4.slots : 0,
        .slots4.count = draft->lines4 ? 0 : draft->index4.slots + 1u,
        .ranges4.count = draft->count4,
        .slots6.count = draft->index6.slots + 1u,
        .starts6.count = draft->count6,
        .cells6.count = draft->count6,
        .groups.count = draft->group_count,
        .deep_starts.count = draft->deep_count,
        .deep_cells.count = draft->deep_count,
        .beneath.count = plan->rule_count,
        .entries.count = plan->entries.count,
        .limits.count = plan->limit_count,
        .sets.count = (uint64_t)plan->set_count * plan->event_count,
        .paybacks.count = plan->payback_count,
    };

    memcpy(header.magic, SE_SNAPSHOT_MAGIC, sizeof header.magic);
    return header;
}

static struct se_entry *pack_entries(const struct se_entry_columns *columns)
{
    struct se_entry *entries = calloc(columns->count + 1, sizeof *entries);

    for (uint64_t i = 0; entries && i < columns->count; i++)
        entries[i] = (struct se_entry){.rule = columns->rules[i], .reason = columns->reasons[i]};
    return entries;
}

static struct se_limit *prepare_limits(const struct se_plan_columns *plan)
{
    struct se_limit *limits = calloc(plan->limit_count + 1u, sizeof *limits);

    for (uint32_t i = 0; limits && i < plan->limit_count; i++) {
        limits[i] = plan->limits[i];
        se_limit_set_units(&limits[i]);
    }
    return limits;
}

/* Owns what flattening makes, until it is copied into the block. */
struct parts {
    struct se_prefix_rows rows4, rows6;
    struct se_cells cells;
    struct se_timed_list timed;
    struct se_ranges ranges4, ranges6;
    struct se_draft draft;
    struct se_entry *entries;
    struct se_limit *limits;
};

static void free_parts(struct parts *parts)
{
    se_prefix_rows_free(&parts->rows4);
    se_prefix_rows_free(&parts->rows6);
    se_cells_free(&parts->cells);
    free(parts->timed.node);
    se_ranges_free(&parts->ranges4);
    se_ranges_free(&parts->ranges6);
    se_draft_free(&parts->draft);
    free(parts->entries);
    free(parts->limits);
}

static int make_parts(const struct se_plan_columns *plan, struct parts *parts, struct se_fault *fault)
{
    uint32_t values_below[SE_TIERS];
    int rc;

    for (unsigned tier = 0; tier < SE_TIERS; tier++)
        values_below[tier] = (uint32_t)plan->entries.count;
    values_below[SE_LIMITS_TIER] = plan->set_count;
    rc = se_prefix_rows_load(plan->tables, values_below, &parts->rows4, &parts->rows6, fault);
    if (!rc)
        rc = se_cells_open(&parts->cells, &plan->entries, plan->rule_count);
    if (!rc)
        rc = se_flatten(&parts->rows4, &plan->entries, &parts->cells, &parts->timed, &parts->ranges4);
    if (!rc)
        rc = se_flatten(&parts->rows6, &plan->entries, &parts->cells, &parts->timed, &parts->ranges6);
    se_cells_close(&parts->cells);
    if (!rc)
        rc = se_draft_build(&parts->draft, &parts->ranges4, &parts->ranges6);
    if (rc)
        return rc;
    parts->entries = pack_entries(&plan->entries);
    parts->limits = prepare_limits(plan);
    return parts->entries && parts->limits ? 0 : -ENOMEM;
}

static int join_parts(const struct se_plan_columns *plan, const struct parts *parts, struct se_snapshot **out, size_t *mapped)
{
    const struct se_draft *draft = &parts->draft;
    struct se_snapshot header = make_header(plan, draft);
    const struct piece pieces[] = {
        {&header.lines4, draft->lines4, sizeof *draft->lines4},
        {&header.slots4, draft->slots4, sizeof *draft->slots4},
        {&header.ranges4, draft->ranges4, sizeof *draft->ranges4},
        {&header.slots6, draft->slots6, sizeof *draft->slots6},
        {&header.starts6, draft->starts6, sizeof *draft->starts6},
        {&header.cells6, draft->cells6, sizeof *draft->cells6},
        {&header.groups, draft->groups, sizeof *draft->groups},
        {&header.deep_starts, draft->deep_starts, sizeof *draft->deep_starts},
        {&header.deep_cells, draft->deep_cells, sizeof *draft->deep_cells},
        {&header.cells, parts->cells.word, sizeof *parts->cells.word},
        {&header.beneath, parts->cells.beneath, sizeof *parts->cells.beneath},
        {&header.timed, parts->timed.node, sizeof *parts->timed.node},
        {&header.entries, parts->entries, sizeof *parts->entries},
        {&header.limits, parts->limits, sizeof *parts->limits},
        {&header.sets, plan->sets, sizeof *plan->sets},
        {&header.paybacks, plan->paybacks, sizeof *plan->paybacks},
    };
    size_t count = sizeof pieces / sizeof pieces[0];

    header.cells.count = parts->cells.count;
    header.timed.count = parts->timed.count;
    header.prefixes4 = parts->rows4.count;
    header.prefixes6 = parts->rows6.count;
    header.size = lay_out(pieces, count);
    *mapped = (size_t)header.size;
    *out = write_block(&header, pieces, count);
    return *out ? 0 : -ENOMEM;
}

int se_snapshot_build(const struct se_plan_columns *plan, struct se_snapshot **out, size_t *mapped, struct se_fault *fault)
{
    struct parts parts = {0};
    int rc = se_plan_check(plan, fault);

    if (!rc)
        rc = check_entries(plan, fault);
    if (!rc)
        rc = make_parts(plan, &parts, fault);
    if (!rc)
        rc = join_parts(plan, &parts, out, mapped);
    if (rc == -E2BIG && !fault->what)
        fault->what = "a policy too large to flatten";
    free_parts(&parts);
    return rc;
}
