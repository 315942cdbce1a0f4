/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "state/penalty_box.h"

#include "gate.h"
#include "spinlock.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define WAYS 8u
#define ROWS (SE_PENALTY_SETS * WAYS)
#define GROUPS 65536u          /* heads of the chains that escalation walks; a power of two */
#define NO_ROW UINT32_MAX
#define LENGTHS 129u
#define MAX_NS 9.2e18          /* a penalty of 292 years is as good as one without end */
#define REASON_PENALTY 3u      /* sentry_engine.verdict.Reason */
#define REASON_BLACKLISTED 4u

struct row {
    struct se_address address;
    uint64_t until;
    uint64_t remembered_until; /* when the strikes start over */
    uint32_t rule;
    uint32_t next;             /* in the chain of its group; NO_ROW: the last */
    uint16_t strikes;          /* that count towards the next penalty */
    uint16_t shown;            /* se_penalty.strikes */
    uint8_t length, reason, taken, reserved;
};

_Static_assert(sizeof(struct row) == 48, "eight rows are six cache lines");

struct se_penalties {
    struct se_secret secret;
    struct se_spin writing;                    /* held by whoever changes anything; taken before the lock of a set */
    _Atomic uint64_t tags[SE_PENALTY_SETS];    /* a byte a way, 0: free */
    struct se_spin locks[SE_PENALTY_SETS];
    struct row rows[ROWS];
    uint32_t groups[GROUPS];                   /* the first row + 1 of a chain; 0: none. Under `writing` */
    uint32_t of_length[LENGTHS];               /* rows taken, by the length of their network. Under `writing` */
    _Atomic uint64_t has_length[3];            /* bit set of the lengths that have any */
    _Atomic uint32_t used;
};

int se_penalties_open(struct se_penalties **out, const struct se_secret *secret)
{
    struct se_penalties *box = se_block_map(sizeof *box);

    if (!box)
        return -ENOMEM;
    box->secret = *secret;
    *out = box;
    return 0;
}

void se_penalties_close(struct se_penalties *penalties)
{
    if (penalties)
        se_block_unmap(penalties, sizeof *penalties);
}

static uint64_t hash_network(const struct se_penalties *box, const struct se_network *network)
{
    const uint64_t words[3] = {network->address.hi, network->address.lo, network->length};

    return se_siphash(&box->secret, words, 3);
}

static uint8_t tag_of(uint64_t hash)
{
    return (uint8_t)(hash >> 56 | 1);
}

/* Whether any byte of `tags` is `tag`. */
static bool has_tag(uint64_t tags, uint8_t tag)
{
    uint64_t different = tags ^ tag * UINT64_C(0x0101010101010101);

    return ((different - UINT64_C(0x0101010101010101)) & ~different & UINT64_C(0x8080808080808080)) != 0;
}

static bool is_of(const struct row *row, const struct se_network *network)
{
    return row->taken && row->length == network->length && se_address_equal(row->address, network->address);
}

/* The row of a network in its set, or NO_ROW. Under `writing` or the lock of the set. */
static uint32_t find_row(const struct se_penalties *box, uint32_t set, const struct se_network *network)
{
    for (uint32_t row = set * WAYS; row < (set + 1) * WAYS; row++) {
        if (is_of(&box->rows[row], network))
            return row;
    }
    return NO_ROW;
}

static struct se_penalty describe(const struct row *row)
{
    return (struct se_penalty){{row->address, row->length}, row->until, row->rule, row->shown, row->reason};
}

static bool find_exact(struct se_penalties *box, const struct se_network *network, uint64_t now, struct se_penalty *found)
{
    uint64_t hash = hash_network(box, network);
    uint32_t set = (uint32_t)(hash % SE_PENALTY_SETS), row;
    bool in_force;

    if (!has_tag(atomic_load_explicit(&box->tags[set], memory_order_acquire), tag_of(hash)))
        return false;
    se_spin_lock(&box->locks[set]);
    row = find_row(box, set, network);
    in_force = row != NO_ROW && now < box->rows[row].until;
    if (in_force)
        *found = describe(&box->rows[row]);
    se_spin_unlock(&box->locks[set]);
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

/* The group whose members, if enough are in penalty, widen the penalty to it. Length 0: there is none. */
static struct se_network group_of(struct se_address address, unsigned length)
{
    unsigned wide = length > 56 ? 56 : length > 48 ? 48 : 0;

    if (se_is_ipv4(address) && length >= SE_V4_OFFSET)
        wide = 0;
    return (struct se_network){se_mask(address, wide), (uint8_t)wide};
}

static uint32_t *chain_of(struct se_penalties *box, const struct se_network *group)
{
    return &box->groups[hash_network(box, group) % GROUPS];
}

static void link_row(struct se_penalties *box, uint32_t row)
{
    struct se_network group = group_of(box->rows[row].address, box->rows[row].length);
    uint32_t *head;

    if (!group.length)
        return;
    head = chain_of(box, &group);
    box->rows[row].next = *head ? *head - 1 : NO_ROW;
    *head = row + 1;
}

static void unlink_row(struct se_penalties *box, uint32_t row)
{
    struct se_network group = group_of(box->rows[row].address, box->rows[row].length);
    uint32_t *head, at;

    if (!group.length)
        return;
    head = chain_of(box, &group);
    if (*head == row + 1) {
        *head = box->rows[row].next == NO_ROW ? 0 : box->rows[row].next + 1;
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
    unsigned shift = 8 * (row % WAYS);
    uint64_t tags = atomic_load_explicit(&box->tags[row / WAYS], memory_order_relaxed);

    tags = (tags & ~(UINT64_C(0xff) << shift)) | (uint64_t)tag << shift;
    atomic_store_explicit(&box->tags[row / WAYS], tags, memory_order_release);
}

static void remove_row(struct se_penalties *box, uint32_t row)
{
    unlink_row(box, row);
    set_tag(box, row, 0);
    count_length(box, box->rows[row].length, -1);
    atomic_fetch_sub_explicit(&box->used, 1, memory_order_relaxed);
    se_spin_lock(&box->locks[row / WAYS]);
    box->rows[row] = (struct row){0};
    se_spin_unlock(&box->locks[row / WAYS]);
}

/* When a row may make room: the lower the sooner. */
static uint64_t worth(const struct row *row, uint64_t now)
{
    if (!row->taken)
        return 0;
    if (now >= row->until)
        return now >= row->remembered_until ? 1 : 2 + row->remembered_until / 4;
    return row->until == SE_FOREVER ? SE_FOREVER : SE_FOREVER / 2 + row->until / 4;
}

/* The row of a network, made if it has none. NO_ROW: the set is full of penalties without end. */
static uint32_t take_row(struct se_penalties *box, const struct se_network *network, uint64_t now)
{
    uint64_t hash = hash_network(box, network);
    uint32_t set = (uint32_t)(hash % SE_PENALTY_SETS), chosen = set * WAYS, row = find_row(box, set, network);

    if (row != NO_ROW)
        return row;
    for (row = chosen; row < (set + 1) * WAYS; row++) {
        if (worth(&box->rows[row], now) < worth(&box->rows[chosen], now))
            chosen = row;
    }
    if (worth(&box->rows[chosen], now) == SE_FOREVER)
        return NO_ROW;
    if (box->rows[chosen].taken)
        remove_row(box, chosen);
    se_spin_lock(&box->locks[set]);
    box->rows[chosen] = (struct row){.address = network->address, .length = network->length, .taken = 1, .next = NO_ROW};
    se_spin_unlock(&box->locks[set]);
    link_row(box, chosen);
    set_tag(box, chosen, tag_of(hash));
    count_length(box, network->length, +1);
    atomic_fetch_add_explicit(&box->used, 1, memory_order_relaxed);
    return chosen;
}

static void fill_row(struct se_penalties *box, uint32_t row, const struct se_penalty *penalty)
{
    se_spin_lock(&box->locks[row / WAYS]);
    box->rows[row].until = penalty->until;
    box->rows[row].rule = penalty->rule;
    box->rows[row].shown = penalty->strikes;
    box->rows[row].reason = penalty->reason;
    se_spin_unlock(&box->locks[row / WAYS]);
}

static uint64_t add_time(uint64_t now, uint64_t duration)
{
    return duration >= SE_FOREVER - now ? SE_FOREVER : now + duration;
}

static uint64_t grown_penalty(const struct se_limit *limit, unsigned strikes)
{
    double seconds = limit->penalty_seconds * pow(limit->penalty_growth, strikes - 1);

    if (!(seconds < limit->penalty_max_seconds))
        seconds = limit->penalty_max_seconds;
    return seconds * 1e9 < MAX_NS ? (uint64_t)llround(seconds * 1e9) : SE_FOREVER;
}

static struct se_sentence sentence_for(const struct row *row, const struct se_limit *limit, uint64_t now)
{
    struct se_sentence sentence = {.strikes = 1};

    if (row && now < row->remembered_until && row->strikes < UINT16_MAX)
        sentence.strikes = (uint16_t)(row->strikes + 1);
    sentence.blacklisted = limit->blacklist_threshold && sentence.strikes >= limit->blacklist_threshold;
    sentence.duration = sentence.blacklisted ? limit->blacklist_ttl : grown_penalty(limit, sentence.strikes);
    return sentence;
}

struct se_sentence se_penalty_foresee(struct se_penalties *box, const struct se_network *source,
                                      const struct se_limit *limit, uint64_t now)
{
    struct se_sentence sentence;
    uint32_t row;

    se_spin_lock(&box->writing);
    row = find_row(box, (uint32_t)(hash_network(box, source) % SE_PENALTY_SETS), source);
    sentence = sentence_for(row == NO_ROW ? NULL : &box->rows[row], limit, now);
    se_spin_unlock(&box->writing);
    return sentence;
}

/* How many networks of `length` inside `group` are in penalty. */
static uint32_t count_inside(struct se_penalties *box, const struct se_network *group, uint8_t length, uint64_t now)
{
    uint32_t inside = 0, at = *chain_of(box, group);

    for (at = at ? at - 1 : NO_ROW; at != NO_ROW; at = box->rows[at].next) {
        const struct row *row = &box->rows[at];
        inside += row->length == length && now < row->until && se_network_holds(group, row->address);
    }
    return inside;
}

static void escalate(struct se_penalties *box, struct se_penalty cause, uint64_t now, uint32_t after)
{
    struct se_network group = group_of(cause.network.address, cause.network.length);

    while (group.length) {
        uint32_t inside = count_inside(box, &group, cause.network.length, now), row;
        if (inside < after)
            return;
        cause.network = group;
        cause.strikes = (uint16_t)(inside < UINT16_MAX ? inside : UINT16_MAX);
        row = take_row(box, &group, now);
        if (row == NO_ROW)
            return;
        if (box->rows[row].until < cause.until)
            fill_row(box, row, &cause);
        group = group_of(group.address, group.length);
    }
}

struct se_sentence se_penalty_strike(struct se_penalties *box, const struct se_network *source,
                                     const struct se_limit *limit, uint64_t now, uint32_t escalate_after)
{
    struct se_sentence sentence;
    struct se_penalty penalty;
    uint32_t row;

    se_spin_lock(&box->writing);
    row = take_row(box, source, now);
    sentence = sentence_for(row == NO_ROW ? NULL : &box->rows[row], limit, now);
    penalty = (struct se_penalty){
        .network = *source,
        .until = add_time(now, sentence.duration),
        .rule = limit->kept_rule,
        .strikes = sentence.strikes,
        .reason = sentence.blacklisted ? REASON_BLACKLISTED : REASON_PENALTY,
    };
    if (row != NO_ROW) {
        box->rows[row].strikes = sentence.strikes;
        box->rows[row].remembered_until = add_time(penalty.until, limit->strike_memory);
        fill_row(box, row, &penalty);
        if (escalate_after)
            escalate(box, penalty, now, escalate_after);
    }
    se_spin_unlock(&box->writing);
    return sentence;
}

void se_penalty_put(struct se_penalties *box, const struct se_penalty *penalty)
{
    uint32_t row;

    se_spin_lock(&box->writing);
    row = take_row(box, &penalty->network, 0);
    if (row != NO_ROW)
        fill_row(box, row, penalty);
    se_spin_unlock(&box->writing);
}

uint32_t se_penalties_forgive(struct se_penalties *box, const struct se_network *network, uint64_t now)
{
    uint32_t ended = 0;

    for (uint32_t set = 0; set < SE_PENALTY_SETS; set++) {
        se_spin_lock(&box->writing);
        for (uint32_t i = set * WAYS; i < (set + 1) * WAYS; i++) {
            const struct row *row = &box->rows[i];
            if (!row->taken || row->length < network->length || !se_network_holds(network, row->address))
                continue;
            ended += now < row->until;
            remove_row(box, i);
        }
        se_spin_unlock(&box->writing);
    }
    return ended;
}

uint32_t se_penalties_list(struct se_penalties *box, uint64_t now, struct se_penalty *out, uint32_t room)
{
    uint32_t count = 0;

    for (uint32_t set = 0; set < SE_PENALTY_SETS; set++) {
        se_spin_lock(&box->writing);
        for (uint32_t i = set * WAYS; i < (set + 1) * WAYS; i++) {
            const struct row *row = &box->rows[i];
            if (!row->taken || now >= row->until)
                continue;
            if (count < room)
                out[count] = describe(row);
            count++;
        }
        se_spin_unlock(&box->writing);
    }
    return count;
}

uint32_t se_penalties_strikes(struct se_penalties *box, uint64_t now, struct se_strikes *out, uint32_t room)
{
    uint32_t count = 0;

    for (uint32_t set = 0; set < SE_PENALTY_SETS; set++) {
        se_spin_lock(&box->writing);
        for (uint32_t i = set * WAYS; i < (set + 1) * WAYS; i++) {
            const struct row *row = &box->rows[i];
            if (!row->taken || !row->strikes || now >= row->remembered_until)
                continue;
            if (count < room)
                out[count] = (struct se_strikes){{row->address, row->length}, row->remembered_until, row->strikes};
            count++;
        }
        se_spin_unlock(&box->writing);
    }
    return count;
}

void se_penalty_remember(struct se_penalties *box, const struct se_strikes *strikes, uint64_t now)
{
    uint32_t row;

    se_spin_lock(&box->writing);
    row = take_row(box, &strikes->source, now);
    if (row != NO_ROW) {
        struct row *known = &box->rows[row];
        if (known->strikes < strikes->count)
            known->strikes = strikes->count;
        if (known->remembered_until < strikes->remembered_until)
            known->remembered_until = strikes->remembered_until;
        se_spin_lock(&box->locks[row / WAYS]);
        known->shown = known->strikes;
        se_spin_unlock(&box->locks[row / WAYS]);
    }
    se_spin_unlock(&box->writing);
}

uint32_t se_penalties_used(const struct se_penalties *box)
{
    return atomic_load_explicit(&box->used, memory_order_relaxed);
}

uint64_t se_penalties_bytes(void)
{
    return sizeof(struct se_penalties);
}
