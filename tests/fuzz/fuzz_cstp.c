/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fuzz-sources: vpn_frontend/native/packet/cstp.c */
/* A stream of CSTP frames: cut anyhow, it must give the same frames as whole, and the same error at its end. */
#include "packet/cstp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_MAX 4096

struct trace {
    size_t count;
    uint64_t digest;
    int status;
};

static void note(struct trace *trace, const struct gw_frame *frame)
{
    trace->digest = trace->digest * 31 + frame->type;
    trace->digest = trace->digest * 31 + frame->size;
    for (size_t i = 0; i < frame->size; i++)
        trace->digest = trace->digest * 31 + frame->payload[i];
    trace->count++;
}

/* `cut` 0: whole; else in pieces of 1 to `cut` bytes. Every piece lies in memory of its own. */
static struct trace read_all(const uint8_t *data, size_t size, size_t cut)
{
    struct gw_cstp_reader reader = { 0 };
    struct trace trace = { 0 };
    size_t step = 0;

    while (size && trace.status >= 0 && trace.count < FRAMES_MAX) {
        size_t piece = cut ? 1 + step++ % cut : size;
        struct gw_frame frame;
        const uint8_t *at;
        uint8_t *copy;
        size_t left;

        piece = piece < size ? piece : size;
        copy = malloc(piece);
        memcpy(copy, data, piece);
        at = copy;
        left = piece;
        while ((trace.status = gw_cstp_next(&reader, &at, &left, &frame)) > 0)
            note(&trace, &frame);
        if (trace.status == 0 && left)
            abort();
        data += piece;
        size -= piece;
        free(copy);
    }
    gw_cstp_reader_free(&reader);
    return trace;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trace whole, cut;
    size_t by;

    if (!size)
        return 0;
    by = 1 + data[0] % 64u;
    whole = read_all(data + 1, size - 1, 0);
    cut = read_all(data + 1, size - 1, by);
    if (whole.count != cut.count || whole.digest != cut.digest || (whole.status < 0) != (cut.status < 0))
        abort();
    return 0;
}
