/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "table/policy.h"

#include "state/siphash.h"

#include <stdlib.h>
#include <sys/mman.h>

#define LANES 4u /* independent chains of multiplications, to run at the speed of memory */

void *se_block_map(size_t size)
{
    void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (block == MAP_FAILED)
        return NULL;
    madvise(block, size, MADV_HUGEPAGE); /* a wish: without it lookups only miss the TLB more often */
    return block;
}

void se_block_unmap(const void *block, size_t size)
{
    munmap((void *)(uintptr_t)block, size);
}

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

static size_t hits_size(const struct se_snapshot *snapshot)
{
    return (snapshot->rule_count + (size_t)1) * sizeof(_Atomic uint64_t);
}

struct se_policy *se_policy_open(const struct se_snapshot *snapshot, size_t mapped)
{
    const uint8_t *base = (const uint8_t *)snapshot;
    struct se_policy *policy = calloc(1, sizeof *policy);
    _Atomic uint64_t *hits = se_block_map(hits_size(snapshot));

    if (!policy || !hits) {
        free(policy);
        if (hits)
            se_block_unmap((const void *)hits, hits_size(snapshot));
        se_block_unmap(snapshot, mapped);
        return NULL;
    }
    *policy = (struct se_policy){
        .snapshot = snapshot,
        .mapped = mapped,
        .slots4 = (const uint32_t *)(base + snapshot->slots4.offset),
        .ranges4 = (const struct se_range4 *)(base + snapshot->ranges4.offset),
        .slots6 = (const uint32_t *)(base + snapshot->slots6.offset),
        .starts6 = (const uint64_t *)(base + snapshot->starts6.offset),
        .cells6 = (const uint32_t *)(base + snapshot->cells6.offset),
        .groups = (const struct se_deep_group *)(base + snapshot->groups.offset),
        .deep_starts = (const uint64_t *)(base + snapshot->deep_starts.offset),
        .deep_cells = (const uint32_t *)(base + snapshot->deep_cells.offset),
        .cells = (const uint32_t *)(base + snapshot->cells.offset),
        .timed = (const struct se_timed *)(base + snapshot->timed.offset),
        .entries = (const struct se_entry *)(base + snapshot->entries.offset),
        .limits = (const struct se_limit *)(base + snapshot->limits.offset),
        .sets = (const uint32_t *)(base + snapshot->sets.offset),
        .paybacks = (const struct se_payback *)(base + snapshot->paybacks.offset),
        .hits = hits,
    };
    return policy;
}

void se_policy_free(struct se_policy *policy)
{
    if (!policy)
        return;
    se_block_unmap((const void *)policy->hits, hits_size(policy->snapshot));
    se_block_unmap(policy->snapshot, policy->mapped);
    free(policy);
}

uint64_t se_policy_bytes(const struct se_policy *policy)
{
    return policy->mapped;
}

uint32_t se_policy_rules(const struct se_policy *policy)
{
    return policy->snapshot->rule_count;
}

uint32_t se_policy_limits(const struct se_policy *policy)
{
    return (uint32_t)policy->snapshot->limits.count;
}
