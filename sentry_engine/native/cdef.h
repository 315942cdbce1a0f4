/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What Python sees of the core: read by cffi, which compares every structure with the C compiler's view of it.
 */
struct se_core;
struct se_policy;
struct se_in_force;
struct se_gate;

struct se_table_columns {
    const uint8_t *networks;
    const uint8_t *lengths;
    const uint32_t *values;
    uint64_t count;
};
struct se_entry_columns {
    const uint8_t *actions;
    const uint8_t *reasons;
    const uint32_t *rules;
    const uint64_t *expires;
    uint64_t count;
};
struct se_limit {
    uint64_t window, penalty, blacklist_ttl, strike_memory;
    double penalty_seconds, penalty_growth, penalty_max_seconds;
    uint32_t rule, kept_rule, max_events, blacklist_threshold, event;
    ...;
};
struct se_payback {
    uint32_t event, from_event, points;
    ...;
};
struct se_plan_columns {
    uint64_t version;
    struct se_table_columns tables[7];
    struct se_entry_columns entries;
    const struct se_limit *limits;
    const uint32_t *sets;
    const struct se_payback *paybacks;
    uint32_t limit_count, set_count, event_count, payback_count, rule_count;
    uint32_t escalate_after;
    uint8_t default_action, on_missing, ipv4_prefix, ipv6_prefix;
};
struct se_fault {
    const char *what;
    uint32_t tier;
    uint64_t row;
};
struct se_step {
    uint8_t matched, length, action, reason, decisive;
    uint32_t rule, limit;
    ...;
};
struct se_penalty_row {
    uint8_t network[16];
    double until;
    uint32_t kept_rule;
    uint16_t strikes;
    uint8_t length, reason;
};
struct se_decision_row {
    uint64_t word;
    double retry_after, now;
    uint32_t latency;
    uint16_t event, port, local_port;
    uint8_t protocol, verified;
    uint8_t address[16];
};
#define SE_WINDOW_SETS ...
struct se_strikes_row {
    uint8_t network[16];
    double until;
    uint16_t count;
    uint8_t length;
    ...;
};
struct se_burst_row {
    uint8_t network[16];
    double first, last;
    uint32_t count;
    uint16_t event;
    uint8_t length;
    ...;
};
struct se_counters {
    uint64_t decisions, refused, sources, penalties, evicted, unlogged;
};

uint32_t se_core_abi(void);
int se_core_open(struct se_core **out);
void se_core_close(struct se_core *core);
int se_core_build(const struct se_plan_columns *plan, struct se_policy **out, struct se_fault *fault);
int se_core_install(struct se_core *core, const struct se_policy *base, const struct se_policy *overlay,
                    struct se_in_force **before);
int se_in_force_is_unread(const struct se_in_force *in_force);
void se_in_force_free(struct se_in_force *in_force);
int se_policy_write(const struct se_policy *policy, int descriptor);
int se_policy_read(int descriptor, uint64_t offset, uint64_t size, struct se_policy **out, struct se_fault *fault);
void se_policy_keep_rule(struct se_policy *policy, uint32_t limit, uint32_t kept_rule);
uint64_t se_policy_bytes(const struct se_policy *policy);
uint32_t se_policy_rules(const struct se_policy *policy);
uint32_t se_policy_limits(const struct se_policy *policy);
bool se_address_parse(const char *text, size_t length, uint8_t *address);
bool se_networks_parse(const char *text, size_t length, uint8_t *networks, uint8_t *lengths, uint32_t count);
uint64_t se_checksum(const void *bytes, uint64_t size);
void se_policy_free(struct se_policy *policy);
uint32_t se_policy_hits(const struct se_policy *policy, uint32_t *rules, uint64_t *counts, uint32_t room);
uint32_t se_core_kept_hits(struct se_core *core, uint32_t *rules, uint64_t *counts, uint32_t room);
uint32_t se_core_generation(const struct se_core *core);
uint64_t se_core_state_bytes(void);
struct se_gate *se_core_gate(struct se_core *core);
void se_core_answer_words(struct se_core *core, const uint8_t *addresses, uint64_t count, uint32_t event, int verified,
                          double now, uint64_t *words);
uint64_t se_core_trace(struct se_core *core, const uint8_t *address, uint32_t event, int verified, double now, struct se_step *steps,
                       double *retry_after);
void se_core_penalize(struct se_core *core, const uint8_t *network, uint8_t length, double until, uint8_t reason, uint32_t kept_rule);
uint32_t se_core_forgive(struct se_core *core, const uint8_t *network, uint8_t length, double now);
uint32_t se_core_penalties(struct se_core *core, double now, struct se_penalty_row *out, uint32_t room);
uint32_t se_core_strikes(struct se_core *core, double now, struct se_strikes_row *out, uint32_t room);
void se_core_remember(struct se_core *core, const struct se_strikes_row *strikes, double now);
uint32_t se_core_bursts(struct se_core *core, double now, uint32_t *set, struct se_burst_row *out, uint32_t room);
void se_core_restore(struct se_core *core, const struct se_burst_row *burst, double now);
void se_core_watch(struct se_core *core, uint32_t every);
uint32_t se_core_drain(struct se_core *core, struct se_decision_row *out, uint32_t room);
void se_core_count(struct se_core *core, struct se_counters *out);
