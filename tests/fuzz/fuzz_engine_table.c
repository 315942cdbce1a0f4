/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Arbitrary prefixes in arbitrary tiers, flattened and indexed, against a linear search over the same rows. */
/* fuzz-sources: sentry_engine/native/table/snapshot.c sentry_engine/native/table/plan_check.c sentry_engine/native/table/policy.c */
/* fuzz-sources: sentry_engine/native/table/snapshot_check.c sentry_engine/native/memory/block.c sentry_engine/native/prefixes/prefix_rows.c */
/* fuzz-sources: sentry_engine/native/prefixes/cells.c sentry_engine/native/prefixes/flatten.c sentry_engine/native/prefixes/prefix_table.c */
/* fuzz-sources: sentry_engine/native/prefixes/lines.c */
#include "gate.h"
#include "table/lookup.h"
#include "table/snapshot.h"
#include "table/snapshot_check.h"

#include <stdlib.h>

#define MAX_ROWS 64u
#define ENTRIES 16u

struct row {
    struct se_network network;
    uint32_t value;
    uint8_t tier;
};

/* The value of a tier at an address by definition: longest prefix, then lowest value. No entry expires here. */
static uint32_t search(const struct row *rows, uint32_t count, unsigned tier, struct se_address address)
{
    const struct row *best = NULL;

    for (uint32_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        if (row->tier != tier || !se_network_contains(&row->network, address))
            continue;
        if (!best || row->network.length > best->network.length ||
            (row->network.length == best->network.length && row->value < best->value))
            best = row;
    }
    return best ? best->value : SE_NO_VALUE;
}

static void compare(const struct se_policy *policy, const struct row *rows, uint32_t count, struct se_address address)
{
    uint32_t number = se_lookup(policy, address);
    const uint32_t *cell = se_cell_of(policy, number);

    for (unsigned tier = 0; tier < SE_TIERS; tier++) {
        bool is_rule = tier == SE_RULES_TIER && number & SE_CELL_RULE; /* rule n is that of entry n */
        uint32_t found = is_rule ? number & SE_CELL_RULE_MASK : se_cell_value(cell, tier), expected = search(rows, count, tier, address);
        if (found != SE_NO_VALUE)
            found &= SE_VALUE_INDEX_MASK;
        if (found != expected)
            abort();
    }
}

static struct se_policy *build(const struct row *rows, uint32_t count)
{
    static uint8_t networks[SE_TIERS][16 * MAX_ROWS], lengths[SE_TIERS][MAX_ROWS];
    static uint32_t values[SE_TIERS][MAX_ROWS], sets[ENTRIES * SE_EVENT_CUSTOM];
    static const uint8_t actions[ENTRIES] = {SE_ACCEPT, SE_REJECT, SE_INFORMS, SE_REJECT};
    uint8_t reasons[ENTRIES];
    uint32_t rules[ENTRIES];
    uint64_t expires[ENTRIES];
    struct se_plan_columns plan = {
        .entries = {actions, reasons, rules, expires, ENTRIES},
        .sets = sets, .set_count = ENTRIES, .event_count = SE_EVENT_CUSTOM, .rule_count = ENTRIES,
        .on_missing = SE_NO_ACTION, .ipv4_prefix = 32, .ipv6_prefix = 64,
    };
    struct se_snapshot *snapshot;
    struct se_fault fault;
    size_t mapped;

    memset(sets, 0xff, sizeof sets);
    memset(reasons, SE_REASON_RULE, sizeof reasons);
    for (uint32_t i = 0; i < ENTRIES; i++)
        rules[i] = i;
    memset(expires, 0xff, sizeof expires);
    for (unsigned tier = 0; tier < SE_TIERS; tier++)
        plan.tables[tier] = (struct se_table_columns){networks[tier], lengths[tier], values[tier], 0};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at = plan.tables[rows[i].tier].count++;
        se_address_store(networks[rows[i].tier] + 16 * at, rows[i].network.address);
        lengths[rows[i].tier][at] = rows[i].network.length;
        values[rows[i].tier][at] = rows[i].value;
    }
    if (se_snapshot_build(&plan, &snapshot, &mapped, &fault) || se_snapshot_check(snapshot, mapped, &fault))
        abort();
    return se_policy_open(snapshot, mapped);
}

/* 19 bytes a row: address, length, tier, value. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct row rows[MAX_ROWS];
    uint32_t count = 0;
    struct se_policy *policy;

    for (; size >= 19 && count < MAX_ROWS; data += 19, size -= 19, count++) {
        uint8_t length = data[16] % 129;
        struct se_address address = se_address_load(data);
        if (data[16] & 0x80)
            address = (struct se_address){0, 0xffff00000000u | (uint32_t)address.lo};
        rows[count] = (struct row){{se_mask(address, length), length}, data[18] % ENTRIES, data[17] % SE_TIERS};
    }
    policy = build(rows, count);
    if (!policy)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        struct se_address first = rows[i].network.address, last = first;
        last.hi |= ~se_mask((struct se_address){~0ul, ~0ul}, rows[i].network.length).hi;
        last.lo |= ~se_mask((struct se_address){~0ul, ~0ul}, rows[i].network.length).lo;
        compare(policy, rows, count, first);
        compare(policy, rows, count, last);
        compare(policy, rows, count, (struct se_address){first.hi - (first.lo == 0), first.lo - 1});
        compare(policy, rows, count, (struct se_address){last.hi + (last.lo == UINT64_MAX), last.lo + 1});
    }
    se_policy_free(policy);
    return 0;
}
