/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fuzz-sources: vpn_frontend/native/tls/hello.c */
/* The reader of a ClientHello over TCP: whatever the peer sends, whole and cut. */
#include "tls/hello.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_tls_hello hello;
    uint8_t *whole = malloc(size + GW_TLS_RECORD_HEADER + 4 + 1);

    assert(gw_tls_hello_wanted(data, size) <= GW_TLS_HELLO_MAX);
    gw_tls_hello_read(data, size, &hello);
    /* The same as the body of a well-formed message, so that it is read deeply. */
    if (whole && size + 4 <= 16384) {
        const uint8_t head[] = { 22, 3, 1, (uint8_t)((size + 4) >> 8), (uint8_t)(size + 4), 1, 0, (uint8_t)(size >> 8), (uint8_t)size };

        memcpy(whole, head, sizeof(head));
        if (size)
            memcpy(whole + sizeof(head), data, size);
        if (!gw_tls_hello_read(whole, size + sizeof(head), &hello))
            assert(!hello.keys && !hello.server_name[0] && !gw_tls_hello_needs_dhe(&hello));
        assert(memchr(hello.server_name, 0, sizeof(hello.server_name)));
        for (uint32_t type = GW_KEY_RSA; type <= GW_KEY_ED25519; type++)
            gw_tls_hello_accepts(&hello, (enum gw_key_type)type);
    }
    free(whole);
    return 0;
}
