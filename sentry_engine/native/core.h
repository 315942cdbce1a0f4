/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The core: the policy in force, the blocks and the state of sources that outlive it, and the gate.
 *
 * cffi reads this header (cffi_headers.py). Any thread may call any function, except se_core_close.
 */
#ifndef SENTRY_ENGINE_CORE_H
#define SENTRY_ENGINE_CORE_H

#include "gate.h"
#include "table/policy.h"

#define SE_CORE_ABI 9u /* of all calls that Python makes; compared with the ABI that Python was written for */

struct se_core;
struct se_in_force;

/* The ABI that this library was compiled with. */
uint32_t se_core_abi(void);

/* Returns 0 or a negative errno. Until a policy is installed every request is refused. */
int se_core_open(struct se_core **out);

/* Requires that no thread uses the core any more. The policies stay the caller's. */
void se_core_close(struct se_core *core);

/*
 * Puts a policy in force. It stays the caller's, who keeps it alive until it is replaced and unread. Stores the record of the
 * previous one (NULL: none), which the caller frees by se_in_force_free once it is unread. Returns 0 or -ENOMEM.
 */
int se_core_install(struct se_core *core, const struct se_policy *policy, struct se_in_force **previous);
int se_in_force_is_unread(const struct se_in_force *in_force);
void se_in_force_free(struct se_in_force *in_force);

/* Installations so far. Every answer carries the low 16 bits, which tell whose rule ids it refers to. */
uint32_t se_core_generation(const struct se_core *core);

/* Bytes of the tables of sources: constant. */
uint64_t se_core_state_bytes(void);

/* Up to `room` numbers of kept rule ids that gave verdicts, with counts. Returns how many there are. */
uint32_t se_core_kept_hits(struct se_core *core, uint32_t *rules, uint64_t *counts, uint32_t room);

/*
 * Blocks by number: se_core_reserve_blocks stores `count` numbers, or fewer if no rows are left, and returns how many.
 * se_core_put_blocks puts a block under each: networks of 16 bytes, IPv4 lengths plus 96, ends in ns (SE_FOREVER: none). These
 * and se_core_remove_blocks require that no other thread calls one of them.
 */
uint32_t se_core_reserve_blocks(struct se_core *core, uint32_t *numbers, uint32_t count);
void se_core_put_blocks(struct se_core *core, const uint32_t *numbers, const uint8_t *networks, const uint8_t *lengths,
                        const uint64_t *ends, uint32_t count);
void se_core_remove_blocks(struct se_core *core, const uint32_t *numbers, uint32_t count);

/*
 * The number of the most specific block of the address (16 bytes) that is in force at `now` (ns); SE_NO_BLOCK: none. Requires
 * that no other thread changes blocks.
 */
uint32_t se_core_find_block(const struct se_core *core, const uint8_t *address, uint64_t now);

/* Up to `room` numbers of blocks that gave verdicts, with counts. Returns how many there are. */
uint32_t se_core_block_hits(struct se_core *core, uint32_t *numbers, uint64_t *counts, uint32_t room);

struct se_gate *se_core_gate(struct se_core *core);

#define SE_VERDICT_KINDS 75u /* actions times SE_REASONS */

struct se_counters {
    uint64_t decisions, sources, penalties, evicted;
    uint64_t unlogged; /* decisions that found the log full */
    uint64_t verdicts[SE_VERDICT_KINDS]; /* by action * SE_REASONS + reason */
};

void se_core_read_counters(struct se_core *core, struct se_counters *out);

#endif
