/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Acknowledgements of TCP that a later one of the same turn makes superfluous. TCP acknowledges cumulatively, so of several that
 * came together the last says it all, if it does (RFC 3449 section 5.2.1): it acknowledges more, and repeats every block of SACK
 * that is not behind it by now (RFC 2018). Linux does so while a program holds the socket (tcp_add_backlog), and a receiver behind
 * a card that merges segments sends only the last to begin with.
 */
#ifndef VPN_FRONTEND_ACKNOWLEDGEMENT_H
#define VPN_FRONTEND_ACKNOWLEDGEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GW_ACK_BLOCKS 4u            /* of SACK: as many as fit into a header */
#define GW_ACK_STRETCH 65535u       /* bytes that one may acknowledge in place of several, as a merging receiver's may */

struct gw_block {
    uint32_t start, end;
};

struct gw_ack {
    uint32_t sequence, number;      /* `number`: the next one expected */
    bool stamped;
    uint32_t stamps[2];             /* as they stand there: the sender's own, the echo */
    uint32_t block_count;
    struct gw_block blocks[GW_ACK_BLOCKS];
};

/* Whether a TCP header of `size` bytes without data behind it only acknowledges: no flag but ACK, no options but timestamps and
 * SACK. What tells more (ECN, MPTCP) is not one. */
bool gw_ack_read(const uint8_t *tcp, size_t size, struct gw_ack *ack);

/* Of two of one flow: whether the later says all that the earlier did, but perhaps for the window, which it replaces. A duplicate
 * never does, since how many there are is what they say, and a report of data received twice (RFC 2883) has to arrive. */
bool gw_ack_supersedes(const struct gw_ack *earlier, const struct gw_ack *later);

#endif
