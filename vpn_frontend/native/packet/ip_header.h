/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sizes and offsets, in bytes, of the headers that the gateway reads and writes.
 */
#ifndef VPN_FRONTEND_IP_HEADER_H
#define VPN_FRONTEND_IP_HEADER_H

#define IPV4_HEADER 20u             /* without options */
#define IPV6_HEADER 40u
#define IPV6_FRAGMENT_HEADER 8u
#define ICMP_HEADER 8u
#define TCP_HEADER 20u              /* without options */
#define UDP_HEADER 8u

#define TCP_FLAGS 13                /* offsets within the TCP and UDP headers */
#define TCP_CHECKSUM 16
#define UDP_CHECKSUM 6
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_CWR 0x80

#define IPV4_DONT_FRAGMENT 0x4000u  /* within the 16 bits of flags and offset */
#define IPV4_MORE_FRAGMENTS 0x2000u
#define IPV4_OFFSET 0x1fffu         /* in units of 8 bytes */

#endif
