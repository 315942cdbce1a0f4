/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef SENTRY_ENGINE_MIX_H
#define SENTRY_ENGINE_MIX_H

#include <stdint.h>

/* Spreads the bits of a word over all of it (the finaliser of MurmurHash3). Not keyed: no defence against a chosen input. */
static inline uint64_t se_mix(uint64_t word)
{
    word ^= word >> 33;
    word *= 0xff51afd7ed558ccdu;
    word ^= word >> 33;
    word *= 0xc4ceb9fe1a85ec53u;
    return word ^ word >> 33;
}

#endif
