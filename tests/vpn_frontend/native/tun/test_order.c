/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The order of a flow's packets while its session changes between the two TUN queues of its worker: both queues are one socket here,
 * which shows the order of the writes. Linked with --wrap for ioctl.
 */
#include "packet/checksum.h"
#include "tun/queue.h"
#include "wire.h"

#include <assert.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAYLOAD 100u
#define HEADERS 40u
#define SIZE (HEADERS + PAYLOAD)
#define ACK 0x10u
#define FIN 0x11u                   /* with ACK: never merged, so it leaves at once */

int __wrap_ioctl(int fd, unsigned long request, ...);

/* Every request succeeds: the queue has virtio headers and all offloads. */
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;

    (void)fd;
    va_start(arguments, request);
    if (request == TUNGETIFF)
        va_arg(arguments, struct ifreq *)->ifr_flags = IFF_VNET_HDR;
    va_end(arguments);
    return 0;
}

int gw_worker_watch(struct gw_worker *worker, struct gw_pollable *pollable, uint32_t events)
{
    (void)worker, (void)pollable, (void)events;
    return 0;
}

int gw_event_push(struct gw_event_queue *queue, const struct gw_event *event, const void *data, bool optional)
{
    (void)queue, (void)event, (void)data, (void)optional;
    abort();
}

static void send_packet(struct gw_worker *worker, struct gw_session *session, uint32_t number, uint8_t flags)
{
    uint8_t packet[SIZE] = { 0x45 };

    gw_write16(packet + 2, SIZE);
    gw_write16(packet + 4, (uint16_t)number);
    packet[8] = 64;
    packet[9] = 6;
    gw_write32(packet + 12, 0xc0a86309);
    gw_write32(packet + 16, 0x0a000001);
    gw_sum_store(packet + 10, gw_sum(0, packet, 20));
    gw_write16(packet + 20, 1234);
    gw_write16(packet + 22, 443);
    gw_write32(packet + 24, number * PAYLOAD);
    packet[32] = 0x50;
    packet[33] = flags;
    gw_sum_store(packet + 36, gw_sum(gw_sum_pseudo(packet + 12, 8, 6, SIZE - 20), packet + 20, SIZE - 20));
    gw_tun_write(worker, session, packet, SIZE);
}

/* Reads `count` packets of PAYLOAD bytes, merged or not: each large one begins where that before it ended. */
static void assert_order(int tun, uint32_t count)
{
    static uint8_t large[GW_VNET_HEADER + GW_LARGE_MAX];
    uint32_t next = 0;

    while (next < count * PAYLOAD) {
        ssize_t size = recv(tun, large, sizeof(large), MSG_DONTWAIT);

        assert(size > (ssize_t)(GW_VNET_HEADER + HEADERS));
        assert(gw_read32(large + GW_VNET_HEADER + 24) == next);
        next += (uint32_t)size - GW_VNET_HEADER - HEADERS;
    }
    assert(recv(tun, large, sizeof(large), MSG_DONTWAIT) < 0);
}

/* Some packets wait in one queue's GRO when the session changes to the other, where the last one leaves at once. */
static void test_a_change_keeps_the_order(struct gw_worker *worker, int tun, bool busy_first)
{
    struct gw_session session = { .mtu = 1400, .config.mtu = 1400, .second_queue = busy_first };
    const uint64_t busy = worker->now + 1, calm = worker->now;

    session.rate.busy_until = busy_first ? busy : calm;
    for (uint32_t i = 0; i < 3; i++)
        send_packet(worker, &session, i, ACK);
    session.rate.busy_until = busy_first ? calm : busy;
    send_packet(worker, &session, 3, ACK);
    send_packet(worker, &session, 4, FIN);
    assert(session.second_queue == !busy_first);
    gw_tun_flush(worker);
    assert_order(tun, 5);
}

int main(void)
{
    struct gw_worker *worker = calloc(1, sizeof(*worker));
    int ends[2];

    assert(worker && !socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
    worker->now = GW_SECOND;
    for (uint32_t i = 0; i < GW_TUN_QUEUES; i++)
        assert(!gw_tun_add(worker, dup(ends[1]), UINT32_MAX) && worker->tuns[i].gro.tcp);
    test_a_change_keeps_the_order(worker, ends[0], false);
    test_a_change_keeps_the_order(worker, ends[0], true);
    for (uint32_t i = 0; i < GW_TUN_QUEUES; i++) {
        close(worker->tuns[i].pollable.fd);
        gw_gro_free(&worker->tuns[i].gro);
    }
    close(ends[0]);
    close(ends[1]);
    free(worker);
    puts("ok");
    return 0;
}
