/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "packet/cstp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t magic[4] = { 'S', 'T', 'F', 1 };

/* Returns the payload size in a header of which `have` bytes are there; 0: unknown yet; -EPROTO: not a header. */
static long announced(const uint8_t *header, size_t have)
{
    size_t payload;

    if (memcmp(header, magic, have < sizeof(magic) ? have : sizeof(magic)) != 0)
        return -EPROTO;
    if (have < GW_CSTP_HEADER)
        return 0;
    payload = (size_t)header[4] << 8 | header[5];
    return payload > GW_CSTP_MAX_PAYLOAD ? -EPROTO : (long)payload;
}

static int frame_from(const uint8_t *bytes, size_t payload, struct gw_frame *frame)
{
    frame->type = bytes[6];
    frame->payload = bytes + GW_CSTP_HEADER;
    frame->size = payload;
    return 1;
}

static size_t hold(struct gw_cstp_reader *reader, const uint8_t **data, size_t *size, size_t wanted)
{
    size_t missing = wanted > reader->have ? wanted - reader->have : 0;
    size_t taken = missing < *size ? missing : *size;

    if (!taken)
        return 0;
    memcpy(reader->held + reader->have, *data, taken);
    reader->have += taken;
    *data += taken;
    *size -= taken;
    return taken;
}

/* Continues the held frame. The held bytes stay valid until the next call. */
static int next_held(struct gw_cstp_reader *reader, const uint8_t **data, size_t *size, struct gw_frame *frame)
{
    long payload;

    hold(reader, data, size, GW_CSTP_HEADER);
    payload = announced(reader->held, reader->have);
    if (payload < 0)
        return (int)payload;
    if (reader->have < GW_CSTP_HEADER)
        return 0;
    hold(reader, data, size, GW_CSTP_HEADER + (size_t)payload);
    if (reader->have < GW_CSTP_HEADER + (size_t)payload)
        return 0;
    reader->have = 0;
    return frame_from(reader->held, (size_t)payload, frame);
}

int gw_cstp_next(struct gw_cstp_reader *reader, const uint8_t **data, size_t *size, struct gw_frame *frame)
{
    long payload;

    if (reader->held && !reader->have)
        gw_cstp_reader_free(reader);
    if (reader->held)
        return next_held(reader, data, size, frame);
    if (!*size)
        return 0;
    payload = announced(*data, *size);
    if (payload < 0)
        return (int)payload;
    if (*size >= GW_CSTP_HEADER && *size - GW_CSTP_HEADER >= (size_t)payload) {
        const uint8_t *start = *data;

        *data += GW_CSTP_HEADER + (size_t)payload;
        *size -= GW_CSTP_HEADER + (size_t)payload;
        return frame_from(start, (size_t)payload, frame);
    }
    reader->held = malloc(GW_CSTP_HEADER + GW_CSTP_MAX_PAYLOAD);
    if (!reader->held)
        return -ENOMEM;
    reader->have = 0;
    return next_held(reader, data, size, frame);
}

void gw_cstp_reader_free(struct gw_cstp_reader *reader)
{
    free(reader->held);
    reader->held = NULL;
    reader->have = 0;
}

void gw_cstp_header(uint8_t out[GW_CSTP_HEADER], uint8_t type, size_t payload)
{
    memcpy(out, magic, sizeof(magic));
    out[4] = (uint8_t)(payload >> 8);
    out[5] = (uint8_t)payload;
    out[6] = type;
    out[7] = 0;
}
