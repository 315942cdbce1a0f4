/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What an epoll event points to: the first member of everything that a worker waits for.
 */
#ifndef VPN_FRONTEND_POLLABLE_H
#define VPN_FRONTEND_POLLABLE_H

#include <stdbool.h>
#include <stdint.h>

enum gw_pollable_kind {
    GW_POLL_MAILBOX, GW_POLL_LISTENER, GW_POLL_TUN, GW_POLL_CONNECTION, GW_POLL_UDP, GW_POLL_SIGNER, GW_POLL_REST, GW_POLL_BUSY,
};

struct gw_pollable {
    enum gw_pollable_kind kind;
    int fd;                         /* -1: none */
    bool busy;                      /* watched by the epoll instance of busy links (busy_links.h) */
    uint32_t packets;               /* that it brought or took since `since` */
    uint64_t since;
};

#endif
