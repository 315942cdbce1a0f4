/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "state/penalty_rows.h"

static uint64_t hash_network(const struct se_penalties *box, const struct se_network *network)
{
    const uint64_t words[3] = {network->address.hi, network->address.lo, network->length};

    return se_siphash(&box->secret, words, 3);
}

static uint8_t tag_of(uint64_t hash)
{
    return (uint8_t)(hash >> 56 | 1);
}

/* True if any byte of `tags` is `tag`. */
static bool has_tag(uint64_t tags, uint8_t tag)
{
    uint64_t different = tags ^ tag * UINT64_C(0x0101010101010101);

    return ((different - UINT64_C(0x0101010101010101)) & ~different & UINT64_C(0x8080808080808080)) != 0;
}

static bool is_of(const struct se_penalty_entry *row, const struct se_network *network)
{
    return row->taken && row->length == network->length && se_address_equal(row->address, network->address);
}

/* Requires `writing` or the lock of the set. */
static uint32_t find_in_set(const struct se_penalties *box, uint32_t set, const struct se_network *network)
{
    for (uint32_t row = set * SE_PENALTY_WAYS; row < (set + 1) * SE_PENALTY_WAYS; row++) {
        if (is_of(&box->rows[row], network))
            return row;
    }
    return SE_NO_PENALTY_ROW;
}

static bool find_exact(struct se_penalties *box, const struct se_network *network, uint64_t now, struct se_penalty *found)
{
    uint64_t hash = hash_network(box, network);
    uint32_t set = (uint32_t)(hash % SE_PENALTY_SETS), row;
    bool in_force;

    if (!has_tag(atomic_load_explicit(&box->tags[set], memory_order_acquire), tag_of(hash)))
        return false;
    se_spinlock_lock(&box->locks[set]);
    row = find_in_set(box, set, network);
    in_force = row != SE_NO_PENALTY_ROW && now < box->rows[row].until;
    if (in_force)
        *found = se_penalty_row_read(&box->rows[row]);
    se_spinlock_unlock(&box->locks[set]);
    return in_force;
}

bool se_penalty_find(struct se_penalties *box, struct se_address address, uint64_t now, struct se_penalty *found)
{
    bool ipv4 = se_is_ipv4(address);

    for (unsigned word = 3; word-- > 0;) {
        uint64_t lengths = atomic_load_explicit(&box->has_length[word], memory_order_acquire);
        while (lengths) {
            unsigned bit = 63u - (unsigned)__builtin_clzll(lengths), length = 64 * word + bit;
            struct se_network network = {se_mask(address, length), (uint8_t)length};
            lengths &= ~(UINT64_C(1) << bit);
            if (ipv4 && length < SE_V4_OFFSET)
                return false;
            if (find_exact(box, &network, now, found))
                return true;
        }
    }
    return false;
}

struct se_network se_penalty_group_of(struct se_address address, unsigned length)
{
    static const uint8_t steps[] = {56, 48, 44, 40, 36, 32};
    unsigned wide = 0;

    for (unsigned i = 0; i < sizeof steps && !wide; i++)
        wide = length > steps[i] ? steps[i] : 0;
    if (se_is_ipv4(address) && length >= SE_V4_OFFSET)
        wide = 0;
    return (struct se_network){se_mask(address, wide), (uint8_t)wide};
}

static uint32_t *chain_of(struct se_penalties *box, const struct se_network *group)
{
    return &box->groups[hash_network(box, group) % SE_PENALTY_GROUPS];
}

static void link_row(struct se_penalties *box, uint32_t row)
{
    struct se_network group = se_penalty_group_of(box->rows[row].address, box->rows[row].length);
    uint32_t *head;

    if (!group.length)
        return;
    head = chain_of(box, &group);
    box->rows[row].next = *head ? *head - 1 : SE_NO_PENALTY_ROW;
    *head = row + 1;
}

static void unlink_row(struct se_penalties *box, uint32_t row)
{
    struct se_network group = se_penalty_group_of(box->rows[row].address, box->rows[row].length);
    uint32_t *head, at;

    if (!group.length)
        return;
    head = chain_of(box, &group);
    if (*head == row + 1) {
        *head = box->rows[row].next == SE_NO_PENALTY_ROW ? 0 : box->rows[row].next + 1;
        return;
    }
    for (at = *head - 1; box->rows[at].next != row;)
        at = box->rows[at].next;
    box->rows[at].next = box->rows[row].next;
}

static void count_length(struct se_penalties *box, uint8_t length, int change)
{
    uint64_t bit = UINT64_C(1) << (length % 64);

    box->of_length[length] += (uint32_t)change;
    if (box->of_length[length])
        atomic_fetch_or_explicit(&box->has_length[length / 64], bit, memory_order_release);
    else
        atomic_fetch_and_explicit(&box->has_length[length / 64], ~bit, memory_order_release);
}

static void set_tag(struct se_penalties *box, uint32_t row, uint8_t tag)
{
    unsigned shift = 8 * (row % SE_PENALTY_WAYS);
    uint64_t tags = atomic_load_explicit(&box->tags[row / SE_PENALTY_WAYS], memory_order_relaxed);

    tags = (tags & ~(UINT64_C(0xff) << shift)) | (uint64_t)tag << shift;
    atomic_store_explicit(&box->tags[row / SE_PENALTY_WAYS], tags, memory_order_release);
}

static void note_change(struct se_penalties *box, uint32_t row)
{
    box->rows[row].notes |= SE_ROW_CHANGED;
    se_mark(box->changed, row / SE_PENALTY_WAYS);
}

void se_penalty_row_remove(struct se_penalties *box, uint32_t row)
{
    if (box->rows[row].notes & (SE_ROW_PENALTY_TOLD | SE_ROW_STRIKES_TOLD)) {
        struct se_network network = {box->rows[row].address, box->rows[row].length};
        se_lost_note(&box->lost, &network);
    }
    unlink_row(box, row);
    set_tag(box, row, 0);
    count_length(box, box->rows[row].length, -1);
    atomic_fetch_sub_explicit(&box->used, 1, memory_order_relaxed);
    se_spinlock_lock(&box->locks[row / SE_PENALTY_WAYS]);
    box->rows[row] = (struct se_penalty_entry){0};
    se_spinlock_unlock(&box->locks[row / SE_PENALTY_WAYS]);
}

/* The row with the lowest rank is evicted. SE_FOREVER: never. */
static uint64_t eviction_rank(const struct se_penalty_entry *row, uint64_t now)
{
    if (!row->taken)
        return 0;
    if (now >= row->until)
        return now >= row->remembered_until ? 1 : 2 + row->remembered_until / 4;
    return row->until == SE_FOREVER ? SE_FOREVER : SE_FOREVER / 2 + row->until / 4;
}

uint32_t se_penalty_row_take(struct se_penalties *box, const struct se_network *network, uint64_t now)
{
    uint64_t hash = hash_network(box, network);
    uint32_t set = (uint32_t)(hash % SE_PENALTY_SETS), chosen = set * SE_PENALTY_WAYS, row = find_in_set(box, set, network);

    if (row != SE_NO_PENALTY_ROW)
        return row;
    for (row = chosen; row < (set + 1) * SE_PENALTY_WAYS; row++) {
        if (eviction_rank(&box->rows[row], now) < eviction_rank(&box->rows[chosen], now))
            chosen = row;
    }
    if (eviction_rank(&box->rows[chosen], now) == SE_FOREVER)
        return SE_NO_PENALTY_ROW;
    if (box->rows[chosen].taken)
        se_penalty_row_remove(box, chosen);
    se_spinlock_lock(&box->locks[set]);
    box->rows[chosen] = (struct se_penalty_entry){.address = network->address, .length = network->length, .taken = 1, .next = SE_NO_PENALTY_ROW};
    se_spinlock_unlock(&box->locks[set]);
    link_row(box, chosen);
    set_tag(box, chosen, tag_of(hash));
    count_length(box, network->length, +1);
    atomic_fetch_add_explicit(&box->used, 1, memory_order_relaxed);
    return chosen;
}

void se_penalty_row_fill(struct se_penalties *box, uint32_t row, const struct se_penalty *penalty)
{
    se_spinlock_lock(&box->locks[row / SE_PENALTY_WAYS]);
    box->rows[row].until = penalty->until;
    box->rows[row].rule = penalty->rule;
    box->rows[row].shown = penalty->strikes;
    box->rows[row].reason = penalty->reason;
    se_spinlock_unlock(&box->locks[row / SE_PENALTY_WAYS]);
    note_change(box, row);
}

void se_penalty_row_show(struct se_penalties *box, uint32_t row, uint16_t strikes)
{
    se_spinlock_lock(&box->locks[row / SE_PENALTY_WAYS]);
    box->rows[row].shown = strikes;
    se_spinlock_unlock(&box->locks[row / SE_PENALTY_WAYS]);
    note_change(box, row);
}

uint32_t se_penalty_row_find(const struct se_penalties *box, const struct se_network *network)
{
    return find_in_set(box, (uint32_t)(hash_network(box, network) % SE_PENALTY_SETS), network);
}

uint32_t se_penalty_rows_inside(struct se_penalties *box, const struct se_network *group, uint8_t length, uint64_t now)
{
    uint32_t inside = 0, at = *chain_of(box, group);

    for (at = at ? at - 1 : SE_NO_PENALTY_ROW; at != SE_NO_PENALTY_ROW; at = box->rows[at].next) {
        const struct se_penalty_entry *row = &box->rows[at];
        inside += row->length == length && now < row->until && se_network_contains(group, row->address);
    }
    return inside;
}
