/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fuzz-sources: vpn_frontend/native/packet/proxy_header.c */
/* A PROXY header byte by byte: it asks for more until it has an answer, and more bytes do not change a header. */
#include "packet/proxy_header.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t V2_START[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };

static void check(const uint8_t *data, size_t size)
{
    struct gw_proxy_header header, whole;
    enum gw_proxy_status status = GW_PROXY_MORE, last;
    size_t part;

    for (part = 0; part <= size && status == GW_PROXY_MORE; part++) {
        uint8_t *copy = malloc(part ? part : 1);

        memcpy(copy, data, part);
        status = gw_proxy_header_read(copy, part, &header);
        free(copy);
    }
    part--;
    last = gw_proxy_header_read(data, size, &whole);
    if (status == GW_PROXY_MORE && (last != GW_PROXY_MORE || size > GW_PROXY_HEADER_MAX))
        abort();
    if (status == GW_PROXY_CLIENT || status == GW_PROXY_LOCAL)
        if (header.size != part || last != status || memcmp(&header, &whole, sizeof(header)))
            abort();
    if (status == GW_PROXY_INVALID && (last != GW_PROXY_INVALID || !header.why[0]))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *second;

    if (size > 4096)
        return 0;
    check(data, size);
    second = malloc(size + sizeof(V2_START));   /* its beginning is hard to guess */
    memcpy(second, V2_START, sizeof(V2_START));
    memcpy(second + sizeof(V2_START), data, size);
    check(second, size + sizeof(V2_START));
    free(second);
    return 0;
}
