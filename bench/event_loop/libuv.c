/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The libuv back end: a uv_pipe_t per socket, uv_read_start with one shared buffer, uv_try_write in the read
 * callback, a timer that ends the loop.
 */
#include "event_loop.h"

#include <uv.h>

static char buffer[BUFFER];
static uint64_t messages;

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)handle;
    (void)suggested;
    *out = uv_buf_init(buffer, BUFFER);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *in)
{
    require(size >= 0, "uv_read");
    for (ssize_t at = 0; at < size; at += MESSAGE, messages++) {
        uv_buf_t out = uv_buf_init(in->base + at, MESSAGE);

        require(uv_try_write(stream, &out, 1) == MESSAGE, "uv_try_write");
    }
}

static void on_end(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

uint64_t bounce_libuv(const int *fds, size_t count, double seconds)
{
    uv_loop_t loop;
    uv_timer_t timer;
    uv_pipe_t *pipes = calloc(count, sizeof(*pipes));

    require(pipes != NULL, "set-up");
    require(uv_loop_init(&loop) == 0, "uv_loop_init");
    for (size_t i = 0; i < count; i++) {
        require(uv_pipe_init(&loop, &pipes[i], 0) == 0, "uv_pipe_init");
        require(uv_pipe_open(&pipes[i], fds[i]) == 0, "uv_pipe_open");
        require(uv_read_start((uv_stream_t *)&pipes[i], on_alloc, on_read) == 0, "uv_read_start");
    }
    require(uv_timer_init(&loop, &timer) == 0, "uv_timer_init");
    require(uv_timer_start(&timer, on_end, (uint64_t)(seconds * 1000), 0) == 0, "uv_timer_start");
    uv_run(&loop, UV_RUN_DEFAULT);
    return messages;                /* the process ends here: handles and loop end with it */
}
