/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Epoch-based reclamation of policies. A reader stores the epoch it entered in to its thread's slot, and 0 when it leaves;
 * it never waits for a writer. A writer that has replaced a policy frees it once no slot holds an earlier epoch.
 *
 * A thread claims one of SE_OWN_SLOTS at its first request and returns it when the thread ends. Further threads borrow one
 * of SE_LENT_SLOTS for each request. That costs one more atomic exchange, and waits when SE_LENT_SLOTS are asking at once.
 */
#ifndef SENTRY_ENGINE_EPOCH_H
#define SENTRY_ENGINE_EPOCH_H

#include <stdatomic.h>
#include <stdint.h>

#define SE_OWN_SLOTS 240u
#define SE_LENT_SLOTS 16u
#define SE_EPOCH_SLOTS (SE_OWN_SLOTS + SE_LENT_SLOTS)

struct se_epoch_slot {
    _Alignas(64) _Atomic uint64_t epoch; /* 0: not reading */
    _Atomic uint32_t claimed;
};

/* Returns the slot to pass to se_epoch_leave. Its number is the caller's alone until then. Not recursive. */
struct se_epoch_slot *se_epoch_enter(void);
void se_epoch_leave(struct se_epoch_slot *slot);

/* 0 to SE_EPOCH_SLOTS - 1. */
uint32_t se_epoch_slot_number(const struct se_epoch_slot *slot);

/* Called by a writer after it has replaced what readers may hold. Returns the epoch to pass to se_epoch_passed. */
uint64_t se_epoch_retire(void);

/* True if no reader is left that entered before `retired`. */
int se_epoch_passed(uint64_t retired);

#endif
