/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "prefixes/cells.h"

#include "gate.h"
#include "mix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOT_NAMED UINT32_MAX /* in `beneath`, of a rule */
#define FIRST_ROOM 4096u  /* words */
#define FIRST_SLOTS 4096u /* a power of two; doubled when half of them are used */
#define MOST_SLOTS (1u << 22) /* at most, initially: a million different cells without growing */

static unsigned pack_content(const struct se_cell_content *content, uint32_t words[SE_CELL_WORDS])
{
    uint8_t lengths[SE_TIERS];
    unsigned values = 0;

    words[0] = 0;
    for (unsigned tier = 0; tier < SE_TIERS; tier++) {
        if (content->value[tier] == SE_NO_VALUE)
            continue;
        words[0] |= 1u << tier;
        lengths[values] = content->length[tier];
        words[1 + values++] = content->value[tier];
    }
    if (values > 3)
        words[1 + values] = 0;
    for (unsigned i = 0; i < values; i++) {
        if (i < 3)
            words[0] |= (uint32_t)lengths[i] << (8 + 8 * i);
        else
            words[1 + values] |= (uint32_t)lengths[i] << (8 * (i - 3));
    }
    return se_cell_size(words);
}

/* Not keyed: cells come from the operator's policy, not from clients. */
static uint64_t hash_words(const uint32_t *words, unsigned count)
{
    uint64_t hash = count;

    for (unsigned i = 0; i < count; i++)
        hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15u + (hash >> 29);
    return se_mix(hash);
}

static void index_cell(struct se_cells *cells, uint32_t number)
{
    const uint32_t *cell = cells->word + number;
    size_t at = hash_words(cell, se_cell_size(cell)) & (cells->slots - 1);

    while (cells->slot[at])
        at = (at + 1) & (cells->slots - 1);
    cells->slot[at] = number + 1;
}

static int grow_slots(struct se_cells *cells)
{
    uint32_t *old = cells->slot;
    size_t slots = cells->slots;
    uint32_t *wider = calloc(2 * slots, sizeof *wider);

    if (!wider)
        return -ENOMEM;
    cells->slot = wider;
    cells->slots = 2 * slots;
    for (size_t i = 0; i < slots; i++) {
        if (old[i])
            index_cell(cells, old[i] - 1);
    }
    free(old);
    return 0;
}

static int append(struct se_cells *cells, const uint32_t *words, unsigned size)
{
    if (cells->count + size > SE_MAX_CELL_WORDS - 2)
        return -E2BIG;
    if (cells->count + size > cells->room) {
        uint32_t *wider = realloc(cells->word, 2 * cells->room * sizeof *wider);
        if (!wider)
            return -ENOMEM;
        cells->word = wider;
        cells->room *= 2;
    }
    memcpy(cells->word + cells->count, words, size * sizeof *words);
    cells->count += size;
    return 0;
}

static int intern_cell(struct se_cells *cells, const struct se_cell_content *content, uint32_t *number)
{
    uint32_t words[SE_CELL_WORDS];
    unsigned size = pack_content(content, words);
    size_t at = hash_words(words, size) & (cells->slots - 1);
    int rc;

    for (; cells->slot[at]; at = (at + 1) & (cells->slots - 1)) {
        uint32_t known = cells->slot[at] - 1;
        if (known + size <= cells->count && !memcmp(cells->word + known, words, size * sizeof *words)) {
            *number = known;
            return 0;
        }
    }
    *number = (uint32_t)cells->count;
    rc = append(cells, words, size);
    if (rc)
        return rc;
    cells->slot[at] = *number + 1;
    if (++cells->used * 2 > cells->slots)
        return grow_slots(cells);
    return 0;
}

/* True if the entry of the tier RULES decides whatever else the content says: it has no end, and no tier precedes it. */
static bool decides(const struct se_cells *cells, const struct se_cell_content *content)
{
    const struct se_entry_columns *entries = cells->entries;
    uint32_t value = content->value[SE_RULES_TIER], entry = value & SE_VALUE_INDEX_MASK;

    if (value == SE_NO_VALUE || value & SE_VALUE_TIMED || content->value[SE_NEVER_BLOCK_TIER] != SE_NO_VALUE)
        return false;
    return entries->actions[entry] <= SE_REJECT && entries->reasons[entry] == SE_REASON_RULE && entries->rules[entry] <= SE_CELL_RULE_MASK;
}

int se_cells_intern(struct se_cells *cells, const struct se_cell_content *content, uint32_t *number)
{
    struct se_cell_content rest = *content;
    uint32_t entry = content->value[SE_RULES_TIER] & SE_VALUE_INDEX_MASK, rule, beneath;
    int rc;

    if (!decides(cells, content))
        return intern_cell(cells, content, number);
    rest.value[SE_RULES_TIER] = SE_NO_VALUE;
    rc = intern_cell(cells, &rest, &beneath);
    if (rc || beneath >= UINT32_MAX >> SE_BENEATH_SHIFT)
        return rc ? rc : intern_cell(cells, content, number);
    rule = cells->entries->rules[entry];
    beneath = beneath << SE_BENEATH_SHIFT | content->length[SE_RULES_TIER];
    if (cells->beneath[rule] == NOT_NAMED)
        cells->beneath[rule] = beneath;
    if (cells->beneath[rule] != beneath) /* a rule of several prefixes, in another place before */
        return intern_cell(cells, content, number);
    *number = SE_CELL_RULE | (cells->entries->actions[entry] == SE_REJECT ? SE_CELL_REJECTS : 0) | rule;
    return 0;
}

int se_cells_open(struct se_cells *cells, const struct se_entry_columns *entries, uint32_t rule_count)
{
    struct se_cell_content empty = {{0}, {0}};
    uint32_t number;

    memset(empty.value, 0xff, sizeof empty.value);
    *cells = (struct se_cells){.room = FIRST_ROOM, .slots = FIRST_SLOTS, .entries = entries, .rule_count = rule_count};
    while (cells->slots < 2 * entries->count && cells->slots < MOST_SLOTS)
        cells->slots *= 2;
    cells->word = malloc(cells->room * sizeof *cells->word);
    cells->slot = calloc(cells->slots, sizeof *cells->slot);
    cells->beneath = malloc((rule_count + 1u) * sizeof *cells->beneath);
    if (!cells->word || !cells->slot || !cells->beneath || intern_cell(cells, &empty, &number)) {
        se_cells_free(cells);
        return -ENOMEM;
    }
    memset(cells->beneath, 0xff, (rule_count + 1u) * sizeof *cells->beneath);
    return 0;
}

void se_cells_close(struct se_cells *cells)
{
    for (uint32_t rule = 0; rule < cells->rule_count; rule++) {
        if (cells->beneath[rule] == NOT_NAMED)
            cells->beneath[rule] = 0;
    }
}

void se_cells_free(struct se_cells *cells)
{
    free(cells->word);
    free(cells->slot);
    free(cells->beneath);
    *cells = (struct se_cells){0};
}
