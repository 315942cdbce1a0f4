/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "runtime/busy_links.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int watch(const struct gw_busy_links *links, struct gw_pollable *pollable, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = pollable };

    return epoll_ctl(links->calm, EPOLL_CTL_ADD, pollable->fd, &event) ? -errno : 0;
}

int gw_busy_links_init(struct gw_busy_links *links, int calm)
{
    int status;

    links->calm = calm;
    links->timer = (struct gw_pollable){ GW_POLL_REST, .fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK) };
    if (links->timer.fd < 0)
        return -errno;
    links->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (links->epoll < 0)
        return -errno;
    links->awaited = (struct gw_pollable){ GW_POLL_BUSY, .fd = links->epoll };
    status = watch(links, &links->timer, EPOLLIN | EPOLLET);     /* edge: nothing has to be read from it */
    return status ? status : watch(links, &links->awaited, EPOLLONESHOT);
}

void gw_busy_links_free(struct gw_busy_links *links)
{
    if (links->timer.fd >= 0)
        close(links->timer.fd);
    if (links->epoll >= 0)
        close(links->epoll);
}

int gw_link_epoll(const struct gw_busy_links *links, const struct gw_pollable *link)
{
    return link->busy ? links->epoll : links->calm;
}

void gw_link_unwatch(struct gw_busy_links *links, struct gw_pollable *link)
{
    epoll_ctl(gw_link_epoll(links, link), EPOLL_CTL_DEL, link->fd, NULL);
    links->count -= link->busy;
    link->busy = false;
}

/* A link that the other instance refuses (ENOMEM) stays where it is. */
static void move(struct gw_busy_links *links, struct gw_pollable *link, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = link };

    if (epoll_ctl(link->busy ? links->calm : links->epoll, EPOLL_CTL_ADD, link->fd, &event))
        return;
    epoll_ctl(gw_link_epoll(links, link), EPOLL_CTL_DEL, link->fd, NULL);
    links->count += link->busy ? -1u : 1u;
    link->busy = !link->busy;
}

void gw_link_count(struct gw_busy_links *links, const struct gw_pacing *pacing, struct gw_pollable *link, uint32_t packets,
                   uint32_t events, uint64_t now)
{
    bool busy = gw_pacing_count_link(pacing, link, packets, now);

    if (link->kind == GW_POLL_CONNECTION && packets && !busy)
        links->answers_due = now + GW_PACING_ANSWER;
    if (link == links->answers && now < links->answers_due)
        busy = false;
    if (busy != link->busy)
        move(links, link, events);
}

/* The answer to a calm link may come any time. */
static void wake_answers(struct gw_busy_links *links, uint64_t now)
{
    if (links->answers && links->answers->busy && now < links->answers_due)
        move(links, links->answers, EPOLLIN);
}

bool gw_busy_links_are_due(const struct gw_busy_links *links)
{
    return links->count && links->state == GW_BUSY_DUE;
}

int gw_busy_links_poll(struct gw_busy_links *links, struct epoll_event *events, int size)
{
    int count = gw_busy_links_are_due(links) ? epoll_wait(links->epoll, events, size, 0) : 0;

    return count > 0 ? count : 0;
}

static bool begin_rest(const struct gw_busy_links *links, const struct gw_pacing *pacing, uint64_t now)
{
    const struct itimerspec rest = { .it_value.tv_nsec = (long)gw_busy_links_rest(links, pacing, now) };

    return timerfd_settime(links->timer.fd, 0, &rest, NULL) == 0;
}

static bool await(struct gw_busy_links *links)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.ptr = &links->awaited };

    return epoll_ctl(links->calm, EPOLL_CTL_MOD, links->epoll, &event) == 0;
}

void gw_busy_links_end_turn(struct gw_busy_links *links, const struct gw_pacing *pacing, int polled, uint64_t now)
{
    wake_answers(links, now);
    if (links->state != GW_BUSY_DUE || !links->count)
        return;
    if (!polled) {
        if (await(links))
            links->state = GW_BUSY_AWAITED;
    } else if (gw_pacing_is_small(pacing) && begin_rest(links, pacing, now)) {
        links->state = GW_BUSY_RESTING;
    }
}
