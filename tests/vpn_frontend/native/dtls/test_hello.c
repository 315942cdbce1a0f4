/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Hellos and cookies: whole, cut at every length, with bytes flipped and appended. Run under ASan and UBSan by test_programs.py;
 * every hello lies at the end of an allocation of its own, so that a read past it is seen.
 */
#include "dtls/cookie.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD GW_COOKIE_PERIOD

struct recipe {
    uint8_t session_id[GW_DTLS_NAME_SIZE];
    size_t session_id_size;
    uint8_t cookie[255];
    size_t cookie_size;
    uint8_t app_id[GW_DTLS_NAME_SIZE + 1];
    size_t app_id_size;
    bool dtls13, zero_random, no_extensions;
};

static size_t put(uint8_t *out, size_t at, const void *bytes, size_t size)
{
    if (size)
        memcpy(out + at, bytes, size);
    return at + size;
}

static size_t put16(uint8_t *out, size_t at, size_t value)
{
    out[at] = (uint8_t)(value >> 8);
    out[at + 1] = (uint8_t)value;
    return at + 2;
}

static size_t cook(const struct recipe *r, uint8_t *out)
{
    size_t at = 25, extensions;

    memset(out, 0, 25);
    memcpy(out, (const uint8_t[]) { 22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 7 }, 11);
    out[13] = 1;
    out[18] = r->cookie_size != 0;
    at = put16(out, at, 0xfefd);
    memset(out + at, r->zero_random ? 0 : 0x5a, 32);
    at += 32;
    out[at++] = (uint8_t)r->session_id_size;
    at = put(out, at, r->session_id, r->session_id_size);
    out[at++] = (uint8_t)r->cookie_size;
    at = put(out, at, r->cookie, r->cookie_size);
    at = put16(out, at, 4);
    at = put(out, at, (const uint8_t[]) { 0x00, 0xa9, 0xc0, 0x30 }, 4);
    at = put(out, at, (const uint8_t[]) { 1, 0 }, 2);
    if (!r->no_extensions) {
        extensions = at;
        at = put(out, at + 2, (const uint8_t[]) { 0, 23, 0, 0 }, 4);
        if (r->dtls13)
            at = put(out, at, (const uint8_t[]) { 0, 43, 0, 5, 4, 0xfe, 0xfd, 0xfe, 0xfc }, 9);
        if (r->app_id_size) {
            at = put16(out, put16(out, at, GW_DTLS_APP_ID_EXTENSION), r->app_id_size);
            at = put(out, at, r->app_id, r->app_id_size);
        }
        put16(out, extensions, at - extensions - 2);
    }
    put16(out, 11, at - 13);
    put16(out, 15, at - 25);
    put16(out, 23, at - 25);
    return at;
}

/* Reads a copy that ends where its allocation ends. */
static int read_copy(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    struct gw_hello hello;
    int status;

    assert(copy);
    memcpy(copy, bytes, size);
    status = gw_hello_read(copy, size, &hello);
    if (!status)
        gw_hello_name(&hello);
    free(copy);
    return status;
}

static void test_whole(void)
{
    struct recipe r = { .session_id = { 1, 2, 3 }, .session_id_size = 32, .dtls13 = true };
    uint8_t bytes[512];
    struct gw_hello hello;
    size_t size = cook(&r, bytes);

    assert(gw_dtls_classify(bytes, size) == GW_DTLS_HELLO);
    assert(gw_hello_read(bytes, size, &hello) == 0);
    assert(hello.dtls13 && hello.suites_size == 4 && hello.compression_size == 1 && !hello.cookie_size && !hello.app_id);
    assert(hello.sequence[5] == 7 && !memcmp(gw_hello_name(&hello), r.session_id, 32));

    memset(r.app_id, 9, sizeof(r.app_id));
    r.app_id_size = 32;
    size = cook(&r, bytes);
    assert(gw_hello_read(bytes, size, &hello) == 0 && gw_hello_name(&hello)[0] == 9);
    r.app_id[0] = 32;
    r.app_id_size = 33;
    size = cook(&r, bytes);
    assert(gw_hello_read(bytes, size, &hello) == 0 && gw_hello_name(&hello)[0] == 9);
    r.app_id_size = 31;
    size = cook(&r, bytes);
    assert(gw_hello_read(bytes, size, &hello) == 0 && gw_hello_name(&hello)[0] == 1);

    r = (struct recipe) { .session_id_size = 8, .no_extensions = true };
    size = cook(&r, bytes);
    assert(gw_hello_read(bytes, size, &hello) == 0 && !gw_hello_name(&hello) && !hello.dtls13);
}

static void test_refused(void)
{
    struct recipe r = { .session_id_size = 32, .app_id_size = 32 };
    uint8_t bytes[1024];
    size_t size = cook(&r, bytes);

    for (size_t cut = 0; cut < size; cut++)
        assert(read_copy(bytes, cut) < 0);
    bytes[size] = 0;
    assert(read_copy(bytes, size + 1) < 0);
    for (size_t cut = 26; cut < size; cut++) {      /* cut, with lengths of record and message that say so */
        uint8_t shorter[1024];

        memcpy(shorter, bytes, cut);
        put16(shorter, 11, cut - 13);
        put16(shorter, 15, cut - 25);
        put16(shorter, 23, cut - 25);
        assert(read_copy(shorter, cut) < 0 || cut == size - 4 - 32 - 4 - 2);    /* just before the extensions is whole */
    }
    bytes[20] = 1;                                  /* a fragment */
    assert(read_copy(bytes, size) < 0);
    r.zero_random = true;
    size = cook(&r, bytes);
    assert(read_copy(bytes, size) < 0);
    r = (struct recipe) { .session_id_size = 32 };
    size = cook(&r, bytes);
    bytes[26] = 0x03;                               /* no version of DTLS */
    assert(read_copy(bytes, size) < 0);
}

static void test_flips(void)
{
    struct recipe r = { .session_id_size = 32, .cookie_size = 32, .app_id_size = 32, .dtls13 = true };
    uint8_t bytes[1024];
    size_t size = cook(&r, bytes);
    unsigned taken = 0;

    for (size_t at = 0; at < size; at++)
        for (unsigned value = 0; value < 256; value++) {
            uint8_t kept = bytes[at];

            bytes[at] = (uint8_t)value;
            taken += !read_copy(bytes, size);
            bytes[at] = kept;
        }
    assert(taken > size);                           /* random, cookie, names: most bytes are free */
}

static void test_kinds(void)
{
    static const struct { uint8_t bytes[15]; size_t size; enum gw_dtls_kind kind; } rows[] = {
        { { 0 }, 0, GW_DTLS_GARBAGE },
        { { 22, 0xfe, 0xfd }, 13, GW_DTLS_GARBAGE },            /* a header without a body */
        { { 22, 0xfe, 0xfd, [13] = 16 }, 15, GW_DTLS_CLEAR },
        { { 20, 0xfe, 0xfd, [13] = 1 }, 14, GW_DTLS_CLEAR },
        { { 21, 0xfe, 0xfd, [13] = 2 }, 15, GW_DTLS_CLEAR },
        { { 23, 0xfe, 0xfd, [13] = 2 }, 15, GW_DTLS_GARBAGE },
        { { 23, 0xfe, 0xfd, 0, 1 }, 15, GW_DTLS_SEALED },
        { { 22, 0xfe, 0xfd, 0, 1, [13] = 1 }, 15, GW_DTLS_SEALED },
        { { 22, 3, 3, [13] = 1 }, 15, GW_DTLS_GARBAGE },
        { { 0x2e }, 15, GW_DTLS_SEALED },
        { { 0x40 }, 15, GW_DTLS_GARBAGE },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        assert(gw_dtls_classify(rows[i].bytes, rows[i].size) == rows[i].kind);
}

static size_t add_record(uint8_t *datagram, size_t at, uint8_t type, uint8_t payload)
{
    memset(datagram + at, 0, GW_DTLS_RECORD_HEADER + payload);
    memcpy(datagram + at, (uint8_t[]){ type, 0xfe, 0xfd, 0, 1 }, 5);
    datagram[at + 12] = payload;
    return at + GW_DTLS_RECORD_HEADER + payload;
}

static enum gw_dtls_content look_into_copy(const uint8_t *datagram, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);        /* of just that size: a sanitizer sees each byte too far */
    enum gw_dtls_content content;

    assert(copy);
    memcpy(copy, datagram, size);
    content = gw_dtls_look_into(copy, size);
    free(copy);
    return content;
}

static void test_contents(void)
{
    static const struct { uint8_t types[4]; enum gw_dtls_content content; } rows[] = {
        { { GW_DTLS_APPLICATION_DATA }, GW_DTLS_ONE_OF_DATA },
        { { GW_DTLS_APPLICATION_DATA, GW_DTLS_APPLICATION_DATA }, GW_DTLS_ANYTHING },
        { { GW_DTLS_APPLICATION_DATA, GW_DTLS_ALERT }, GW_DTLS_ANYTHING },
        { { GW_DTLS_HANDSHAKE }, GW_DTLS_FLIGHT },
        { { GW_DTLS_HANDSHAKE, GW_DTLS_CHANGE_CIPHER_SPEC, GW_DTLS_HANDSHAKE }, GW_DTLS_FLIGHT },
        { { GW_DTLS_CHANGE_CIPHER_SPEC, GW_DTLS_HANDSHAKE, GW_DTLS_APPLICATION_DATA }, GW_DTLS_ANYTHING },
        { { GW_DTLS_ALERT }, GW_DTLS_ANYTHING },
        { { GW_DTLS_HANDSHAKE, GW_DTLS_ALERT }, GW_DTLS_ANYTHING },
        { { 0x2e }, GW_DTLS_ANYTHING },             /* DTLS 1.3 */
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        uint8_t datagram[256] = { 0 };
        size_t size = 0, first = 0;

        for (unsigned k = 0; k < 4 && rows[i].types[k]; k++) {
            size = add_record(datagram, size, rows[i].types[k], (uint8_t)(20 + k));
            first = first ? first : size;
        }
        assert(look_into_copy(datagram, size) == rows[i].content);
        for (size_t cut = 0; cut < first; cut++)
            assert(look_into_copy(datagram, cut) == GW_DTLS_ANYTHING);
        assert(look_into_copy(datagram, size + 1) == GW_DTLS_ANYTHING);
    }
}

static void test_cookie(void)
{
    static const uint8_t master[32] = { 1 }, here[] = "192.0.2.1 port 4000", there[] = "192.0.2.1 port 4001";
    struct recipe r = { .session_id = { 7 }, .session_id_size = 32 };
    struct gw_cookies cookies, other;
    struct gw_hello hello;
    uint8_t bytes[512], reply[GW_COOKIE_REPLY_SIZE];
    size_t size = cook(&r, bytes);

    assert(gw_cookies_init(&cookies, master, 100 * PERIOD) == 0);
    assert(gw_hello_read(bytes, size, &hello) == 0 && size >= sizeof(reply));
    assert(!gw_cookie_check(&cookies, here, sizeof(here), &hello));
    assert(gw_cookie_reply(&cookies, here, sizeof(here), &hello, reply) == 0);
    assert(reply[0] == 22 && reply[10] == 7 && reply[13] == 3 && reply[12] == sizeof(reply) - 13 && reply[27] == 32);

    r.cookie_size = 32;
    memcpy(r.cookie, reply + 28, 32);
    size = cook(&r, bytes);
    assert(gw_hello_read(bytes, size, &hello) == 0);
    assert(gw_cookie_check(&cookies, here, sizeof(here), &hello) == cookies.secrets[0]);
    assert(!gw_cookie_check(&cookies, there, sizeof(there), &hello));
    for (size_t at = 0; at < 32; at++) {            /* each byte of the cookie is compared */
        bytes[92 + 1 + at] ^= 1;
        assert(!gw_cookie_check(&cookies, here, sizeof(here), &hello));
        bytes[92 + 1 + at] ^= 1;
    }
    bytes[27] ^= 1;                                 /* another random: another hello */
    assert(!gw_cookie_check(&cookies, here, sizeof(here), &hello));
    bytes[27] ^= 1;
    assert(gw_cookies_init(&other, (const uint8_t[32]) { 2 }, 100 * PERIOD) == 0);
    assert(!gw_cookie_check(&other, here, sizeof(here), &hello));

    assert(gw_cookies_turn(&cookies, 101 * PERIOD) == 0);
    assert(gw_cookie_check(&cookies, here, sizeof(here), &hello) == cookies.secrets[1]);
    assert(gw_cookies_turn(&cookies, 102 * PERIOD) == 0);
    assert(!gw_cookie_check(&cookies, here, sizeof(here), &hello));
}

static void test_smallest_hello_is_larger_than_the_reply(void)
{
    struct recipe r = { .no_extensions = true };
    uint8_t bytes[512];
    size_t size = cook(&r, bytes);

    assert(read_copy(bytes, size) == 0 && size - 2 >= GW_COOKIE_REPLY_SIZE);    /* two suites here, one is the least */
}

int main(void)
{
    test_whole();
    test_refused();
    test_flips();
    test_kinds();
    test_contents();
    test_cookie();
    test_smallest_hello_is_larger_than_the_reply();
    puts("ok");
    return 0;
}
