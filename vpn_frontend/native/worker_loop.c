/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "worker_loop.h"

#include "connections/input.h"
#include "connections/listener.h"
#include "limits/limits.h"
#include "messages.h"
#include "runtime/handoff.h"
#include "runtime/routes.h"
#include "runtime/thread_filter.h"
#include "tls/record_pool.h"
#include "tun/queue.h"
#include "tunnel/downlink.h"
#include "tunnel/dtls_channel.h"
#include "tunnel/session.h"
#include "tunnel/udp_demux.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#define EVENTS_PER_TURN 64
#define EVENTS_PER_LOOK 8           /* between busy links: with many of both kinds commands would wait long for the turn's end */
#define TIMER_SLACK 1000ul          /* ns, of epoll_wait; the default is 50 000 */

static void read_signatures(struct gw_worker *worker)
{
    const struct gw_event event = { .kind = GW_SIGNER_DOWN };

    if (!gw_signer_link_read(&worker->signer))
        gw_event_push(&worker->gateway->events, &event, NULL, false);
}

static void count_link(struct gw_worker *worker, struct gw_pollable *link, uint32_t packets, uint32_t events)
{
    gw_link_count(&worker->busy_links, &worker->pacing, link, packets, events, worker->now);
}

static void read_tun(struct gw_worker *worker, struct gw_tun_queue *queue)
{
    uint32_t before = worker->pacing.turn;

    gw_downlink_read(worker, queue);
    if (!queue->paused && !worker->tun_lost)       /* otherwise it is not watched */
        count_link(worker, &queue->pollable, worker->pacing.turn - before, EPOLLIN);
}

static void count_connection(struct gw_worker *worker, struct gw_connection *connection, uint32_t packets)
{
    if (connection->state == GW_CONNECTION_OWNED && connection->worker == worker)
        count_link(worker, &connection->pollable, packets, connection->interest);
}

static void dispatch(struct gw_worker *worker, struct gw_pollable *pollable, uint32_t events)
{
    uint32_t before = worker->pacing.turn;

    switch (pollable->kind) {
    case GW_POLL_MAILBOX:
        worker->mail = true;
        break;
    case GW_POLL_LISTENER:
        gw_listener_ready(worker, (struct gw_listener *)pollable);
        break;
    case GW_POLL_TUN:
        read_tun(worker, (struct gw_tun_queue *)pollable);
        break;
    case GW_POLL_CONNECTION:
        gw_connection_ready((struct gw_connection *)pollable, events);
        gw_tun_flush(worker);       /* no other client's packets could merge with these, and the cache still has them */
        count_connection(worker, (struct gw_connection *)pollable, worker->pacing.turn - before);
        break;
    case GW_POLL_SIGNER:
        read_signatures(worker);
        break;
    case GW_POLL_UDP:
        gw_udp_demux_ready(worker, (struct gw_udp_listener *)pollable);
        count_link(worker, pollable, worker->pacing.turn - before, EPOLLIN);
        break;
    case GW_POLL_REST:
    case GW_POLL_BUSY:
        worker->busy_links.state = GW_BUSY_DUE;
        break;
    }
}

static void tick(struct gw_worker *worker)
{
    if (worker->now < worker->next_tick)
        return;
    worker->next_tick = worker->now + GW_TICK;
    gw_listeners_tick(worker);
    gw_tun_tick(worker);
    gw_connections_tick(worker);
    gw_sessions_tick(worker);
}

/* In ms. Without deadlines of connections and sessions, -1. */
static int epoll_timeout(const struct gw_worker *worker)
{
    uint64_t due = gw_wheel_next(&worker->sessions);

    if (gw_busy_links_are_due(&worker->busy_links))
        return 0;
    if (worker->udp && worker->udp->waiting)
        return 1;
    if (worker->connections || worker->accept_paused || worker->tun_paused)
        return (int)(GW_TICK / GW_MS);
    if (due == GW_NEVER)
        return -1;
    if (due < worker->next_tick)
        due = worker->next_tick;
    return due > worker->now ? (int)((due - worker->now) / GW_MS) + 1 : 1;
}

/* Reads at once what the kernel answered to what was written, a ping for example: it waits neither for the end of a rest nor for
 * another epoll_wait. */
static void read_answers(struct gw_worker *worker, struct gw_tun_queue *queue)
{
    if (queue->written)
        read_tun(worker, queue);
    queue->written = false;
}

/* After a large turn the next one follows without a rest, and reads more. */
static void read_all_answers(struct gw_worker *worker)
{
    bool large = worker->pacing.busy && !gw_pacing_is_small(&worker->pacing);

    for (uint32_t i = 0; i < worker->tun_count; i++) {
        worker->tuns[i].written &= !large;
        read_answers(worker, &worker->tuns[i]);
    }
}

/* Calm sessions get their answers before more is done for busy ones. */
static void answer_calm(struct gw_worker *worker)
{
    if (!worker->calm_input || worker->tun_count < 2)
        return;
    worker->calm_input = false;
    gw_tun_flush(worker);
    read_answers(worker, &worker->tuns[0]);
    gw_connections_flush(worker);
    gw_udp_demux_flush(worker);
}

static void handle_calm(struct gw_worker *worker, int timeout, int most)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int count = epoll_wait(worker->epoll, events, most, timeout);
    uint32_t before = worker->pacing.turn;

    worker->now = worker->looked = gw_clock_now();
    gw_routes_read(worker);
    for (int i = 0; i < count && !worker->stopping; i++)
        dispatch(worker, events[i].data.ptr, events[i].events);
    worker->calm_input |= worker->pacing.turn != before;
}

/* Between two busy links: a calm one waits for one of them, not for all. */
static void look_at_calm(struct gw_worker *worker)
{
    if (gw_clock_now() - worker->looked < GW_PACING_LOOK)
        return;
    handle_calm(worker, 0, EVENTS_PER_LOOK);
    answer_calm(worker);
}

/* What the thread gives itself before it is put under its filter. Returns 0 or a negative errno. */
static int prepare_thread(const struct gw_worker *worker)
{
    char name[16];

    snprintf(name, sizeof(name), "gateway-%u", worker->index);
    prctl(PR_SET_NAME, name, 0, 0, 0);
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK, 0, 0, 0);
    return gw_thread_filter_load(worker->gateway->config.filter, worker->gateway->config.filter_size);
}

/* Handles what is ready. Returns the number of events of busy links. */
static int handle_events(struct gw_worker *worker)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int busy;

    gw_add(&worker->turns, 1);
    handle_calm(worker, epoll_timeout(worker), EVENTS_PER_TURN);
    busy = gw_busy_links_poll(&worker->busy_links, events, EVENTS_PER_TURN);
    if (busy)
        answer_calm(worker);
    for (int i = 0; i < busy && !worker->stopping; i++) {
        dispatch(worker, events[i].data.ptr, events[i].events);
        look_at_calm(worker);
    }
    worker->calm_input = false;
    return busy;
}

static void *run(void *argument)
{
    struct gw_worker *worker = argument;

    worker->start_status = prepare_thread(worker);
    worker->stopping = worker->start_status != 0;
    sem_post(&worker->started);
    gw_record_pool_begin();
    while (!worker->stopping) {
        int busy = handle_events(worker);

        gw_messages_read(worker);
        gw_connections_flush(worker);
        gw_tun_flush(worker);
        read_all_answers(worker);
        gw_handoff_flush(worker);
        tick(worker);
        gw_connections_flush(worker);
        gw_udp_demux_flush(worker);
        gw_connections_reap(worker);
        gw_busy_links_end_turn(&worker->busy_links, &worker->pacing, busy, worker->now);
        gw_pacing_end_turn(&worker->pacing, worker->now);
        worker->handshakes = 0;
    }
    gw_record_pool_end();
    return NULL;
}

int gw_worker_start(struct gw_worker *worker)
{
    sigset_t all, before;
    int status;

    if (sem_init(&worker->started, 0, 0))
        return -errno;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);    /* signals are for Python's threads */
    status = pthread_create(&worker->thread, NULL, run, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status)
        return -status;
    while (sem_wait(&worker->started) && errno == EINTR)
        ;
    if (worker->start_status)
        pthread_join(worker->thread, NULL);
    return worker->start_status;
}

static void close_sessions(struct gw_worker *worker)
{
    struct gw_session *session;

    while ((session = gw_wheel_take_any(&worker->sessions))) {
        gw_cstp_reader_free(&session->frames);
        gw_dtls_destroy(session->dtls);
        gw_limits_set(session, NULL);
    }
}

static void close_all(struct gw_worker *worker, struct gw_connection **list)
{
    while (*list) {
        struct gw_connection *connection = *list;

        *list = connection->next;
        gw_connection_destroy(connection, &worker->chunks);
    }
}

static void close_connections(struct gw_worker *worker)
{
    close_all(worker, &worker->connections);
    close_all(worker, &worker->calm);
    gw_connections_reap(worker);
}

void gw_worker_close(struct gw_worker *worker)
{
    if (!worker)
        return;
    gw_listeners_close(worker);
    gw_messages_discard(worker);
    close_connections(worker);
    close_sessions(worker);
    gw_udp_port_free(worker);
    gw_worker_free(worker);
}
