/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dtls/udp_batch.h"

#include "packet/address.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

/* The arguments of sendmsg for one run. */
struct outgoing {
    struct sockaddr_storage to;
    struct iovec body;
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
};

static socklen_t write_address(struct outgoing *outgoing, const struct gw_path *path, bool ipv6)
{
    memset(&outgoing->to, 0, sizeof(outgoing->to));
    if (!ipv6) {
        struct sockaddr_in *to = (struct sockaddr_in *)&outgoing->to;

        to->sin_family = AF_INET;
        to->sin_port = htons(path->peer_port);
        memcpy(&to->sin_addr, path->peer + 12, 4);
        return sizeof(*to);
    }
    struct sockaddr_in6 *to = (struct sockaddr_in6 *)&outgoing->to;

    to->sin6_family = AF_INET6;
    to->sin6_port = htons(path->peer_port);
    to->sin6_scope_id = path->interface;
    memcpy(&to->sin6_addr, path->peer, 16);
    return sizeof(*to);
}

/* Sets the source: the address that the client sent to. A server may have several. */
static struct cmsghdr *put_source(struct cmsghdr *at, const struct gw_path *path, bool ipv6)
{
    if (!ipv6) {
        struct in_pktinfo info = { 0 };

        memcpy(&info.ipi_spec_dst, path->local + 12, 4);
        at->cmsg_level = IPPROTO_IP;
        at->cmsg_type = IP_PKTINFO;
        at->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(at), &info, sizeof(info));
    } else {
        struct in6_pktinfo info = { .ipi6_ifindex = path->interface };

        memcpy(&info.ipi6_addr, path->local, 16);
        at->cmsg_level = IPPROTO_IPV6;
        at->cmsg_type = IPV6_PKTINFO;
        at->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(at), &info, sizeof(info));
    }
    return (struct cmsghdr *)((uint8_t *)at + CMSG_ALIGN(at->cmsg_len));
}

static void write_outgoing(struct gw_udp_batch *out, const struct gw_udp_run *run, struct outgoing *outgoing,
                           struct msghdr *message)
{
    bool ipv6 = out->sockets[run->path.socket].ipv6;
    struct cmsghdr *at = (struct cmsghdr *)outgoing->control;

    *message = (struct msghdr){
        .msg_name = &outgoing->to,
        .msg_namelen = write_address(outgoing, &run->path, ipv6),
        .msg_iov = &outgoing->body,
        .msg_iovlen = 1,
        .msg_control = outgoing->control,
    };
    outgoing->body = (struct iovec){ out->arena + run->offset, run->size };
    memset(outgoing->control, 0, sizeof(outgoing->control));
    at = put_source(at, &run->path, ipv6 && !(gw_is_mapped(run->path.peer) && !gw_is_mapped(run->path.local)));
    if (run->count > 1) {
        at->cmsg_level = IPPROTO_UDP;
        at->cmsg_type = UDP_SEGMENT;
        at->cmsg_len = CMSG_LEN(sizeof(run->segment));
        memcpy(CMSG_DATA(at), &run->segment, sizeof(run->segment));
        at = (struct cmsghdr *)((uint8_t *)at + CMSG_ALIGN(at->cmsg_len));
    }
    message->msg_controllen = (size_t)((uint8_t *)at - outgoing->control);
}

/* Sends each datagram of a run on its own. */
static void send_singly(struct gw_udp_batch *out, const struct gw_udp_run *run)
{
    struct gw_udp_run one = *run;
    struct outgoing outgoing;
    struct msghdr message;

    one.count = 1;
    for (uint32_t done = 0; done < run->size; done += one.size) {
        one.offset = run->offset + done;
        one.size = run->size - done < run->segment ? run->size - done : run->segment;
        write_outgoing(out, &one, &outgoing, &message);
        if (sendmsg(out->sockets[run->path.socket].fd, &message, MSG_DONTWAIT) < 0)
            out->lost++;
        else
            out->sent++;
    }
}

/* Handles a failed run. EIO: the device cannot checksum segments. EINVAL: the kernel has no UDP_SEGMENT. */
static void handle_failure(struct gw_udp_batch *out, const struct gw_udp_run *run, int error)
{
    if (run->count > 1 && (error == EIO || error == EINVAL || error == EMSGSIZE)) {
        out->segmenting = out->segmenting && error == EMSGSIZE;
        send_singly(out, run);
    } else {
        out->lost += run->count;
    }
}

static uint32_t same_socket(const struct gw_udp_batch *out, uint32_t first)
{
    uint32_t end = first + 1;

    while (end < out->run_count && out->runs[end].path.socket == out->runs[first].path.socket)
        end++;
    return end;
}

void gw_udp_batch_flush(struct gw_udp_batch *out)
{
    struct outgoing outgoing[GW_UDP_RUNS];
    struct mmsghdr messages[GW_UDP_RUNS];
    uint32_t at = 0;

    for (uint32_t i = 0; i < out->run_count; i++)
        write_outgoing(out, &out->runs[i], &outgoing[i], &messages[i].msg_hdr);
    while (at < out->run_count) {
        uint32_t end = same_socket(out, at);
        int done = sendmmsg(out->sockets[out->runs[at].path.socket].fd, messages + at, end - at, MSG_DONTWAIT);

        if (done <= 0) {
            if (done < 0 && errno == EINTR)
                continue;
            handle_failure(out, &out->runs[at], errno);
            done = 1;
        } else {
            for (int i = 0; i < done; i++)
                out->sent += out->runs[at + (uint32_t)i].count;
        }
        at += (uint32_t)done;
    }
    out->run_count = 0;
    out->used = 0;
}

/* True if the datagram can join the run: all of a run but the last have one size. */
static bool joins(const struct gw_udp_batch *out, const struct gw_udp_run *run, const struct gw_path *path, size_t size)
{
    return out->segmenting && size <= run->segment && run->size == (uint32_t)run->segment * run->count &&
           run->count < GW_UDP_SEGMENTS_MAX && run->size + size <= GW_UDP_SEGMENTED_MAX && !memcmp(&run->path, path, sizeof(*path));
}

int gw_udp_batch_push(struct gw_udp_batch *out, const struct gw_path *path, const uint8_t *data, size_t size)
{
    struct gw_udp_run *last;

    if (!size || size > GW_DATAGRAM_MAX)
        return -EMSGSIZE;
    if (out->used + size > GW_UDP_ARENA)
        gw_udp_batch_flush(out);
    last = out->run_count ? &out->runs[out->run_count - 1] : NULL;
    if (last && joins(out, last, path, size)) {
        last->size += (uint32_t)size;
        last->count++;
    } else {
        if (out->run_count == GW_UDP_RUNS)
            gw_udp_batch_flush(out);
        out->runs[out->run_count++] = (struct gw_udp_run){ *path, out->used, (uint32_t)size, (uint16_t)size, 1 };
    }
    memcpy(out->arena + out->used, data, size);
    out->used += (uint32_t)size;
    return 0;
}
