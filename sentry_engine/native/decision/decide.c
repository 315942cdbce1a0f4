/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "decision/decide.h"

#include "mix.h"
#include "prefixes/cells.h"
#include "state/penalty_rows.h"
#include "table/lookup.h"

/* sentry_engine.cores.plan.Tier */
enum { NEVER_BLOCK = SE_NEVER_BLOCK_TIER, RULES = SE_RULES_TIER, FEEDS, COUNTRY, ASN, ANONYMIZER };

struct walk {
    const struct se_policy *policy;
    struct se_state_tables *state;
    const struct se_request *request;
    struct se_verdict *verdict;
    struct se_step *step;        /* the next one to fill; NULL: count, and explain nothing */
    struct se_address address;
    uint32_t found;              /* the number of the cell, or the rule that decides */
    const uint32_t *cell;        /* of all tiers, or of those beside the rule */
    uint32_t limit;              /* index of the limit that applies, or SE_NO_LIMIT */
    bool decided;
};

static struct se_verdict make_verdict(uint8_t action, uint8_t reason, uint32_t rule, uint64_t retry_after)
{
    return (struct se_verdict){.action = action, .reason = reason, .rule = rule, .retry_after = retry_after};
}

/* The first verdict decides; later ones are only shown. Returns true if the walk may end. */
static bool settle(struct walk *walk, const struct se_step *step, const struct se_verdict *verdict)
{
    bool decisive = verdict && !walk->decided;

    if (decisive) {
        *walk->verdict = *verdict;
        walk->decided = true;
    }
    if (!walk->step)
        return decisive;
    *walk->step = *step;
    walk->step++->decisive = decisive;
    return false;
}

static const struct se_step NOTHING = {.action = SE_STEP_NONE, .reason = SE_STEP_NONE, .rule = SE_NO_RULE, .limit = SE_NO_LIMIT};

/* The entry that matched in a tier, and its prefix length. */
struct match {
    const struct se_entry *entry; /* NULL: nothing matches */
    uint32_t rule, length;
    uint8_t action; /* enum se_action, or SE_INFORMS */
};

/* The most specific entry of a tier that has not expired. */
static struct match match_cell(const struct se_policy *policy, const uint32_t *cell, unsigned tier, uint64_t now)
{
    uint32_t value = se_cell_value(cell, tier), length;

    if (value == SE_NO_VALUE)
        return (struct match){0};
    length = se_cell_length(cell, tier);
    while (value & SE_VALUE_TIMED) {
        const struct se_timed *timed = &policy->timed[value & SE_VALUE_INDEX_MASK];
        value = now < timed->expires ? timed->value : timed->next;
        if (now < timed->expires)
            break;
        if (value == SE_NO_VALUE)
            return (struct match){0};
        length = timed->next_length;
    }
    const struct se_entry *entry = &policy->entries[value & SE_VALUE_INDEX_MASK];
    return (struct match){entry, entry->rule, length, value >> SE_VALUE_ACTION_SHIFT & SE_VALUE_ACTION_MASK};
}

static const struct se_entry BY_RULE = {.rule = SE_NO_RULE, .reason = SE_REASON_RULE};

static struct match match_found(const struct walk *walk)
{
    uint32_t rule = walk->found & SE_CELL_RULE_MASK;

    if (!(walk->found & SE_CELL_RULE))
        return match_cell(walk->policy, walk->cell, RULES, walk->request->now);
    return (struct match){&BY_RULE, rule, walk->policy->beneath[rule] & 0xff, walk->found & SE_CELL_REJECTS ? SE_REJECT : SE_ACCEPT};
}

/* The most specific match of the tier RULES: a block, or the policy's own. */
static struct match match_rules(const struct walk *walk)
{
    struct match match = match_found(walk);
    int offset = se_is_ipv4(walk->address) ? (int)SE_V4_OFFSET : 0, longer_than = match.entry ? (int)match.length + offset : -1;
    struct se_block_match block;

    if (se_blocklist_is_empty(walk->state->blocklist))
        return match;
    block = se_blocklist_find(walk->state->blocklist, walk->address, longer_than, walk->request->now);
    if (block.number == SE_NO_BLOCK)
        return match;
    return (struct match){&BY_RULE, SE_RULE_BLOCK | block.number, (uint32_t)(block.length - offset), SE_REJECT};
}

static struct match match_tier(const struct walk *walk, unsigned tier)
{
    return tier == RULES ? match_rules(walk) : match_cell(walk->policy, walk->cell, tier, walk->request->now);
}

static uint8_t packed_length(const struct walk *walk, uint32_t length)
{
    length += se_is_ipv4(walk->address) ? SE_V4_OFFSET : 0;
    return (uint8_t)(length < 128 ? length : 128);
}

static bool match_table(struct walk *walk, unsigned tier)
{
    bool is_geo = tier == COUNTRY || tier == ASN || tier == ANONYMIZER, decides;
    struct match match = match_tier(walk, tier);
    uint8_t on_missing = walk->policy->snapshot->on_missing;
    struct se_step step = NOTHING;
    struct se_verdict verdict;

    if (!match.entry) {
        if (tier != COUNTRY || on_missing == SE_NO_ACTION)
            return settle(walk, &step, NULL);
        step.action = on_missing;
        step.reason = SE_REASON_GEOIP_MISSING;
        verdict = make_verdict(on_missing, SE_REASON_GEOIP_MISSING, SE_NO_RULE, 0);
        return settle(walk, &step, on_missing == SE_ACCEPT ? NULL : &verdict);
    }
    decides = match.action == SE_REJECT || (match.action != SE_INFORMS && !is_geo);
    step.matched = 1;
    step.length = packed_length(walk, match.length);
    step.action = match.action == SE_INFORMS ? SE_STEP_NONE : match.action;
    step.reason = match.entry->reason;
    step.rule = match.rule;
    verdict = make_verdict(match.action, match.entry->reason, match.rule, 0);
    return settle(walk, &step, decides ? &verdict : NULL);
}

/* True if a tier cannot decide: most have no value for most addresses. An explanation shows those tiers too. */
static inline bool cannot_decide(const struct walk *walk, unsigned tier)
{
    if (walk->step || walk->cell[0] >> tier & 1 || (tier == RULES && walk->found & SE_CELL_RULE))
        return false;
    return tier == RULES ? se_blocklist_is_empty(walk->state->blocklist) : tier != COUNTRY || walk->policy->snapshot->on_missing == SE_NO_ACTION;
}

static inline bool decides_by_table(struct walk *walk, unsigned tier)
{
    return !cannot_decide(walk, tier) && match_table(walk, tier);
}

static struct se_verdict penalty_verdict(const struct se_penalty *penalty, uint64_t now)
{
    uint8_t action = penalty->reason == SE_REASON_PENALTY ? SE_RATE_LIMITED : SE_REJECT;
    uint32_t rule = penalty->rule == SE_NO_RULE ? SE_NO_RULE : SE_RULE_KEPT | penalty->rule;

    return make_verdict(action, penalty->reason, rule, penalty->until == SE_FOREVER ? SE_FOREVER : penalty->until - now);
}

static bool match_penalties(struct walk *walk)
{
    struct se_step step = NOTHING;
    struct se_penalty penalty;
    struct se_verdict verdict;

    if (!se_penalty_find(walk->state->penalties, walk->address, walk->request->now, &penalty))
        return settle(walk, &step, NULL);
    verdict = penalty_verdict(&penalty, walk->request->now);
    step.matched = 1;
    step.length = penalty.network.length;
    step.action = verdict.action;
    step.reason = verdict.reason;
    step.rule = verdict.rule;
    return settle(walk, &step, &verdict);
}

struct se_network se_source_of(const struct se_policy *policy, struct se_address address)
{
    const struct se_snapshot *snapshot = policy->snapshot;
    unsigned length = se_is_ipv4(address) ? snapshot->ipv4_prefix + SE_V4_OFFSET : snapshot->ipv6_prefix;

    return (struct se_network){se_mask(address, length), (uint8_t)length};
}

struct se_window_key se_key_of(const struct se_state_tables *state, const struct se_network *source, uint32_t event)
{
    uint64_t words[2] = {source->length >= SE_V4_OFFSET ? source->address.lo : source->address.hi, source->length};

    return (struct se_window_key){
        .source = words[0],
        .hash = se_siphash(&state->secret, words, 2),
        .event = event,
        .length = source->length,
    };
}

uint64_t se_sketch_hash(const struct se_window_key *key)
{
    return se_mix(key->hash ^ (key->event + 1) * UINT64_C(0xd6e8feb86659fd93));
}

/* For a request over its limit: returns the verdict and, if the walk counts, puts the source in the penalty box. */
static struct se_verdict apply_penalty(struct walk *walk, const struct se_limit *limit, const struct se_network *source, uint64_t wait)
{
    struct se_penalties *penalties = walk->state->penalties;
    uint64_t now = walk->request->now;
    struct se_penalty_terms terms;

    if (!limit->penalty)
        return make_verdict(SE_RATE_LIMITED, SE_REASON_RATE_LIMIT, limit->rule, wait);
    if (walk->step)
        terms = se_penalty_preview(penalties, source, limit, now);
    else
        terms = se_penalty_strike(penalties, source, limit, now, walk->policy->snapshot->escalate_after);
    if (terms.blacklisted)
        return make_verdict(SE_REJECT, SE_REASON_BLACKLISTED, limit->rule, terms.duration);
    return make_verdict(SE_RATE_LIMITED, SE_REASON_RATE_LIMIT, limit->rule, terms.duration);
}

/*
 * Checks a verified request against its limit. The penalty box is read again under the lock of the set: another thread may
 * have put the source there since, and cleared its window.
 */
static bool is_over_window(struct walk *walk, const struct se_limit *limit, const struct se_network *source,
                           struct se_verdict *verdict)
{
    struct se_window_key key = se_key_of(walk->state, source, limit->event);
    struct se_window_set *set = se_window_lock(walk->state->windows, &key);
    uint64_t now = walk->request->now, wait;
    struct se_penalty penalty;
    bool over = true;

    if (!walk->step && se_penalty_find(walk->state->penalties, walk->address, now, &penalty)) {
        *verdict = penalty_verdict(&penalty, now);
    } else if ((wait = se_window_wait(set, &key, limit, now)) != 0) {
        *verdict = apply_penalty(walk, limit, source, wait);
        if (!walk->step && se_penalty_find(walk->state->penalties, walk->address, now, &penalty))
            se_window_clear(walk->state->windows, set, &key);
    } else {
        over = false;
        if (!walk->step)
            se_window_add(walk->state->windows, set, &key, limit, now);
    }
    se_window_unlock(set);
    return over;
}

/* Checks a request whose source may be spoofed against its limit. */
static bool is_over_sketch(struct walk *walk, const struct se_limit *limit, const struct se_network *source,
                           struct se_verdict *verdict)
{
    struct se_window_key key = se_key_of(walk->state, source, limit->event);
    uint64_t wait = se_sketch_wait(walk->state->sketch, se_sketch_hash(&key), limit, walk->request->now, !walk->step);

    *verdict = make_verdict(SE_RATE_LIMITED, SE_REASON_RATE_LIMIT, limit->rule, wait);
    return wait != 0;
}

static void pay_back(struct walk *walk, const struct se_network *source)
{
    const struct se_policy *policy = walk->policy;

    if (walk->step || walk->request->verified != SE_SOURCE_VERIFIED)
        return;
    for (uint64_t i = 0; i < policy->snapshot->paybacks.count; i++) {
        const struct se_payback *payback = &policy->paybacks[i];
        if (payback->event != walk->request->event)
            continue;
        struct se_window_key key = se_key_of(walk->state, source, payback->from_event);
        struct se_window_set *set = se_window_lock(walk->state->windows, &key);
        se_window_pay_back(walk->state->windows, set, &key, payback->points);
        se_window_unlock(set);
    }
}

static bool match_limits(struct walk *walk)
{
    struct se_network source = se_source_of(walk->policy, walk->address);
    struct se_step step = NOTHING;
    struct se_verdict verdict;
    bool over = false;

    if (walk->limit != SE_NO_LIMIT) {
        const struct se_limit *limit = &walk->policy->limits[walk->limit];
        over = (walk->request->verified == SE_SOURCE_VERIFIED ? is_over_window : is_over_sketch)(walk, limit, &source, &verdict);
        step = (struct se_step){
            .matched = 1,
            .length = source.length,
            .action = over ? verdict.action : SE_ACCEPT,
            .reason = over ? verdict.reason : SE_REASON_WITHIN_LIMIT,
            .rule = limit->rule,
            .limit = walk->limit,
        };
    }
    if (!over)
        pay_back(walk, &source);
    return settle(walk, &step, over ? &verdict : NULL);
}

static void apply_default(struct walk *walk)
{
    uint8_t action = walk->policy->snapshot->default_action;
    struct se_verdict verdict = make_verdict(action, SE_REASON_DEFAULT, SE_NO_RULE, 0);
    struct se_step step = NOTHING;

    if (action == SE_ACCEPT && walk->limit != SE_NO_LIMIT)
        verdict = make_verdict(action, SE_REASON_WITHIN_LIMIT, walk->policy->limits[walk->limit].rule, 0);
    step.action = verdict.action;
    step.reason = verdict.reason;
    step.rule = verdict.rule;
    settle(walk, &step, &verdict);
}

static bool is_known(const struct se_policy *policy, uint32_t event)
{
    return event <= SE_EVENT_DISCONNECT || (event >= SE_EVENT_CUSTOM && event < policy->snapshot->event_count);
}

/* The verdict of a rule that decides (SE_CELL_RULE). */
static inline struct se_verdict rule_verdict(uint32_t found)
{
    return make_verdict(found & SE_CELL_REJECTS ? SE_REJECT : SE_ACCEPT, SE_REASON_RULE, found & SE_CELL_RULE_MASK, 0);
}

/* Requires that the address has been looked up. */
static void walk_tiers(struct walk *walk)
{
    walk->cell = se_cell_of(walk->policy, walk->found);
    walk->limit = SE_NO_LIMIT;
    if (walk->request->verified != SE_SOURCE_NAMED)
        walk->limit = se_limit_in(walk->policy, walk->cell, walk->request->event);
    if (decides_by_table(walk, NEVER_BLOCK) || decides_by_table(walk, RULES) || match_penalties(walk) || decides_by_table(walk, FEEDS) ||
        decides_by_table(walk, COUNTRY) || decides_by_table(walk, ASN) || decides_by_table(walk, ANONYMIZER) || match_limits(walk))
        return;
    apply_default(walk);
}

void se_walk(const struct se_in_force *in_force, struct se_state_tables *state, const struct se_request *request,
             struct se_verdict *verdict, struct se_step *steps)
{
    struct walk walk = {
        .policy = in_force->policy,
        .state = state,
        .request = request,
        .verdict = verdict,
        .step = steps,
        .address = se_address_load(request->address),
    };

    for (unsigned i = 0; steps && i < SE_STEPS; i++)
        steps[i] = NOTHING;
    if (!is_known(walk.policy, request->event)) {
        *verdict = make_verdict(SE_REJECT, SE_REASON_INVALID_REQUEST, SE_NO_RULE, 0);
        return;
    }
    walk.found = se_lookup(walk.policy, walk.address);
    walk_tiers(&walk);
}

/* Where rules have a prefix each, an entry has the number of its rule, so its counter comes along. */
static void fetch_entry(const struct se_policy *policy, uint32_t entry)
{
    __builtin_prefetch(&policy->entries[entry]);
    if (entry < policy->snapshot->rule_count)
        __builtin_prefetch((const void *)&policy->hits[entry], 1);
}

static void fetch_found(const struct se_policy *policy, uint32_t found)
{
    if (found & SE_CELL_RULE)
        __builtin_prefetch((const void *)&policy->hits[found & SE_CELL_RULE_MASK], 1);
    else
        __builtin_prefetch(&policy->cells[found]);
}

/* Looks up all addresses, each step for all of them before the next step, so that their cache misses overlap. */
static void look_up(const struct se_policy *policy, const struct se_address *addresses, uint32_t *found, uint32_t count)
{
    const void *slots[SE_LOOKAHEAD];

    for (uint32_t i = 0; i < count; i++) {
        slots[i] = se_find_slot(policy, addresses[i]); /* fetched by se_walk_ahead */
        se_prefetch_ranges(policy, addresses[i], slots[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        found[i] = se_find_cell(policy, addresses[i], slots[i]);
        fetch_found(policy, found[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value = found[i] & SE_CELL_RULE ? SE_NO_VALUE : se_cell_value(policy->cells + found[i], RULES);
        if (value == SE_NO_VALUE || value & SE_VALUE_TIMED)
            continue;
        fetch_entry(policy, value & SE_VALUE_INDEX_MASK);
    }
}

void se_walk_ahead(const struct se_in_force *in_force, const struct se_request *requests, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        __builtin_prefetch(se_find_slot(in_force->policy, se_address_load(requests[i].address)));
}

static void walk_one(const struct se_in_force *in_force, struct se_state_tables *state, const struct se_request *request,
                     struct se_verdict *verdict, struct se_address address, uint32_t found)
{
    struct walk walk = {
        .policy = in_force->policy,
        .state = state,
        .request = request,
        .verdict = verdict,
        .address = address,
        .found = found,
    };
    walk_tiers(&walk);
}

void se_walk_many(const struct se_in_force *in_force, struct se_state_tables *state, const struct se_request *requests,
                  struct se_verdict *verdicts, uint32_t count)
{
    struct se_address addresses[SE_LOOKAHEAD];
    uint32_t found[SE_LOOKAHEAD];
    bool has_blocks = !se_blocklist_is_empty(state->blocklist);

    for (uint32_t i = 0; i < count; i++)
        addresses[i] = se_address_load(requests[i].address);
    look_up(in_force->policy, addresses, found, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!is_known(in_force->policy, requests[i].event))
            verdicts[i] = make_verdict(SE_REJECT, SE_REASON_INVALID_REQUEST, SE_NO_RULE, 0);
        else if (found[i] & SE_CELL_RULE && !has_blocks)
            verdicts[i] = rule_verdict(found[i]);
        else
            walk_one(in_force, state, &requests[i], &verdicts[i], addresses[i], found[i]);
    }
}
