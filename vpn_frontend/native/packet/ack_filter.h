/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * TCP ACKs that a later one of the same turn makes superfluous. TCP acknowledges cumulatively, so the last of several ACKs is
 * enough (RFC 3449 section 5.2.1). It must acknowledge more, and repeat every SACK block above it (RFC 2018). Linux does the same
 * while a program holds the socket (tcp_add_backlog); a receiver behind a card with GRO sends only the last one. Where data is lost
 * a receiver repeats one number for each segment behind the gap. Once a sender knows of the loss their number tells it nothing, and
 * the last, with the most SACK, is enough: Linux sends no more than that by itself if they come slowly (tcp_comp_sack_nr).
 */
#ifndef VPN_FRONTEND_ACK_FILTER_H
#define VPN_FRONTEND_ACK_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GW_ACK_BLOCKS 4u            /* SACK blocks that fit into a header */
#define GW_ACK_STRETCH 65535u       /* bytes that one ACK may acknowledge in place of several, as a GRO receiver's may */

struct gw_block {
    uint32_t start, end;
};

struct gw_ack {
    uint32_t sequence, number;      /* `number`: the acknowledgement number */
    bool stamped;
    uint32_t stamps[2];             /* as on the wire: the sender's own, the echo */
    uint32_t block_count;
    struct gw_block blocks[GW_ACK_BLOCKS];
};

/* True if a TCP header of `size` bytes, without data behind it, only acknowledges: no flag but ACK, no options but timestamps and
 * SACK. ECN and MPTCP carry more. */
bool gw_ack_read(const uint8_t *tcp, size_t size, struct gw_ack *ack);

/* True if the later ACK of a flow carries all information of the earlier, but for the window, which it replaces. Of duplicate ACKs
 * the number is information, until SACK has told of a loss: then one that selects more replaces those before it. A report of
 * duplicate data (RFC 2883) is never dropped. `loss`: bytes of a SACK block that is three segments, of the largest size. */
bool gw_ack_supersedes(const struct gw_ack *earlier, const struct gw_ack *later, uint32_t loss);

#endif
