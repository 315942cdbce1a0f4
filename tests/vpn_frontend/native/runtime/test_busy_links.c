/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A busy link rests, and a calm one does not wait for it. Two eventfds stand for the links, and one for the TUN queue. Time is given;
 * only the timer of a rest is real, and awaited without a bound.
 */
#include "runtime/worker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define WINDOW GW_PACING_WINDOW
#define BUSY (GW_PACING_RATE * 2 * (uint32_t)(WINDOW / GW_MS))     /* packets of a window that make the worker busy */

static struct gw_worker *worker;
static struct gw_pollable calm, busy;

static int watch(struct gw_pollable *pollable, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = pollable };

    return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, pollable->fd, &event);
}

static struct gw_pollable link_of(enum gw_pollable_kind kind)
{
    struct gw_pollable link = { kind, .fd = eventfd(1, EFD_NONBLOCK) };    /* ready from now on */

    assert(link.fd >= 0);
    return link;
}

static void begin(void)
{
    worker = calloc(1, sizeof(*worker));
    assert(worker);
    worker->epoll = epoll_create1(0);
    worker->now = GW_SECOND;
    assert(gw_busy_links_init(&worker->busy_links, worker->epoll) == 0);
    calm = link_of(GW_POLL_CONNECTION);
    busy = link_of(GW_POLL_CONNECTION);
    worker->tuns[0].pollable = link_of(GW_POLL_TUN);
    worker->busy_links.answers = &worker->tuns[0].pollable;
    assert(!watch(&calm, EPOLLIN) && !watch(&busy, EPOLLIN));
}

static void end(void)
{
    gw_busy_links_free(&worker->busy_links);
    close(worker->epoll);
    close(worker->tuns[0].pollable.fd);
    close(calm.fd);
    close(busy.fd);
    free(worker);
}

static void set_ready(const struct gw_pollable *link, bool ready)
{
    uint64_t value = 1;

    assert((ready ? write(link->fd, &value, sizeof(value)) : read(link->fd, &value, sizeof(value))) == sizeof(value));
}

/* True if the worker's epoll instance reports `wanted` within `timeout` ms. */
static bool reports(const struct gw_pollable *wanted, int timeout)
{
    struct epoll_event events[8];
    int count = epoll_wait(worker->epoll, events, 8, timeout);

    for (int i = 0; i < count; i++)
        if (events[i].data.ptr == wanted)
            return true;
    return false;
}

static void end_turn(int polled)
{
    gw_busy_links_end_turn(&worker->busy_links, &worker->pacing, polled, worker->now);
}

/* A turn in which `link` brought `packets`: from a client, or for clients if it is the TUN queue. */
static void turn(struct gw_pollable *link, uint32_t packets, int polled)
{
    for (uint32_t i = 0; i < packets && link->kind != GW_POLL_TUN; i++)
        gw_pacing_count_received(&worker->pacing, true);
    worker->pacing.turn += link->kind == GW_POLL_TUN ? packets : 0;
    gw_link_count(&worker->busy_links, &worker->pacing, link, packets, EPOLLIN, worker->now);
    end_turn(polled);
    gw_pacing_end_turn(&worker->pacing, worker->now);
}

static void make_busy(struct gw_pollable *link)
{
    for (int i = 0; i < 4 && !link->busy; i++) {
        worker->now += WINDOW;
        turn(link, BUSY, 0);
    }
    assert(link->busy && worker->busy_links.count == 1 && gw_link_epoll(&worker->busy_links, link) == worker->busy_links.epoll);
}

static void test_a_busy_link_rests_and_a_calm_one_does_not(void)
{
    struct epoll_event event;

    begin();
    make_busy(&busy);
    assert(worker->busy_links.state == GW_BUSY_AWAITED && reports(&worker->busy_links.awaited, -1));
    worker->busy_links.state = GW_BUSY_DUE;
    assert(gw_busy_links_are_due(&worker->busy_links) && gw_busy_links_poll(&worker->busy_links, &event, 1) == 1 && event.data.ptr == &busy);
    turn(&busy, BUSY, 1);
    assert(worker->busy_links.state == GW_BUSY_RESTING && !gw_busy_links_are_due(&worker->busy_links));
    assert(gw_busy_links_poll(&worker->busy_links, &event, 1) == 0);
    assert(reports(&calm, 0) && !reports(&busy, 0));
    while (!reports(&worker->busy_links.timer, -1))
        ;
    end();
}

static void test_after_a_large_turn_it_is_read_again_at_once(void)
{
    begin();
    make_busy(&busy);
    worker->busy_links.state = GW_BUSY_DUE;
    turn(&busy, GW_PACING_FULL_UPLOAD, 1);
    assert(gw_busy_links_are_due(&worker->busy_links));
    end();
}

/* A rest has just begun: its length in ns, once its timer has been seen to run no longer. */
static uint64_t rest(void)
{
    uint64_t length = gw_busy_links_rest(&worker->busy_links, &worker->pacing, worker->now);
    struct itimerspec left;

    assert(worker->busy_links.state == GW_BUSY_RESTING);
    assert(timerfd_gettime(worker->busy_links.timer.fd, &left) == 0 && left.it_value.tv_sec == 0);
    assert((uint64_t)left.it_value.tv_nsec <= length);
    return length;
}

static void test_it_rests_longer_while_clients_upload(void)
{
    begin();
    make_busy(&busy);
    worker->busy_links.state = GW_BUSY_DUE;
    turn(&busy, GW_PACING_FULL_UPLOAD - 1, 1);
    assert(rest() == GW_PACING_UPLOAD_REST);
    end();
    begin();
    make_busy(&worker->tuns[0].pollable);
    worker->busy_links.state = GW_BUSY_DUE;
    turn(&worker->tuns[0].pollable, GW_PACING_FULL - 1, 1);
    assert(rest() == GW_PACING_REST);
    worker->busy_links.state = GW_BUSY_DUE;
    turn(&worker->tuns[0].pollable, GW_PACING_FULL, 1);
    assert(gw_busy_links_are_due(&worker->busy_links));
    end();
}

static void test_it_does_not_where_they_send_many_packets_at_once(void)
{
    begin();
    make_busy(&busy);
    for (uint32_t i = 0; i < BUSY; i++)
        gw_pacing_count_received(&worker->pacing, i % 32 == 0);
    worker->now += WINDOW;
    gw_pacing_end_turn(&worker->pacing, worker->now);
    worker->busy_links.state = GW_BUSY_DUE;
    turn(&busy, BUSY, 1);
    assert(rest() == GW_PACING_REST);
    end();
}

static void test_there_is_no_rest_after_a_batch_that_the_kernel_merged(void)
{
    begin();
    make_busy(&busy);
    worker->busy_links.state = GW_BUSY_DUE;
    worker->pacing.batched = true;
    turn(&busy, GW_PACING_BATCH, 1);
    assert(gw_busy_links_are_due(&worker->busy_links));
    turn(&busy, GW_PACING_BATCH, 1);        /* of single packets */
    assert(worker->busy_links.state == GW_BUSY_RESTING);
    end();
}

static void test_a_link_that_brings_less_is_calm_again(void)
{
    begin();
    make_busy(&busy);
    worker->now += WINDOW;
    turn(&calm, BUSY, 0);
    worker->now += WINDOW;
    turn(&busy, 1, 1);
    assert(!busy.busy && worker->busy_links.count == 0 && reports(&busy, 0));
    end();
}

static void test_a_busy_link_that_had_nothing_wakes_the_worker(void)
{
    begin();
    make_busy(&busy);
    assert(reports(&worker->busy_links.awaited, 0));
    set_ready(&busy, false);
    set_ready(&calm, false);
    worker->busy_links.state = GW_BUSY_DUE;
    end_turn(0);
    assert(!reports(&worker->busy_links.awaited, 0));
    set_ready(&busy, true);
    assert(reports(&worker->busy_links.awaited, -1));
    end();
}

static void test_the_tun_queue_does_not_rest_while_an_answer_is_due(void)
{
    begin();
    assert(!watch(&worker->tuns[0].pollable, EPOLLIN));
    make_busy(&worker->tuns[0].pollable);
    turn(&calm, 1, 0);
    assert(!worker->tuns[0].pollable.busy && reports(&worker->tuns[0].pollable, 0));
    worker->now += WINDOW;
    turn(&worker->tuns[0].pollable, BUSY, 0);
    assert(!worker->tuns[0].pollable.busy);
    worker->now += GW_PACING_ANSWER;
    make_busy(&worker->tuns[0].pollable);
    end();
}

static void test_rests_are_short_while_clients_share_a_socket(void)
{
    begin();
    make_busy(&busy);
    worker->busy_links.state = GW_BUSY_DUE;
    worker->busy_links.shared_until = worker->now + 1;
    turn(&busy, BUSY, 1);
    assert(rest() == GW_PACING_SHARED_REST);
    end();
}

static void test_what_ends_is_counted_no_more(void)
{
    begin();
    make_busy(&busy);
    gw_link_unwatch(&worker->busy_links, &busy);
    assert(!busy.busy && worker->busy_links.count == 0 && !reports(&busy, 0));
    end();
}

static void test_a_session_is_busy_above_a_rate_and_calm_a_while_after(void)
{
    struct gw_session_rate rate = { 0 };
    struct gw_pacing pacing = { .busy = true };
    uint64_t now = GW_SECOND;
    uint32_t most = GW_PACING_LINK_RATE * (uint32_t)(WINDOW / GW_MS);

    gw_pacing_count_session(&pacing, &rate, now);       /* the first after a long time says nothing */
    assert(now >= rate.busy_until);
    for (uint32_t i = 0; i < most; i++)
        gw_pacing_count_session(&pacing, &rate, now += WINDOW / most);
    assert(now >= rate.busy_until);
    for (uint32_t i = 0; i <= most; i++)
        gw_pacing_count_session(&pacing, &rate, now + (i < most ? 0 : WINDOW));
    now += WINDOW;
    assert(rate.busy_until == now + GW_PACING_CALM);
    for (uint64_t until = rate.busy_until; now <= until + WINDOW; now += WINDOW)
        gw_pacing_count_session(&pacing, &rate, now);
    assert(now >= rate.busy_until);
    pacing.busy = false;
    for (uint32_t i = 0; i < 4 * most; i++)
        gw_pacing_count_session(&pacing, &rate, now += WINDOW / most / 2);
    assert(now >= rate.busy_until);                     /* of a worker with little to do none is busy */
}

int main(void)
{
    test_a_busy_link_rests_and_a_calm_one_does_not();
    test_after_a_large_turn_it_is_read_again_at_once();
    test_it_rests_longer_while_clients_upload();
    test_it_does_not_where_they_send_many_packets_at_once();
    test_there_is_no_rest_after_a_batch_that_the_kernel_merged();
    test_a_link_that_brings_less_is_calm_again();
    test_a_busy_link_that_had_nothing_wakes_the_worker();
    test_the_tun_queue_does_not_rest_while_an_answer_is_due();
    test_rests_are_short_while_clients_share_a_socket();
    test_what_ends_is_counted_no_more();
    test_a_session_is_busy_above_a_rate_and_calm_a_while_after();
    puts("ok");
    return 0;
}
