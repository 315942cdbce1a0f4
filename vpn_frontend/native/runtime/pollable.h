/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What an epoll event points to: the first member of everything that a worker waits for.
 */
#ifndef VPN_FRONTEND_POLLABLE_H
#define VPN_FRONTEND_POLLABLE_H

enum gw_pollable_kind { GW_POLL_MAILBOX, GW_POLL_LISTENER, GW_POLL_TUN, GW_POLL_CONNECTION, GW_POLL_UDP, GW_POLL_SIGNER };

struct gw_pollable {
    enum gw_pollable_kind kind;
    int fd;                         /* -1: none */
};

#endif
