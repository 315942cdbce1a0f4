/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "table/checksum.h"

#include "mix.h"

#include <string.h>

#define LANES 4u /* independent chains of multiplications, to run at the speed of memory */

static uint64_t word_at(const uint8_t *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    return word;
}

uint64_t se_checksum(const void *bytes, uint64_t size)
{
    const uint8_t *at = bytes;
    uint64_t left = size;
    uint64_t lane[LANES] = {1, 2, 3, 4};
    uint64_t sum = left;

    for (; left >= 8 * LANES; left -= 8 * LANES, at += 8 * LANES) {
        for (unsigned i = 0; i < LANES; i++) {
            lane[i] = (lane[i] ^ word_at(at + 8 * i)) * 0x9e3779b97f4a7c15u;
            lane[i] ^= lane[i] >> 29;
        }
    }
    for (; left; left--, at++)
        lane[left % LANES] = (lane[left % LANES] ^ *at) * 0x9e3779b97f4a7c15u;
    for (unsigned i = 0; i < LANES; i++)
        sum = se_mix(sum ^ lane[i]);
    return sum;
}
