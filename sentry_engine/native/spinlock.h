/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A lock of four bytes for sections of a few dozen nanoseconds. It spins, and yields the processor when the holder was
 * evidently preempted. Not fair, not recursive.
 */
#ifndef SENTRY_ENGINE_SPIN_H
#define SENTRY_ENGINE_SPIN_H

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#define SE_SPINS_BEFORE_YIELD 64u /* about a microsecond: far longer than any section that this lock guards */

struct se_spin {
    _Atomic uint32_t held;
};

static inline void se_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline void se_spin_lock(struct se_spin *lock)
{
    uint32_t spins = 0;

    while (atomic_exchange_explicit(&lock->held, 1, memory_order_acquire)) {
        while (atomic_load_explicit(&lock->held, memory_order_relaxed)) {
            if (++spins % SE_SPINS_BEFORE_YIELD == 0)
                sched_yield();
            else
                se_cpu_relax();
        }
    }
}

static inline void se_spin_unlock(struct se_spin *lock)
{
    atomic_store_explicit(&lock->held, 0, memory_order_release);
}

#endif
