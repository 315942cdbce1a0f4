/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Who is reading a policy: epoch-based reclamation. A reader writes the epoch it entered in to a slot of its thread and
 * clears it when it leaves; it never waits for a writer. A writer that has replaced a policy may free it once no slot holds
 * an epoch that is not past the replacement.
 *
 * A thread claims one of SE_OWN_SLOTS at its first question and gives it back when it ends. Threads beyond those borrow one
 * of SE_LENT_SLOTS for each question, which costs one more atomic exchange and waits only when that many are asking at once.
 */
#ifndef SENTRY_ENGINE_READERS_H
#define SENTRY_ENGINE_READERS_H

#include <stdatomic.h>
#include <stdint.h>

#define SE_OWN_SLOTS 240u
#define SE_LENT_SLOTS 16u
#define SE_READER_SLOTS (SE_OWN_SLOTS + SE_LENT_SLOTS)

struct se_reader {
    _Alignas(64) _Atomic uint64_t epoch; /* 0: not reading */
    _Atomic uint32_t claimed;
};

/* Returns the slot to hand to se_reader_leave; its number (se_reader_number) is the caller's alone until then. */
struct se_reader *se_reader_enter(void);
void se_reader_leave(struct se_reader *reader);
uint32_t se_reader_number(const struct se_reader *reader);

/* For the writer, after it has replaced what readers may hold: the moment to ask se_readers_passed about. */
uint64_t se_readers_retire(void);

/* Whether no reader that entered before the moment is left. */
int se_readers_passed(uint64_t moment);

#endif
