/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dtls/hello.h"

#include "cursor.h"

#include <errno.h>
#include <string.h>

#define MESSAGE_CLIENT_HELLO 1u
#define EXTENSION_PRE_SHARED_KEY 41u
#define EXTENSION_SUPPORTED_VERSIONS 43u
#define VERSION_DTLS_1_3 0xfefcu

static bool is_dtls_1_x(const uint8_t *version)
{
    return version[0] == 0xfe && (version[1] == 0xff || version[1] == 0xfd);
}

/* The header of encrypted DTLS 1.3 records: 001CSLEE (RFC 9147 section 4). */
static bool is_unified_header(uint8_t first)
{
    return (first & 0xe0u) == 0x20u;
}

enum gw_dtls_kind gw_dtls_classify(const uint8_t *datagram, size_t size)
{
    if (!size)
        return GW_DTLS_GARBAGE;
    if (is_unified_header(datagram[0]))
        return GW_DTLS_SEALED;
    if (size <= GW_DTLS_RECORD_HEADER || datagram[0] < GW_DTLS_CHANGE_CIPHER_SPEC ||
        datagram[0] > GW_DTLS_APPLICATION_DATA || !is_dtls_1_x(datagram + 1))
        return GW_DTLS_GARBAGE;
    if (datagram[3] || datagram[4])
        return GW_DTLS_SEALED;
    if (datagram[0] == GW_DTLS_APPLICATION_DATA)
        return GW_DTLS_GARBAGE;         /* never sent unencrypted */
    if (datagram[0] == GW_DTLS_HANDSHAKE && datagram[GW_DTLS_RECORD_HEADER] == MESSAGE_CLIENT_HELLO)
        return GW_DTLS_HELLO;
    return GW_DTLS_CLEAR;
}

enum gw_dtls_content gw_dtls_look_into(const uint8_t *datagram, size_t size)
{
    size_t at = 0;

    while (size - at > GW_DTLS_RECORD_HEADER) {
        size_t record = GW_DTLS_RECORD_HEADER + ((size_t)datagram[at + 11] << 8 | datagram[at + 12]);

        if (datagram[at] == GW_DTLS_APPLICATION_DATA)
            return record == size ? GW_DTLS_ONE_OF_DATA : GW_DTLS_ANYTHING;
        if ((datagram[at] != GW_DTLS_HANDSHAKE && datagram[at] != GW_DTLS_CHANGE_CIPHER_SPEC) || record > size - at)
            return GW_DTLS_ANYTHING;
        at += record;
    }
    return at && at == size ? GW_DTLS_FLIGHT : GW_DTLS_ANYTHING;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    uint8_t any = 0;

    for (size_t i = 0; i < size; i++)
        any = (uint8_t)(any | bytes[i]);
    return !any;
}

static bool offers_dtls13(struct gw_cursor versions)
{
    size_t size;
    const uint8_t *list = gw_cursor_vector(&versions, 1, &size);

    for (size_t i = 0; list && i + 1 < size; i += 2)
        if ((uint32_t)(list[i] << 8 | list[i + 1]) == VERSION_DTLS_1_3)
            return true;
    return false;
}

static void read_app_id(struct gw_cursor body, struct gw_hello *hello)
{
    /* An opaque<0..255>; accepted without the length byte, too. */
    if (body.left == GW_DTLS_NAME_SIZE + 1 && body.at[0] == GW_DTLS_NAME_SIZE)
        gw_cursor_take(&body, 1);
    if (body.left == GW_DTLS_NAME_SIZE)
        hello->app_id = body.at;
}

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A DTLS 1.3 ClientHello has no session id (RFC 9147 section 5.3): the PSK identity is the name. */
static void read_identity(struct gw_cursor body, struct gw_hello *hello)
{
    struct gw_cursor list = gw_cursor_sub(&body, 2);
    const uint8_t *text;
    size_t size;

    text = gw_cursor_vector(&list, 2, &size);
    if (!text || size != 2 * GW_DTLS_NAME_SIZE)
        return;
    for (unsigned i = 0; i < GW_DTLS_NAME_SIZE; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return;
        hello->identity[i] = (uint8_t)(high << 4 | low);
    }
    hello->has_identity = true;
}

static void read_extensions(struct gw_cursor *c, struct gw_hello *hello)
{
    struct gw_cursor list = gw_cursor_sub(c, 2);

    while (list.left && !c->bad) {
        uint32_t type = gw_cursor_number(&list, 2);
        struct gw_cursor body = gw_cursor_sub(&list, 2);

        if (list.bad)
            c->bad = true;
        else if (type == EXTENSION_SUPPORTED_VERSIONS)
            hello->dtls13 = offers_dtls13(body);
        else if (type == GW_DTLS_APP_ID_EXTENSION)
            read_app_id(body, hello);
        else if (type == EXTENSION_PRE_SHARED_KEY) {
            hello->psk = true;
            read_identity(body, hello);
        }
    }
}

static void read_body(struct gw_cursor *c, struct gw_hello *hello)
{
    hello->version = gw_cursor_take(c, 2);
    hello->random = gw_cursor_take(c, GW_DTLS_RANDOM_SIZE);
    hello->session_id = gw_cursor_vector(c, 1, &hello->session_id_size);
    hello->cookie = gw_cursor_vector(c, 1, &hello->cookie_size);
    hello->suites = gw_cursor_vector(c, 2, &hello->suites_size);
    hello->compression = gw_cursor_vector(c, 1, &hello->compression_size);
    if (c->left && !c->bad)
        read_extensions(c, hello);
}

int gw_hello_read(const uint8_t *datagram, size_t size, struct gw_hello *hello)
{
    struct gw_cursor c = { .at = datagram, .left = size };
    uint32_t record, length, offset, fragment;
    const uint8_t *header;

    memset(hello, 0, sizeof(*hello));
    if (gw_dtls_classify(datagram, size) != GW_DTLS_HELLO)
        return -EPROTO;
    header = gw_cursor_take(&c, GW_DTLS_RECORD_HEADER - 2);
    memcpy(hello->sequence, header + 5, sizeof(hello->sequence));
    record = gw_cursor_number(&c, 2);
    if (record != c.left)
        return -EPROTO;
    gw_cursor_take(&c, 1);
    length = gw_cursor_number(&c, 3);
    hello->message = (uint16_t)gw_cursor_number(&c, 2);
    offset = gw_cursor_number(&c, 3);
    fragment = gw_cursor_number(&c, 3);
    if (c.bad || offset || fragment != length || length != c.left)
        return -EPROTO;
    read_body(&c, hello);
    if (c.bad || c.left || !is_dtls_1_x(hello->version) || hello->session_id_size > GW_DTLS_NAME_SIZE ||
        !hello->suites_size || hello->suites_size % 2 || !hello->compression_size || all_zero(hello->random, GW_DTLS_RANDOM_SIZE))
        return -EPROTO;
    return 0;
}

const uint8_t *gw_hello_name(const struct gw_hello *hello)
{
    if (hello->app_id)
        return hello->app_id;
    if (hello->session_id_size == GW_DTLS_NAME_SIZE)
        return hello->session_id;
    return hello->has_identity ? hello->identity : NULL;
}
