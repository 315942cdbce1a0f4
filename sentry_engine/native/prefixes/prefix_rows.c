/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "prefixes/prefix_rows.h"

#include <errno.h>
#include <stdlib.h>

/* Keys of the radix sort, least significant first: tier, length, then the sixteen bytes of the address from the last. */
#define SORT_KEYS 18u

static uint8_t sort_key(const struct se_prefix_row *row, unsigned key)
{
    switch (key) {
    case 0:
        return row->tier;
    case 1:
        return row->length;
    default:
        return (uint8_t)((key < 10 ? row->start.lo : row->start.hi) >> (8 * ((key - 2) % 8)));
    }
}

static void count_keys(const struct se_prefix_rows *rows, uint32_t counts[SORT_KEYS][256])
{
    memset(counts, 0, SORT_KEYS * sizeof counts[0]);
    for (size_t i = 0; i < rows->count; i++) {
        for (unsigned key = 0; key < SORT_KEYS; key++)
            counts[key][sort_key(&rows->row[i], key)]++;
    }
}

/* Copies the rows to `out` in the order of one key; stable. */
static void scatter(const struct se_prefix_rows *rows, struct se_prefix_row *out, unsigned key, const uint32_t counts[256])
{
    uint32_t at[256];
    uint32_t sum = 0;

    for (unsigned i = 0; i < 256; i++) {
        at[i] = sum;
        sum += counts[i];
    }
    for (size_t i = 0; i < rows->count; i++)
        out[at[sort_key(&rows->row[i], key)]++] = rows->row[i];
}

/* Stable radix sort, least significant key first. A key that all rows share is skipped. */
static int sort_rows(struct se_prefix_rows *rows)
{
    uint32_t(*counts)[256];
    struct se_prefix_row *other;

    if (rows->count < 2)
        return 0;
    counts = malloc(SORT_KEYS * sizeof *counts);
    other = malloc(rows->count * sizeof *other);
    if (!counts || !other) {
        free(counts);
        free(other);
        return -ENOMEM;
    }
    count_keys(rows, counts);
    for (unsigned key = 0; key < SORT_KEYS; key++) {
        struct se_prefix_row *from = rows->row;
        if (counts[key][sort_key(from, key)] == rows->count)
            continue;
        scatter(rows, other, key, counts[key]);
        rows->row = other;
        other = from;
    }
    free(counts);
    free(other);
    return 0;
}

static int check_row(struct se_address start, uint8_t length, uint32_t value, uint32_t values_below, struct se_fault *fault)
{
    if (length > 128)
        fault->what = "a prefix length above 128";
    else if (!se_address_equal(start, se_mask(start, length)))
        fault->what = "host bits that are not zero";
    else if (value >= values_below)
        fault->what = "a value that points nowhere";
    else
        return 0;
    return -EINVAL;
}

static bool is_ipv4_prefix(struct se_address start, uint8_t length)
{
    return length >= SE_V4_OFFSET && se_is_ipv4(start);
}

/* First pass: checks every row and counts rows by family, which bounds the second pass. */
static int check_table(const struct se_table_columns *table, uint32_t values_below, struct se_prefix_rows *v4, struct se_prefix_rows *v6,
                       struct se_fault *fault)
{
    for (uint64_t i = 0; i < table->count; i++) {
        struct se_address start = se_address_load(table->networks + 16 * i);
        if (check_row(start, table->lengths[i], table->values[i], values_below, fault)) {
            fault->row = i;
            return -EINVAL;
        }
        if (is_ipv4_prefix(start, table->lengths[i]))
            v4->count++;
        else
            v6->count++;
    }
    return 0;
}

static void split_table(const struct se_table_columns *table, uint8_t tier, struct se_prefix_row **v4, struct se_prefix_row **v6)
{
    for (uint64_t i = 0; i < table->count; i++) {
        struct se_address start = se_address_load(table->networks + 16 * i);
        uint8_t length = table->lengths[i];
        if (is_ipv4_prefix(start, length)) {
            start = (struct se_address){start.lo << 32, 0};
            length = (uint8_t)(length - SE_V4_OFFSET);
            *(*v4)++ = (struct se_prefix_row){start, table->values[i], length, tier};
        } else {
            *(*v6)++ = (struct se_prefix_row){start, table->values[i], length, tier};
        }
    }
}

int se_prefix_rows_load(const struct se_table_columns columns[SE_TIERS], const uint32_t values_below[SE_TIERS],
                 struct se_prefix_rows *v4, struct se_prefix_rows *v6, struct se_fault *fault)
{
    struct se_prefix_row *next4, *next6;
    uint64_t total = 0;
    int rc;

    *v4 = *v6 = (struct se_prefix_rows){0};
    *fault = (struct se_fault){0};
    for (uint32_t tier = 0; tier < SE_TIERS; tier++) {
        fault->tier = tier;
        if (columns[tier].count > SE_MAX_ROWS || (total += columns[tier].count) > SE_MAX_ROWS) {
            fault->what = "more than 67108864 prefixes in all";
            return -E2BIG;
        }
        rc = check_table(&columns[tier], values_below[tier], v4, v6, fault);
        if (rc)
            return rc;
    }
    rc = -ENOMEM;
    v4->row = next4 = malloc((v4->count + 1) * sizeof *v4->row);
    v6->row = next6 = malloc((v6->count + 1) * sizeof *v6->row);
    if (!next4 || !next6)
        goto fail;
    for (uint32_t tier = 0; tier < SE_TIERS; tier++)
        split_table(&columns[tier], (uint8_t)tier, &next4, &next6);
    if (sort_rows(v4) || sort_rows(v6))
        goto fail;
    return 0;
fail:
    se_prefix_rows_free(v4);
    se_prefix_rows_free(v6);
    return rc;
}

void se_prefix_rows_free(struct se_prefix_rows *rows)
{
    free(rows->row);
    *rows = (struct se_prefix_rows){0};
}
