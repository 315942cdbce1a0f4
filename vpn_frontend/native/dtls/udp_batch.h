/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Datagrams that leave a worker, gathered over a turn of its loop and sent in few calls. Consecutive datagrams of one size to one
 * peer leave in one send (UDP_SEGMENT, Linux 4.18) where that works. What the socket does not take is lost and counted: no queue.
 */
#ifndef VPN_FRONTEND_UDP_BATCH_H
#define VPN_FRONTEND_UDP_BATCH_H

#include "dtls/path_cache.h"

#include <stdbool.h>
#include <stddef.h>

#define GW_DATAGRAM_MAX 16640u      /* bytes: a DTLS record of 16 KiB with its header and tag */
#define GW_UDP_RUNS 64u        /* sends gathered before a flush */
#define GW_UDP_ARENA 524288u   /* bytes gathered before a flush */
#define GW_UDP_SEGMENTS_MAX 64u         /* the kernel's limit for one send */
#define GW_UDP_SEGMENTED_MAX 65000u     /* bytes of one send, below the limit of an IPv4 packet */

struct gw_udp_socket {
    int fd;
    bool ipv6;                      /* the socket is IPv6: IPv4 peers are mapped */
};

struct gw_udp_run {
    struct gw_path path;
    uint32_t offset, size;
    uint16_t segment, count;        /* `count` datagrams, all of `segment` bytes but the last, which may be shorter */
};

struct gw_udp_batch {
    const struct gw_udp_socket *sockets;
    struct gw_udp_run runs[GW_UDP_RUNS];
    uint32_t run_count, used;
    bool segmenting;                /* UDP_SEGMENT is used until it fails */
    uint64_t sent, lost;            /* datagrams */
    uint8_t arena[GW_UDP_ARENA];
};

/* Copies the datagram. -EMSGSIZE: empty, or beyond GW_DATAGRAM_MAX. */
int gw_udp_batch_push(struct gw_udp_batch *out, const struct gw_path *path, const uint8_t *data, size_t size);
void gw_udp_batch_flush(struct gw_udp_batch *out);

#endif
