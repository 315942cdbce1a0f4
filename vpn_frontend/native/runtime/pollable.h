/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What an epoll event points to: the first member of everything that a worker waits for.
 */
#ifndef VPN_FRONTEND_SOURCE_H
#define VPN_FRONTEND_SOURCE_H

enum gw_source_kind { GW_SOURCE_MAILBOX, GW_SOURCE_LISTENER, GW_SOURCE_TUN, GW_SOURCE_LINK, GW_SOURCE_UDP };

struct gw_source {
    enum gw_source_kind kind;
    int fd;                         /* -1: none */
};

#endif
