/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * First fragments that passed the check of ports. Later fragments have no ports: they pass if their first fragment is here, and
 * are dropped if it is not, or came after them. The table has 16 entries. The oldest makes place; what is left of its packet is
 * dropped. An entry lives for 30 s, as a reassembly does in Linux.
 */
#ifndef VPN_FRONTEND_FRAGMENT_TABLE_H
#define VPN_FRONTEND_FRAGMENT_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#define GW_FRAGMENT_ENTRIES 16u
#define GW_FRAGMENT_LIFE UINT64_C(30000000000)  /* ns */

/* Names a packet. The session's own address is left out: it has one per family. */
struct gw_fragment_key {
    uint8_t peer[16];
    uint32_t id;
    uint16_t protocol;              /* of IPv4; 0 for IPv6, where fragments may name different ones (RFC 8200 section 4.5) */
    uint16_t direction;
};

struct gw_fragment_table {
    struct {
        struct gw_fragment_key key;
        uint64_t until;             /* ns; 0: empty */
    } entries[GW_FRAGMENT_ENTRIES];
    uint32_t next;                  /* the oldest entry */
};

/* Notes a first fragment that passed. */
void gw_fragment_table_add(struct gw_fragment_table *table, const struct gw_fragment_key *key, uint64_t now);
/* True if the first fragment of the packet passed. */
bool gw_fragment_table_has(const struct gw_fragment_table *table, const struct gw_fragment_key *key, uint64_t now);

#endif
