/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One thread bounces messages of MESSAGE bytes over connected socket pairs, with two back ends for the same work.
 */
#ifndef BENCH_EVENT_LOOP_H
#define BENCH_EVENT_LOOP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MESSAGE 1024                /* bytes */
#define BUFFER 65536                /* bytes per read: a short read says that the socket is empty */

/* Bounces messages over the non-blocking sockets fds[0..count) for `seconds`. One message per pair is on its way.
 * Returns how many messages were read and written back. Exits on an error. */
uint64_t bounce_epoll(const int *fds, size_t count, double seconds);
uint64_t bounce_libuv(const int *fds, size_t count, double seconds);

static inline void require(int true_condition, const char *what)
{
    if (!true_condition) {
        perror(what);
        exit(1);
    }
}

#endif
