/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ClientHellos over TCP: whole, cut at every length, with bytes flipped. Run under ASan and UBSan by test_programs.py; every hello
 * lies at the end of an allocation of its own, so that a read past it is seen.
 */
#include "tls/hello.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct recipe {
    const char *suites, *name, *groups, *signatures, *versions, *shares, *protocols;    /* hexadecimal; NULL: no such extension */
};

static size_t put_hex(uint8_t *out, size_t at, const char *hex)
{
    for (; *hex; hex += 2) {
        unsigned byte;

        assert(sscanf(hex, "%2x", &byte) == 1);
        out[at++] = (uint8_t)byte;
    }
    return at;
}

static void set16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* An extension whose body is a list with a length of `length_bytes`. */
static size_t put_list(uint8_t *out, size_t at, unsigned type, unsigned length_bytes, const char *hex)
{
    size_t body = at + 4 + length_bytes, end;

    if (!hex)
        return at;
    end = put_hex(out, body, hex);
    set16(out + at, type);
    set16(out + at + 2, end - at - 4);
    if (length_bytes == 2)
        set16(out + at + 4, end - body);
    else
        out[at + 4] = (uint8_t)(end - body);
    return end;
}

static size_t cook(const struct recipe *r, uint8_t *out)
{
    size_t at = 9, start, extensions;

    memset(out, 0, 64);
    set16(out + at, 0x0303);
    at += 2 + 32 + 1;               /* version, random, no session id */
    start = at;
    at = put_hex(out, at + 2, r->suites);
    set16(out + start, at - start - 2);
    out[at++] = 1;
    out[at++] = 0;
    extensions = at;
    at += 2;
    at = put_list(out, at, 0, 2, r->name);
    at = put_list(out, at, 10, 2, r->groups);
    at = put_list(out, at, 13, 2, r->signatures);
    at = put_list(out, at, 43, 1, r->versions);
    at = put_list(out, at, 51, 2, r->shares);
    at = put_list(out, at, 16, 2, r->protocols);
    set16(out + extensions, at - extensions - 2);
    memcpy(out, (const uint8_t[]) { 22, 3, 1, 0, 0, 1, 0, 0, 0 }, 9);
    set16(out + 3, at - 5);
    set16(out + 7, at - 9);
    return at;
}

static struct gw_tls_hello read_recipe(const struct recipe *r)
{
    uint8_t bytes[512], *exact;
    size_t size = cook(r, bytes);
    struct gw_tls_hello hello;

    exact = malloc(size);
    assert(exact);
    memcpy(exact, bytes, size);
    assert(gw_tls_hello_wanted(exact, size) == size);
    assert(gw_tls_hello_read(exact, size, &hello));
    free(exact);
    return hello;
}

#define GCM "c02bc02fc02cc030009e009f"
#define NAME(length, text) "00" length text

static void test_names(void)
{
    static const struct { const char *given, *read; } names[] = {
        { NAME("0005", "41422e5831"), "ab.x1" },        /* AB.X1 */
        { NAME("0003", "61622e"), "ab" },               /* the root's dot */
        { NAME("0003", "610062"), "" },                 /* NUL inside */
        { NAME("0002", "0a61"), "" },                   /* a control character */
        { NAME("0000", ""), "" },
        { "01000161", "" },                             /* another kind of name */
        { "00000961", "" },                             /* longer than it is */
        { NULL, "" },
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct gw_tls_hello hello = read_recipe(&(struct recipe){ .suites = GCM, .name = names[i].given });

        assert(!strcmp(hello.server_name, names[i].read));
    }
}

static void test_certificates(void)
{
    struct gw_tls_hello both = read_recipe(&(struct recipe){ .suites = GCM, .signatures = "040308040401", .versions = "03040303" });
    struct gw_tls_hello rsa13 = read_recipe(&(struct recipe){ .suites = "1301", .signatures = "0804", .versions = "0304" });
    struct gw_tls_hello old = read_recipe(&(struct recipe){ .suites = "c02f", .signatures = NULL });
    struct gw_tls_hello ecdsa = read_recipe(&(struct recipe){ .suites = "c02bc02f", .signatures = "0403" });
    struct gw_tls_hello edwards = read_recipe(&(struct recipe){ .suites = "c02b", .signatures = "0807" });

    assert(gw_tls_hello_accepts(&both, GW_KEY_P256) && gw_tls_hello_accepts(&both, GW_KEY_RSA));
    assert(!gw_tls_hello_accepts(&both, GW_KEY_P384) && !gw_tls_hello_accepts(&both, GW_KEY_ED25519));
    assert(gw_tls_hello_accepts(&rsa13, GW_KEY_RSA) && !gw_tls_hello_accepts(&rsa13, GW_KEY_P256));
    assert(gw_tls_hello_accepts(&old, GW_KEY_RSA) && !gw_tls_hello_accepts(&old, GW_KEY_P256));
    assert(gw_tls_hello_accepts(&ecdsa, GW_KEY_P521) && !gw_tls_hello_accepts(&ecdsa, GW_KEY_RSA));
    assert(gw_tls_hello_accepts(&edwards, GW_KEY_ED25519) && !gw_tls_hello_accepts(&edwards, GW_KEY_P256));
}

static void test_finite_fields(void)
{
    static const struct { struct recipe recipe; bool needs; } cases[] = {
        { { .suites = "009f" }, true },
        { { .suites = "c02f009f" }, false },
        { { .suites = "c02f009f", .groups = "0100" }, true },           /* no curve in the list */
        { { .suites = "c02f009f", .groups = "01000017" }, false },
        { { .suites = "c02f" }, false },                                /* nothing that could be chosen */
        { { .suites = "1301", .versions = "0304", .groups = "001d", .shares = "001d0001aa" }, false },
        { { .suites = "1301", .versions = "0304", .groups = "0100001d", .shares = "01000001aa" }, true },
        { { .suites = "1301", .versions = "0304", .groups = "0100" }, true },
        { { .suites = "1301", .versions = "0304", .groups = "11ec" }, false },  /* X25519MLKEM768 */
        { { .suites = "1301", .versions = "0304", .groups = "0a0a001d", .shares = "0a0a000100001d0001aa" }, false },    /* GREASE */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct gw_tls_hello hello = read_recipe(&cases[i].recipe);

        assert(gw_tls_hello_needs_dhe(&hello) == cases[i].needs);
    }
}

#define ACME "0a" "61636d652d746c732f31"          /* acme-tls/1 */
#define HTTP "08" "687474702f312e31"

/* RFC 8737 section 3: a validation offers its protocol alone. */
static void test_validations(void)
{
    static const struct { const char *given; bool acme; } lists[] = {
        { ACME, true }, { NULL, false }, { HTTP, false }, { ACME HTTP, false }, { HTTP ACME, false },
        { "09" "61636d652d746c732f", false },           /* one letter less */
        { "0b" "61636d652d746c732f31", false },         /* longer than it is */
        { "", false },
    };

    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
        assert(read_recipe(&(struct recipe){ .suites = GCM, .protocols = lists[i].given }).acme == lists[i].acme);
}

static const struct recipe full = {
    .suites = GCM, .name = NAME("0003", "612e62"), .groups = "001d0017", .signatures = "04030804", .versions = "03040303",
    .shares = "001d0001aa", .protocols = ACME,
};

static void test_cuts(void)
{
    uint8_t bytes[512];
    size_t size = cook(&full, bytes);
    struct gw_tls_hello hello;

    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *exact = malloc(cut ? cut : 1);

        assert(exact);
        memcpy(exact, bytes, cut);
        assert(gw_tls_hello_wanted(exact, cut) == (cut < GW_TLS_RECORD_HEADER ? GW_TLS_RECORD_HEADER : size));
        assert(!gw_tls_hello_read(exact, cut, &hello));
        assert(!hello.server_name[0] && !hello.keys && !hello.tls13 && !hello.acme);
        free(exact);
    }
}

static void test_flips(void)
{
    uint8_t bytes[512], changed[512];
    size_t size = cook(&full, bytes);
    struct gw_tls_hello hello;

    for (size_t at = 0; at < size; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(changed, bytes, size);
            changed[at] ^= (uint8_t)(1u << bit);
            gw_tls_hello_read(changed, size, &hello);
            assert(memchr(hello.server_name, 0, sizeof(hello.server_name)));
        }
}

static void test_what_is_no_hello(void)
{
    assert(gw_tls_hello_wanted((const uint8_t *)"GET / ", 6) == 0);
    assert(gw_tls_hello_wanted((const uint8_t *)"\x16\x02", 2) == 0);
    assert(gw_tls_hello_wanted((const uint8_t *)"\x16\x03\x01\x40\x01", 5) == 0);    /* beyond the largest record */
    assert(gw_tls_hello_wanted((const uint8_t *)"\x16\x03\x01\x40\x00\x02", 6) == 0);    /* a ServerHello */
    assert(gw_tls_hello_wanted((const uint8_t *)"\x16\x03\x01\x40\x00\x01", 6) == GW_TLS_HELLO_MAX);
    assert(gw_tls_hello_wanted((const uint8_t *)"", 0) == GW_TLS_RECORD_HEADER);
}

int main(void)
{
    test_names();
    test_certificates();
    test_finite_fields();
    test_validations();
    test_cuts();
    test_flips();
    test_what_is_no_hello();
    puts("ok");
    return 0;
}
