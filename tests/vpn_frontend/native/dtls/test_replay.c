/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The replay window against a model: records that come in sequence, late, twice, or after a gap, in random histories. Each is taken
 * once, and never if it is older than the window.
 */
#include "dtls/dtls_pair.h"

#include <stdio.h>
#include <stdlib.h>

#define RECORDS 12000u
#define RECORD 128u
#define WINDOW 2048u                /* records: WOLFSSL_DTLS_WINDOW_WORDS of wolfssl.sh */
#define EDGE 40u                    /* records at the window's end, of which either is right */
#define HISTORIES 3u

static struct { uint8_t bytes[RECORD]; int size; bool taken; } records[RECORDS];
static uint64_t state = 88172645463325252u;

static uint32_t below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 33) % limit;
}

/* Seals all records, which the server sees later. */
static void seal_all(WOLFSSL *client)
{
    server_turn = false;
    for (uint32_t i = 0; i < RECORDS; i++) {
        unsigned at = to_server.sent % DATAGRAMS;

        assert(wolfSSL_write(client, &i, sizeof(i)) == sizeof(i));
        assert((unsigned)to_server.sizes[at] <= RECORD);
        memcpy(records[i].bytes, to_server.datagrams[at], (size_t)to_server.sizes[at]);
        records[i].size = to_server.sizes[at];
        records[i].taken = false;
        to_server.taken = to_server.sent;
    }
}

static bool deliver(WOLFSSL *server, uint32_t number)
{
    unsigned at = to_server.sent++ % DATAGRAMS;
    uint32_t got = 0;
    int size;

    memcpy(to_server.datagrams[at], records[number].bytes, (size_t)records[number].size);
    to_server.sizes[at] = records[number].size;
    server_turn = true;
    size = wolfSSL_read(server, &got, sizeof(got));
    if (size > 0) {
        assert(size == sizeof(got) && got == number);
        return true;
    }
    assert(wolfSSL_get_error(server, size) == WOLFSSL_ERROR_WANT_READ);
    return false;
}

static void check(WOLFSSL *server, uint32_t number, uint32_t highest)
{
    bool taken = deliver(server, number);

    assert(!taken || !records[number].taken);
    if (number > highest || highest - number < WINDOW - EDGE)
        assert(taken || records[number].taken);
    if (number < highest && highest - number > WINDOW + EDGE)
        assert(!taken);
    records[number].taken |= taken;
}

static uint32_t next_of(uint32_t highest)
{
    uint32_t kind = below(100), gap = kind < 60 ? 1 : kind < 90 ? 1 + below(40) : kind < 98 ? 1 + below(300) : WINDOW - 2 + below(6);

    return highest + gap;
}

static void run_history(WOLFSSL_METHOD *method, const char *suite)
{
    struct pair pair = pair_open(method, suite);
    uint32_t highest = 0;

    seal_all(pair.client);
    check(pair.server, 0, 0);
    while (next_of(highest) < RECORDS) {
        uint32_t next = next_of(highest);

        if (next >= RECORDS)
            break;
        check(pair.server, next, highest);
        highest = next;
        for (uint32_t late = below(4); late; late--)
            check(pair.server, below(2) ? highest - below(highest < 80 ? highest + 1 : 80) : below(highest + 1), highest);
    }
    pair_close(&pair);
}

int main(void)
{
    wolfSSL_Init();
    for (unsigned i = 0; i < HISTORIES; i++) {
        run_history(wolfDTLSv1_2_client_method(), "PSK-AES256-GCM-SHA384");
        run_history(wolfDTLSv1_3_client_method(), "TLS13-AES128-GCM-SHA256");
    }
    puts("ok");
    return 0;
}
