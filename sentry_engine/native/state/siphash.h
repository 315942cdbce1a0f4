/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * SipHash-1-3 (Aumasson, Bernstein 2012) over 64-bit words, and its key. Every table that clients fill is hashed with it, so
 * that a client cannot choose its set, row or cell.
 */
#ifndef SENTRY_ENGINE_SIPHASH_H
#define SENTRY_ENGINE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct se_secret {
    uint64_t k0, k1;
};

/* Fills `secret` with random bytes of the kernel. Returns 0 or a negative errno. */
int se_secret_draw(struct se_secret *secret);

static inline uint64_t se_rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

struct se_sip_state {
    uint64_t v0, v1, v2, v3;
};

static inline void se_sip_round(struct se_sip_state *s)
{
    s->v0 += s->v1;
    s->v1 = se_rotate(s->v1, 13) ^ s->v0;
    s->v0 = se_rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = se_rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = se_rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = se_rotate(s->v1, 17) ^ s->v2;
    s->v2 = se_rotate(s->v2, 32);
}

/* The hash of `count` words, as of their 8 * count bytes in little-endian order. */
static inline uint64_t se_siphash(const struct se_secret *secret, const uint64_t *words, size_t count)
{
    struct se_sip_state s = {
        secret->k0 ^ 0x736f6d6570736575u,
        secret->k1 ^ 0x646f72616e646f6du,
        secret->k0 ^ 0x6c7967656e657261u,
        secret->k1 ^ 0x7465646279746573u,
    };
    uint64_t last = (uint64_t)(count * 8) << 56;

    for (size_t i = 0; i < count; i++) {
        s.v3 ^= words[i];
        se_sip_round(&s);
        s.v0 ^= words[i];
    }
    s.v3 ^= last;
    se_sip_round(&s);
    s.v0 ^= last;
    s.v2 ^= 0xff;
    se_sip_round(&s);
    se_sip_round(&s);
    se_sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

#endif
