/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Datagrams over loopback: of mixed sizes and peers, more than fit at once, with and without segmentation. Each must arrive
 * unchanged, in the order of its peer, from the requested source address.
 */
#include "dtls/udp_batch.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEERS 3

static struct gw_udp_batch *out;
static struct gw_udp_socket sender;
static int peers[PEERS];
static struct gw_path paths[PEERS];

static int bound(bool ipv6, uint16_t *port)
{
    int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in6 name = { .sin6_family = ipv6 ? AF_INET6 : AF_INET };
    socklen_t size = sizeof(name);
    struct timeval patience = { .tv_sec = 5 };

    assert(fd >= 0 && bind(fd, (struct sockaddr *)&name, ipv6 ? sizeof(name) : sizeof(struct sockaddr_in)) == 0);
    assert(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
    assert(getsockname(fd, (struct sockaddr *)&name, &size) == 0);
    *port = ntohs(name.sin6_port);
    return fd;
}

static void set_up(bool ipv6)
{
    uint16_t ignored;

    out = calloc(1, sizeof(*out));
    assert(out);
    sender = (struct gw_udp_socket){ bound(ipv6, &ignored), ipv6 };
    out->sockets = &sender;
    out->segmenting = true;
    for (int i = 0; i < PEERS; i++) {
        peers[i] = bound(false, &paths[i].peer_port);
        memcpy(paths[i].peer, (const uint8_t[16]) { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 }, 16);
        memcpy(paths[i].local, (const uint8_t[16]) { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 5 }, 16);
    }
}

static void tear_down(void)
{
    close(sender.fd);
    for (int i = 0; i < PEERS; i++)
        close(peers[i]);
    free(out);
}

static void push(int peer, uint32_t number, size_t size)
{
    static uint8_t bytes[GW_DATAGRAM_MAX];

    memset(bytes, (int)number, sizeof(bytes));
    memcpy(bytes, &number, 4);
    assert(gw_udp_batch_push(out, &paths[peer], bytes, size) == 0);
}

static void expect(int peer, uint32_t number, size_t size)
{
    static uint8_t bytes[65536];
    struct sockaddr_in from;
    socklen_t from_size = sizeof(from);
    uint32_t got;

    assert(recvfrom(peers[peer], bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &from_size) == (ssize_t)size);
    memcpy(&got, bytes, 4);
    assert(got == number && (size == 4 || bytes[size - 1] == (uint8_t)number));
    assert(from.sin_addr.s_addr == inet_addr("127.0.0.5"));
}

static void test_order_and_content(bool ipv6, bool segmenting)
{
    static const size_t sizes[] = { 1400, 1400, 1400, 900, 1400, 40, 4, 4, 16000, 16000, 1400 };
    enum { COUNT = 120 };

    set_up(ipv6);
    out->segmenting = segmenting;
    for (uint32_t i = 0; i < COUNT; i++)
        push((int)(i / 5 % PEERS), i, sizes[i % 11]);
    gw_udp_batch_flush(out);
    for (uint32_t i = 0; i < COUNT; i++)
        expect((int)(i / 5 % PEERS), i, sizes[i % 11]);
    assert(out->sent == COUNT && out->lost == 0 && out->run_count == 0 && out->used == 0);
    tear_down();
}

static void test_one_flow_leaves_in_one_send(void)
{
    set_up(false);
    for (uint32_t i = 0; i < 40; i++)
        push(0, i, 1400);
    push(0, 40, 100);
    assert(out->run_count == 1 && out->runs[0].count == 41);
    push(0, 41, 100);                               /* nothing joins behind a short one */
    assert(out->run_count == 2);
    gw_udp_batch_flush(out);
    for (uint32_t i = 0; i < 40; i++)
        expect(0, i, 1400);
    expect(0, 40, 100);
    expect(0, 41, 100);
    tear_down();
}

static void test_what_cannot_be_sent_is_lost_alone(void)
{
    set_up(false);
    paths[1].peer[12] = 240;                        /* no route */
    push(0, 1, 100);
    push(1, 2, 100);
    push(1, 3, 100);
    push(2, 4, 100);
    gw_udp_batch_flush(out);
    expect(0, 1, 100);
    expect(2, 4, 100);
    assert(out->sent == 2 && out->lost == 2);
    assert(gw_udp_batch_push(out, &paths[0], out->arena, GW_DATAGRAM_MAX + 1) == -EMSGSIZE);
    assert(gw_udp_batch_push(out, &paths[0], out->arena, 0) == -EMSGSIZE);
    tear_down();
}

int main(void)
{
    test_order_and_content(false, true);
    test_order_and_content(false, false);
    test_order_and_content(true, true);
    test_one_flow_leaves_in_one_send();
    test_what_cannot_be_sent_is_lost_alone();
    puts("ok");
    return 0;
}
