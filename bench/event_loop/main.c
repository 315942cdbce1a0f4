/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 *   event_loop epoll|libuv PAIRS SECONDS      prints {"messages": ..., "wall_ns": ..., "cpu_ns": ...}
 */
#include "event_loop.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
    static const char message[MESSAGE];
    size_t pairs = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
    int *fds = calloc(2 * pairs + 1, sizeof(*fds));
    uint64_t wall, cpu, messages;

    if (!pairs || pairs > 8192 || !fds) {
        fprintf(stderr, "usage: %s epoll|libuv PAIRS SECONDS\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < pairs; i++) {
        require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, &fds[2 * i]) == 0, "socketpair");
        require(write(fds[2 * i], message, MESSAGE) == MESSAGE, "write");
    }
    wall = nanoseconds(CLOCK_MONOTONIC);
    cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    messages = (strcmp(argv[1], "libuv") ? bounce_epoll : bounce_libuv)(fds, 2 * pairs, strtod(argv[3], NULL));
    printf("{\"messages\": %" PRIu64 ", \"wall_ns\": %" PRIu64 ", \"cpu_ns\": %" PRIu64 "}\n", messages,
           nanoseconds(CLOCK_MONOTONIC) - wall, nanoseconds(CLOCK_THREAD_CPUTIME_ID) - cpu);
    free(fds);
    return 0;
}
