/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The epoll back end, built as a gateway worker: level-triggered epoll, events in batches, one clock read per turn. A switch
 * on the kind of the source calls read and write on the worker's buffer.
 */
#include "event_loop.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_PER_TURN 64

enum kind { STREAM, OTHER };

struct pollable {
    enum kind kind;
    int fd;
};

static uint64_t on_stream(const struct pollable *stream, char *buffer)
{
    uint64_t messages = 0;
    ssize_t size = read(stream->fd, buffer, BUFFER);

    require(size > 0, "read");
    for (ssize_t at = 0; at < size; at += MESSAGE, messages++)
        require(write(stream->fd, buffer + at, MESSAGE) == MESSAGE, "write");
    return messages;
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

uint64_t bounce_epoll(const int *fds, size_t count, double seconds)
{
    struct pollable *pollables = calloc(count, sizeof(*pollables));
    char *buffer = malloc(BUFFER);
    struct epoll_event events[EVENTS_PER_TURN];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    double now = seconds_now(), end = now + seconds;
    uint64_t messages = 0;

    require(pollables && buffer && epoll >= 0, "set-up");
    for (size_t i = 0; i < count; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &pollables[i] };

        pollables[i] = (struct pollable){ .kind = STREAM, .fd = fds[i] };
        require(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event) == 0, "epoll_ctl");
    }
    while (now < end) {
        int ready = epoll_wait(epoll, events, EVENTS_PER_TURN, 100);

        now = seconds_now();
        for (int i = 0; i < ready; i++) {
            const struct pollable *source = events[i].data.ptr;

            switch (source->kind) {
            case STREAM:
                messages += on_stream(source, buffer);
                break;
            case OTHER:
                break;
            }
        }
    }
    close(epoll);
    free(buffer);
    free(pollables);
    return messages;
}
