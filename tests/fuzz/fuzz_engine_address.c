/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fuzz-sources: sentry_engine/native/parse/address.c sentry_engine/native/parse/ipv4.c */
/* The engine's address parser against inet_pton: both accept the same texts, with the same result. */
#include "parse/address.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static bool read_by_libc(const char *text, size_t length, uint8_t address[16])
{
    char copy[SE_MAX_ADDRESS_TEXT + 1] = {0};
    const char *zone = memchr(text, '%', length);
    bool is_ipv6 = memchr(text, ':', length) != NULL;

    if (length > SE_MAX_ADDRESS_TEXT)
        return false;
    if (zone && is_ipv6)
        length = (size_t)(zone - text);
    if (memchr(text, 0, length))
        return false;
    memcpy(copy, text, length);
    if (is_ipv6)
        return inet_pton(AF_INET6, copy, address) == 1;
    memcpy(address, (const uint8_t[12]){[10] = 0xff, [11] = 0xff}, 12);
    return inet_pton(AF_INET, copy, address + 12) == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t ours[16] = {0}, theirs[16] = {0};
    char *exact = malloc(size); /* so that ASan sees a read past the end */

    if (size && !exact)
        return 0;
    if (size)
        memcpy(exact, data, size);
    bool is_ours = se_address_parse(exact, size, ours);
    if (is_ours != read_by_libc(exact, size, theirs) || (is_ours && memcmp(ours, theirs, 16) != 0))
        abort();
    free(exact);
    return 0;
}
