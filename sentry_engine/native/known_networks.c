/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The list of all networks of which something is known, for a save of everything. It is made here, because a walk over half a million
 * rows in Python takes seconds, and sorts and frees them in steps during which no other Python thread runs.
 */
#include "core_internal.h"
#include "memory/epoch.h"
#include "nanoseconds.h"
#include "state/penalty_rows.h"
#include "state_export.h"
#include "table/lookup.h"

#include <errno.h>
#include <stdlib.h>

#define SETS_OF_AN_EPOCH 64u /* some 50 us: a replaced policy is freed after it */

_Static_assert(SE_MAX_PENALTIES == SE_PENALTY_ROWS, "each row holds at most one penalty");

struct known {
    struct se_network network;
    uint32_t events;
    uint16_t strikes;
    bool in_penalty;
};

struct list {
    struct known *known;
    uint32_t count;
};

static const struct se_limit *find_limit(const void *policy, struct se_address source, uint32_t event)
{
    return se_find_limit(policy, source, event);
}

/* At most one entry for each row of the windows, since its bursts come together. */
static void add_bursts(struct list *list, const struct se_burst *bursts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct se_burst *before = i ? &bursts[i - 1] : NULL;
        bool same = before && before->event == bursts[i].event && before->source.length == bursts[i].source.length &&
                    se_address_equal(before->source.address, bursts[i].source.address);
        if (!same)
            list->known[list->count++] = (struct known){.network = bursts[i].source};
        list->known[list->count - 1].events += bursts[i].count;
    }
}

static void add_windows(struct list *list, struct se_core *core, uint64_t now)
{
    struct se_burst bursts[SE_MAX_SET_BURSTS];

    for (uint32_t set = 0; set < SE_WINDOW_SETS;) {
        struct se_epoch_slot *slot = se_epoch_enter();
        const struct se_in_force *in_force = se_core_in_force(core);
        for (uint32_t end = set + SETS_OF_AN_EPOCH; set < end; set++) {
            if (in_force)
                add_bursts(list, bursts, se_windows_list(se_core_state(core)->windows, set, find_limit, in_force->policy, now, bursts));
        }
        se_epoch_leave(slot);
    }
}

static int add_penalties(struct list *list, struct se_penalties *box, uint64_t now)
{
    struct se_penalty *penalties = calloc(SE_PENALTY_ROWS, sizeof *penalties);
    struct se_strikes *strikes = calloc(SE_PENALTY_ROWS, sizeof *strikes);
    uint32_t count;

    if (penalties && strikes) {
        count = se_penalties_list(box, now, penalties, SE_PENALTY_ROWS);
        for (uint32_t i = 0; i < count && i < SE_PENALTY_ROWS; i++)
            list->known[list->count++] = (struct known){.network = penalties[i].network, .in_penalty = true};
        count = se_penalties_strikes(box, now, strikes, SE_PENALTY_ROWS);
        for (uint32_t i = 0; i < count && i < SE_PENALTY_ROWS; i++)
            list->known[list->count++] = (struct known){.network = strikes[i].source, .strikes = strikes[i].count};
    }
    free(penalties);
    free(strikes);
    return penalties && strikes ? 0 : -ENOMEM;
}

static int compare_words(uint64_t one, uint64_t other)
{
    return (one > other) - (one < other);
}

static int compare_networks(const void *one, const void *other)
{
    const struct se_network *a = &((const struct known *)one)->network, *b = &((const struct known *)other)->network;
    int order = compare_words(a->address.hi, b->address.hi);

    if (!order)
        order = compare_words(a->address.lo, b->address.lo);
    return order ? order : compare_words(a->length, b->length);
}

/* One entry for each network. */
static void join(struct list *list)
{
    uint32_t joined = 0;

    qsort(list->known, list->count, sizeof *list->known, compare_networks);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct known *next = &list->known[i];
        if (!joined || compare_networks(&list->known[joined - 1], next)) {
            list->known[joined++] = *next;
            continue;
        }
        list->known[joined - 1].events += next->events;
        list->known[joined - 1].strikes = next->strikes > list->known[joined - 1].strikes ? next->strikes : list->known[joined - 1].strikes;
        list->known[joined - 1].in_penalty |= next->in_penalty;
    }
    list->count = joined;
}

/* 0: no source. */
static uint64_t weight_of(const struct known *known)
{
    return (uint64_t)known->strikes << 32 | known->events;
}

static int compare_weights(const void *one, const void *other)
{
    return compare_words(*(const uint64_t *)other, *(const uint64_t *)one);
}

/* The weight of the last of the `most` heaviest of `sources` sources, and how many of this weight are among them. */
static int find_lightest(const struct list *list, uint32_t sources, uint32_t most, uint64_t *lightest, uint32_t *ties)
{
    uint64_t *weights = calloc(sources, sizeof *weights);
    uint32_t count = 0;

    if (!weights)
        return -ENOMEM;
    for (uint32_t i = 0; i < list->count; i++) {
        if (weight_of(&list->known[i]))
            weights[count++] = weight_of(&list->known[i]);
    }
    qsort(weights, count, sizeof *weights, compare_weights);
    *lightest = weights[most - 1];
    for (*ties = 0; *ties < most && weights[most - 1 - *ties] == *lightest;)
        ++*ties;
    free(weights);
    return 0;
}

static int choose(const struct list *list, uint32_t most, struct se_changed_row *out, uint32_t *count, uint32_t *left_out)
{
    uint64_t lightest = 1;
    uint32_t sources = 0, ties = UINT32_MAX;

    for (uint32_t i = 0; i < list->count; i++)
        sources += weight_of(&list->known[i]) != 0;
    *left_out = sources > most ? sources - most : 0;
    if (*left_out && find_lightest(list, sources, most, &lightest, &ties))
        return -ENOMEM;
    *count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct known *known = &list->known[i];
        bool is_source = weight_of(known) > lightest || (weight_of(known) == lightest && ties);
        ties -= is_source && weight_of(known) == lightest;
        if (!is_source && !known->in_penalty)
            continue;
        out[*count] = (struct se_changed_row){.length = known->network.length, .is_source = is_source, .in_penalty = known->in_penalty};
        se_address_store(out[(*count)++].network, known->network.address);
    }
    return 0;
}

int se_core_list_known(struct se_core *core, double now, uint32_t most, struct se_changed_row *out, uint32_t *count, uint32_t *left_out)
{
    struct list list = {calloc(SE_WINDOW_SETS * SE_WINDOW_WAYS + 2 * SE_PENALTY_ROWS, sizeof *list.known), 0};
    int rc = list.known ? add_penalties(&list, se_core_state(core)->penalties, se_to_ns(now)) : -ENOMEM;

    if (!rc) {
        add_windows(&list, core, se_to_ns(now));
        join(&list);
        rc = choose(&list, most, out, count, left_out);
    }
    free(list.known);
    return rc;
}
