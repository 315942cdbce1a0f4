/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Routes on their way to a worker's tables: their order, whom they wake, and other threads.
 */
#include "packet/address.h"
#include "runtime/routes.h"
#include "wire.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS 64u
#define ROUNDS 20000u

static void address_of(uint32_t host, uint8_t out[16])
{
    uint8_t ipv4[4];

    gw_write32(ipv4, 0xc0a86300 + host);
    memset(out, 0, 16);
    gw_map_ipv4(out, ipv4);
}

static void post(struct gw_mailbox *box, enum gw_message_kind kind, uint32_t host, uint64_t session)
{
    uint8_t addresses[32] = { 0 };
    struct gw_message *message;

    address_of(host, addresses);
    message = gw_message_new(kind, addresses, sizeof(addresses));
    assert(message);
    message->session = session;
    gw_mailbox_put_route(box, message);
}

static bool is_woken(const struct gw_mailbox *box)
{
    struct pollfd ready = { .fd = box->fd, .events = POLLIN };

    return poll(&ready, 1, 0) == 1;
}

static uint64_t find(const struct gw_worker *worker, uint32_t host)
{
    uint8_t address[16];

    address_of(host, address);
    return gw_address_table_find(&worker->addresses, address);
}

static struct gw_worker *open_worker(void)
{
    struct gw_worker *worker = calloc(1, sizeof(*worker));

    assert(worker && !gw_mailbox_init(&worker->mailbox));
    assert(!gw_address_table_init(&worker->addresses, SESSIONS, 77) && !gw_prefix_table_init(&worker->iroutes));
    return worker;
}

static void close_worker(struct gw_worker *worker)
{
    gw_mailbox_free(&worker->mailbox);
    gw_address_table_free(&worker->addresses);
    gw_prefix_table_free(&worker->iroutes);
    free(worker);
}

static void test_they_are_taken_in_their_order(void)
{
    struct gw_worker *worker = open_worker();

    post(&worker->mailbox, GW_MSG_ADDRESS_ADD, 1, 5);
    post(&worker->mailbox, GW_MSG_ADDRESS_REMOVE, 1, 5);
    post(&worker->mailbox, GW_MSG_ADDRESS_ADD, 1, 6);
    post(&worker->mailbox, GW_MSG_ADDRESS_REMOVE, 1, 5);
    assert(!find(worker, 1));
    gw_routes_read(worker);
    assert(find(worker, 1) == 6);
    post(&worker->mailbox, GW_MSG_ADDRESS_REMOVE, 1, 6);
    gw_routes_read(worker);
    gw_routes_read(worker);
    assert(!find(worker, 1));
    close_worker(worker);
}

static void test_networks_behind_a_client_are_routes_too(void)
{
    struct gw_address_range range;
    struct gw_worker *worker = open_worker();
    struct gw_message *message;

    address_of(8, range.first);
    address_of(15, range.last);
    message = gw_message_new(GW_MSG_IROUTES_ADD, &range, sizeof(range));
    assert(message);
    message->session = 9;
    gw_mailbox_put_route(&worker->mailbox, message);
    gw_routes_read(worker);
    assert(gw_prefix_table_find(&worker->iroutes, range.first)->session == 9);
    message = gw_message_new(GW_MSG_IROUTES_REMOVE, NULL, 0);
    assert(message);
    message->session = 9;
    gw_mailbox_put_route(&worker->mailbox, message);
    gw_routes_read(worker);
    assert(!gw_prefix_table_find(&worker->iroutes, range.first));
    close_worker(worker);
}

static void test_only_many_of_them_wake_the_worker(void)
{
    struct gw_worker *worker = open_worker();

    for (int again = 0; again < 2; again++) {
        for (uint32_t number = 1; number < GW_MAILBOX_ROUTES; number++)
            post(&worker->mailbox, GW_MSG_ADDRESS_ADD, number % SESSIONS, number);
        gw_mailbox_wake(&worker->mailbox);
        assert(!is_woken(&worker->mailbox));
        post(&worker->mailbox, GW_MSG_ADDRESS_ADD, 0, 1);
        assert(is_woken(&worker->mailbox));
        gw_routes_read(worker);
        assert(!gw_mailbox_take(&worker->mailbox) && !is_woken(&worker->mailbox));
    }
    post(&worker->mailbox, GW_MSG_ADDRESS_ADD, 0, 1);       /* freed with the mailbox */
    close_worker(worker);
}

static void *come_and_go(void *argument)
{
    struct gw_mailbox *box = argument;

    for (uint64_t session = 1; session <= ROUNDS; session++) {
        post(box, GW_MSG_ADDRESS_ADD, (uint32_t)session % SESSIONS, session);
        if (session > SESSIONS)
            post(box, GW_MSG_ADDRESS_REMOVE, (uint32_t)session % SESSIONS, session - SESSIONS);
    }
    return NULL;
}

static void test_another_thread_may_post_meanwhile(void)
{
    struct gw_worker *worker = open_worker();
    uint64_t latest = 0;
    pthread_t thread;

    assert(!pthread_create(&thread, NULL, come_and_go, &worker->mailbox));
    while (latest < ROUNDS) {
        uint64_t found;

        gw_routes_read(worker);
        found = find(worker, ROUNDS % SESSIONS);
        assert(found >= latest);
        latest = found;
    }
    pthread_join(thread, NULL);
    gw_routes_read(worker);
    for (uint32_t back = 0; back < SESSIONS; back++)
        assert(find(worker, (ROUNDS - back) % SESSIONS) == ROUNDS - back);
    close_worker(worker);
}

int main(void)
{
    test_they_are_taken_in_their_order();
    test_networks_behind_a_client_are_routes_too();
    test_only_many_of_them_wake_the_worker();
    test_another_thread_may_post_meanwhile();
    puts("ok");
    return 0;
}
