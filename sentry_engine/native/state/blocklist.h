/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The blocks of the API: refused networks in a hash table that changes while it is read. A change costs the same whatever
 * the number of blocks. A lookup never waits; it probes each prefix length in use, the longest first.
 *
 * Changes require the caller's lock. Readers are between se_epoch_enter and se_epoch_leave: a removed row is used again only
 * when no reader can hold it any more.
 */
#ifndef SENTRY_ENGINE_BLOCKLIST_H
#define SENTRY_ENGINE_BLOCKLIST_H

#include "ip_address.h"
#include "plan.h"
#include "state/siphash.h"

#define SE_NO_BLOCK 0xffffffffu

struct se_blocklist;

struct se_block_match {
    uint32_t number; /* SE_NO_BLOCK: no block matches */
    uint8_t length;  /* of the network; IPv4 lengths plus 96 */
};

/* Copies the secret. Returns 0 or -ENOMEM. */
int se_blocklist_open(struct se_blocklist **out, const struct se_secret *secret);
void se_blocklist_close(struct se_blocklist *list);

bool se_blocklist_is_empty(const struct se_blocklist *list);

/* The most specific block of `address` that is in force at `now` and longer than `longer_than` (-1: any). */
struct se_block_match se_blocklist_find(const struct se_blocklist *list, struct se_address address, int longer_than,
                                        uint64_t now);

/* Returns a number for se_blocklist_put, or SE_NO_BLOCK if every row is in use. The caller names it before it puts the block. */
uint32_t se_blocklist_reserve(struct se_blocklist *list);

/*
 * Puts a block under a reserved number, in force from now on until `until` (ns; SE_FOREVER: without end). Of several blocks of
 * one network the latest answers.
 */
void se_blocklist_put(struct se_blocklist *list, uint32_t number, const struct se_network *network, uint64_t until);

/* Removes a block, and frees its number. Other numbers change nothing. */
void se_blocklist_remove(struct se_blocklist *list, uint32_t number);

/* Counts a verdict of a block. */
void se_blocklist_count(struct se_blocklist *list, uint32_t number);

/* Up to `room` numbers of blocks that gave verdicts, with counts. Returns how many there are. */
uint32_t se_blocklist_hits(const struct se_blocklist *list, uint32_t *numbers, uint64_t *counts, uint32_t room);

#endif
