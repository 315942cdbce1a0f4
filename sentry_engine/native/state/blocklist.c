/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "state/blocklist.h"

#include "memory/block.h"
#include "memory/epoch.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define HEADS (1u << 20)
#define LENGTH_WORDS 3u /* bits 0 to 128 */
#define LENGTHS 129u
#define UNLINKED 255u

enum { IPV6, IPV4, FAMILIES };

/* Readers use a row from its publication in a chain until the epoch after its removal. Until then only `until`, `hits` and
 * `next` change. */
struct row {
    struct se_address address;
    _Atomic uint64_t until, hits;
    uint64_t retired_at;     /* se_epoch_retire; of a removed row */
    _Atomic uint32_t next;   /* in its chain, a row's number plus 1; 0: the last */
    uint32_t next_removed;
    uint8_t length;          /* UNLINKED: in no chain */
    bool in_use;
};

struct se_blocklist {
    struct se_secret secret;
    _Atomic uint64_t lengths[FAMILIES][LENGTH_WORDS]; /* those of the networks in use, as bits */
    uint32_t of_length[FAMILIES][LENGTHS];            /* networks in use by length */
    _Atomic uint32_t used;
    uint32_t fresh;                                   /* rows from here on were never used */
    uint32_t removed, oldest, newest;                 /* the queue of removed rows */
    _Atomic uint32_t *heads;                          /* owned; HEADS chains, a row's number plus 1; 0: empty */
    struct row *rows;                                 /* owned; SE_BLOCK_ROWS */
};

int se_blocklist_open(struct se_blocklist **out, const struct se_secret *secret)
{
    struct se_blocklist *list = calloc(1, sizeof *list);

    if (!list)
        return -ENOMEM;
    list->secret = *secret;
    list->heads = se_block_map(HEADS * sizeof *list->heads);
    list->rows = se_block_map(SE_BLOCK_ROWS * sizeof *list->rows);
    if (!list->heads || !list->rows) {
        se_blocklist_close(list);
        return -ENOMEM;
    }
    *out = list;
    return 0;
}

void se_blocklist_close(struct se_blocklist *list)
{
    if (!list)
        return;
    if (list->heads)
        se_block_unmap((const void *)list->heads, HEADS * sizeof *list->heads);
    if (list->rows)
        se_block_unmap(list->rows, SE_BLOCK_ROWS * sizeof *list->rows);
    free(list);
}

bool se_blocklist_is_empty(const struct se_blocklist *list)
{
    return atomic_load_explicit(&list->used, memory_order_relaxed) == 0;
}

static unsigned family_of(const struct se_network *network)
{
    return network->length >= SE_V4_OFFSET && se_is_ipv4(network->address) ? IPV4 : IPV6;
}

static _Atomic uint32_t *find_head(const struct se_blocklist *list, struct se_address address, unsigned length)
{
    uint64_t words[3] = {address.hi, address.lo, length};

    return &list->heads[se_siphash(&list->secret, words, 3) % HEADS];
}

/* The latest block of exactly this network that is in force. */
static uint32_t find_network(const struct se_blocklist *list, struct se_address address, unsigned length, uint64_t now)
{
    /* Sequentially consistent, as the stores of se_blocklist_remove: a reader that its writer did not see sees the removal. */
    uint32_t at = atomic_load_explicit(find_head(list, address, length), memory_order_seq_cst);

    while (at) {
        const struct row *row = &list->rows[at - 1];
        if (row->length == length && se_address_equal(row->address, address) &&
            now < atomic_load_explicit(&row->until, memory_order_relaxed))
            return at - 1;
        at = atomic_load_explicit(&row->next, memory_order_seq_cst);
    }
    return SE_NO_BLOCK;
}

struct se_block_match se_blocklist_find(const struct se_blocklist *list, struct se_address address, int longer_than,
                                        uint64_t now)
{
    const _Atomic uint64_t *lengths = list->lengths[se_is_ipv4(address) ? IPV4 : IPV6];

    for (int word = LENGTH_WORDS - 1; word >= 0 && 64 * word + 63 > longer_than; word--) {
        uint64_t bits = atomic_load_explicit(&lengths[word], memory_order_acquire);
        while (bits) {
            int bit = 63 - __builtin_clzll(bits), length = 64 * word + bit;
            bits ^= UINT64_C(1) << bit;
            if (length <= longer_than)
                break;
            uint32_t number = find_network(list, se_mask(address, (unsigned)length), (unsigned)length, now);
            if (number != SE_NO_BLOCK)
                return (struct se_block_match){number, (uint8_t)length};
        }
    }
    return (struct se_block_match){SE_NO_BLOCK, 0};
}

/* Takes a removed row that lingered, else one that was never used. */
uint32_t se_blocklist_reserve(struct se_blocklist *list)
{
    bool lingered = list->removed > SE_BLOCK_LINGER || list->fresh == SE_BLOCK_ROWS;
    uint32_t number = list->oldest;

    if (lingered && list->removed && se_epoch_passed(list->rows[number].retired_at)) {
        list->oldest = list->rows[number].next_removed;
        list->removed--;
    } else if (list->fresh < SE_BLOCK_ROWS) {
        number = list->fresh++;
    } else {
        return SE_NO_BLOCK;
    }
    list->rows[number].length = UNLINKED;
    list->rows[number].in_use = true;
    atomic_store_explicit(&list->rows[number].hits, 0, memory_order_relaxed);
    return number;
}

static bool is_in_use(const struct se_blocklist *list, uint32_t number)
{
    return number < list->fresh && list->rows[number].in_use;
}

/* Announces a length before its first network is in a chain, or takes it back after the last one has left. */
static void note_length(struct se_blocklist *list, unsigned family, unsigned length, bool in_use)
{
    _Atomic uint64_t *word = &list->lengths[family][length / 64];
    uint64_t bit = UINT64_C(1) << length % 64, known = atomic_load_explicit(word, memory_order_relaxed);

    atomic_store_explicit(word, in_use ? known | bit : known & ~bit, memory_order_release);
}

void se_blocklist_put(struct se_blocklist *list, uint32_t number, const struct se_network *network, uint64_t until)
{
    struct se_address address = se_mask(network->address, network->length);
    _Atomic uint32_t *head = find_head(list, address, network->length);
    unsigned family = family_of(network);
    struct row *row;

    if (!is_in_use(list, number) || list->rows[number].length != UNLINKED)
        return;
    row = &list->rows[number];
    row->address = address;
    row->length = network->length;
    atomic_store_explicit(&row->until, until, memory_order_relaxed);
    atomic_store_explicit(&row->next, atomic_load_explicit(head, memory_order_relaxed), memory_order_relaxed);
    if (list->of_length[family][network->length]++ == 0)
        note_length(list, family, network->length, true);
    atomic_store_explicit(head, number + 1, memory_order_seq_cst);
    atomic_fetch_add_explicit(&list->used, 1, memory_order_release);
}

/* Takes a row out of its chain. A reader that is at the row still finds the rest of the chain. */
static void unlink_row(struct se_blocklist *list, uint32_t number)
{
    struct row *row = &list->rows[number];
    unsigned family = family_of(&(struct se_network){row->address, row->length});
    _Atomic uint32_t *link = find_head(list, row->address, row->length);
    uint32_t at;

    atomic_store_explicit(&row->until, 0, memory_order_relaxed);

    while ((at = atomic_load_explicit(link, memory_order_relaxed)) != number + 1) {
        if (!at)
            return; /* unreachable: a row in use is in its chain */
        link = &list->rows[at - 1].next;
    }
    atomic_store_explicit(link, atomic_load_explicit(&row->next, memory_order_relaxed), memory_order_seq_cst);
    if (--list->of_length[family][row->length] == 0)
        note_length(list, family, row->length, false);
    atomic_fetch_sub_explicit(&list->used, 1, memory_order_release);
}

void se_blocklist_remove(struct se_blocklist *list, uint32_t number)
{
    struct row *row;

    if (!is_in_use(list, number))
        return;
    row = &list->rows[number];
    if (row->length != UNLINKED)
        unlink_row(list, number);
    row->in_use = false;
    row->retired_at = se_epoch_retire();
    if (list->removed++)
        list->rows[list->newest].next_removed = number;
    else
        list->oldest = number;
    list->newest = number;
}

void se_blocklist_count(struct se_blocklist *list, uint32_t number)
{
    atomic_fetch_add_explicit(&list->rows[number].hits, 1, memory_order_relaxed);
}

uint32_t se_blocklist_hits(const struct se_blocklist *list, uint32_t *numbers, uint64_t *counts, uint32_t room)
{
    uint32_t found = 0;

    for (uint32_t number = 0; number < list->fresh; number++) {
        const struct row *row = &list->rows[number];
        uint64_t hits = row->in_use ? atomic_load_explicit(&row->hits, memory_order_relaxed) : 0;
        if (!hits)
            continue;
        if (found < room) {
            numbers[found] = number;
            counts[found] = hits;
        }
        found++;
    }
    return found;
}
