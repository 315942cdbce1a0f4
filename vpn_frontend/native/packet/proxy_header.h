/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The header of the PROXY protocol, versions 1 and 2, that a proxy sends before the client's first byte (haproxy's
 * doc/proxy-protocol.txt, 2020/03/05). Only TCP clients with an address pass: the policy must see whom it judges.
 */
#ifndef VPN_FRONTEND_PROXY_HEADER_H
#define VPN_FRONTEND_PROXY_HEADER_H

#include <stddef.h>
#include <stdint.h>

#define GW_PROXY_HEADER_MAX 2048u       /* bytes; addresses need 52, the rest are TLVs */

enum gw_proxy_status {
    GW_PROXY_MORE,                      /* so far it may be a header */
    GW_PROXY_CLIENT,                    /* whole, with the client's addresses */
    GW_PROXY_LOCAL,                     /* whole: the proxy's own connection, such as a health check (version 2) */
    GW_PROXY_INVALID,                   /* see why */
};

/* Addresses: IPv4 in mapped form. */
struct gw_proxy_header {
    size_t size;                        /* bytes of the header; CLIENT and LOCAL */
    uint8_t source[16], destination[16];
    uint16_t source_port, destination_port;
    const char *why;                    /* INVALID: static text */
};

/* Reads a header at the beginning of `data`. What follows it is not looked at. */
enum gw_proxy_status gw_proxy_header_read(const uint8_t *data, size_t size, struct gw_proxy_header *header);

#endif
