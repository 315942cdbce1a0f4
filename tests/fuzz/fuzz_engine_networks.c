/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fuzz-sources: sentry_engine/native/parse/network.c sentry_engine/native/parse/address.c sentry_engine/native/parse/ipv4.c */
/* Lines that are accepted as prefixes fill exactly their rows, without host bits. */
#include "parse/network.h"

#include "ip_address.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t rows = size ? data[0] % 8u : 0;
    size_t length = size ? size - 1 : 0, lines = 1;
    char *exact = malloc(length + !length); /* so that ASan sees a read past the end */
    uint8_t *networks = malloc(16 * rows + !rows), *lengths = malloc(rows + !rows);

    if (!exact || !networks || !lengths)
        goto out;
    if (length)
        memcpy(exact, data + 1, length);
    for (size_t i = 0; i < length; i++)
        lines += exact[i] == '\n';
    if (se_networks_parse(exact, length, networks, lengths, rows)) {
        if (rows ? rows != lines : length != 0)
            abort();
        for (uint32_t row = 0; row < rows; row++) {
            struct se_address address = se_address_load(networks + 16 * row);
            if (lengths[row] > 128 || !se_address_equal(se_mask(address, lengths[row]), address))
                abort();
        }
    }
out:
    free(exact);
    free(networks);
    free(lengths);
    return 0;
}
