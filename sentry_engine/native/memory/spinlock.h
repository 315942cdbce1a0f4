/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A spinlock of four bytes for sections of a few dozen nanoseconds. It yields the processor when it spins for so long that
 * the holder must have been preempted. Not fair, not recursive.
 */
#ifndef SENTRY_ENGINE_SPINLOCK_H
#define SENTRY_ENGINE_SPINLOCK_H

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#define SE_SPINS_BEFORE_YIELD 64u /* about a microsecond: longer than any section under this lock */

struct se_spinlock {
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

static inline void se_spinlock_lock(struct se_spinlock *lock)
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

static inline void se_spinlock_unlock(struct se_spinlock *lock)
{
    atomic_store_explicit(&lock->held, 0, memory_order_release);
}

#endif
