/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/hello.h"

#include "cursor.h"

#include <string.h>

#define CONTENT_HANDSHAKE 22u
#define MESSAGE_CLIENT_HELLO 1u
#define VERSION_TLS_1_3 0x0304u
#define GROUP_P256 23u
#define GROUP_P384 24u
#define GROUP_P521 25u

enum extension {
    EXTENSION_SERVER_NAME = 0,
    EXTENSION_GROUPS = 10,
    EXTENSION_SIGNATURES = 13,
    EXTENSION_ALPN = 16,
    EXTENSION_EXTENDED_MASTER_SECRET = 23,
    EXTENSION_VERSIONS = 43,
    EXTENSION_KEY_SHARE = 51,
};

size_t gw_tls_hello_wanted(const uint8_t *data, size_t size)
{
    size_t record;

    if (size && data[0] != CONTENT_HANDSHAKE)
        return 0;
    if (size > 1 && data[1] != 3)
        return 0;
    if (size < GW_TLS_RECORD_HEADER)
        return GW_TLS_RECORD_HEADER;
    record = GW_TLS_RECORD_HEADER + ((size_t)data[3] << 8 | data[4]);
    if (record > GW_TLS_HELLO_MAX || (size > GW_TLS_RECORD_HEADER && data[GW_TLS_RECORD_HEADER] != MESSAGE_CLIENT_HELLO))
        return 0;
    return record;
}

/* A letter, digit, dot, hyphen or underscore: what host names consist of. The peer's bytes end up in logs. */
static int name_letter(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A' + 'a';
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' ? c : 0;
}

static void read_server_name(struct gw_cursor body, struct gw_tls_hello *hello)
{
    struct gw_cursor list = gw_cursor_sub(&body, 2);
    uint32_t kind = gw_cursor_number(&list, 1);
    size_t size;
    const uint8_t *name = gw_cursor_vector(&list, 2, &size);

    if (!name || kind || size >= sizeof(hello->server_name))
        return;
    for (size_t i = 0; i < size; i++) {
        int letter = name_letter(name[i]);

        if (!letter) {
            memset(hello->server_name, 0, sizeof(hello->server_name));
            return;
        }
        hello->server_name[i] = (char)letter;
    }
    if (size && hello->server_name[size - 1] == '.')
        hello->server_name[size - 1] = '\0';
}

/* Groups of RFC 7919. */
static bool is_finite(uint32_t group)
{
    return group >= 0x0100 && group <= 0x01ff;
}

/* Curves, ML-KEM and their hybrids; not GREASE (RFC 8701). */
static bool is_curve(uint32_t group)
{
    return (group >= 1 && group <= 41) || (group >= 0x0200 && group <= 0x0202) || (group >= 0x11eb && group <= 0x11ed);
}

static void read_groups(struct gw_cursor body, struct gw_tls_hello *hello)
{
    struct gw_cursor list = gw_cursor_sub(&body, 2);

    hello->no_curves = list.left != 0;
    while (list.left && !list.bad) {
        uint32_t group = gw_cursor_number(&list, 2);

        if (is_curve(group))
            hello->no_curves = false;
        hello->p384 |= group == GROUP_P384;
        hello->other_curves |= is_curve(group) && (group < GROUP_P256 || group > GROUP_P521);
    }
}

static void read_shares(struct gw_cursor body, struct gw_tls_hello *hello)
{
    struct gw_cursor list = gw_cursor_sub(&body, 2);

    while (list.left && !list.bad) {
        if (is_finite(gw_cursor_number(&list, 2)))
            hello->finite_share = true;
        gw_cursor_sub(&list, 2);
    }
}

static void read_versions(struct gw_cursor body, struct gw_tls_hello *hello)
{
    struct gw_cursor list = gw_cursor_sub(&body, 1);

    while (list.left && !list.bad)
        if (gw_cursor_number(&list, 2) == VERSION_TLS_1_3)
            hello->tls13 = true;
}

static void add_signature(uint32_t scheme, struct gw_tls_hello *hello)
{
    switch (scheme) {
    case 0x0401: case 0x0501: case 0x0601:
        hello->rsa_pkcs1 = true;
        break;
    case 0x0804: case 0x0805: case 0x0806:
        hello->keys |= 1u << GW_KEY_RSA;
        break;
    case 0x0403:
        hello->keys |= 1u << GW_KEY_P256;
        hello->ecdsa = true;
        break;
    case 0x0503:
        hello->keys |= 1u << GW_KEY_P384;
        hello->ecdsa = true;
        break;
    case 0x0603:
        hello->keys |= 1u << GW_KEY_P521;
        hello->ecdsa = true;
        break;
    case 0x0807:
        hello->keys |= 1u << GW_KEY_ED25519;
        break;
    default:
        break;
    }
}

static void read_signatures(struct gw_cursor body, struct gw_tls_hello *hello)
{
    struct gw_cursor list = gw_cursor_sub(&body, 2);

    hello->signatures_named = true;
    while (list.left && !list.bad)
        add_signature(gw_cursor_number(&list, 2), hello);
}

static void read_suites(struct gw_cursor list, struct gw_tls_hello *hello)
{
    while (list.left && !list.bad)
        switch (gw_cursor_number(&list, 2)) {
        case 0xc02f: case 0xc030: case 0xcca8:
            hello->ecdhe_rsa = true;
            break;
        case 0xc02b: case 0xc02c: case 0xcca9:
            hello->ecdhe_ecdsa = true;
            break;
        case 0x009e: case 0x009f: case 0xccaa:
            hello->dhe = true;
            break;
        default:
            break;
        }
}

/* RFC 8737 section 3: the list of a validation has this name alone. */
static void read_protocols(struct gw_cursor body, struct gw_tls_hello *hello)
{
    struct gw_cursor list = gw_cursor_sub(&body, 2);
    size_t size;
    const uint8_t *name = gw_cursor_vector(&list, 1, &size);

    hello->acme = name && !list.left && size == sizeof(GW_ALPN_ACME) - 1 && !memcmp(name, GW_ALPN_ACME, size);
}

static void read_extension(uint32_t type, struct gw_cursor body, struct gw_tls_hello *hello)
{
    switch (type) {
    case EXTENSION_SERVER_NAME:
        read_server_name(body, hello);
        break;
    case EXTENSION_GROUPS:
        read_groups(body, hello);
        break;
    case EXTENSION_SIGNATURES:
        read_signatures(body, hello);
        break;
    case EXTENSION_ALPN:
        read_protocols(body, hello);
        break;
    case EXTENSION_EXTENDED_MASTER_SECRET:
        hello->extended_master_secret = true;
        break;
    case EXTENSION_VERSIONS:
        read_versions(body, hello);
        break;
    case EXTENSION_KEY_SHARE:
        read_shares(body, hello);
        break;
    default:
        break;
    }
}

static bool read_body(struct gw_cursor *c, struct gw_tls_hello *hello)
{
    struct gw_cursor extensions;

    gw_cursor_take(c, 2 + 32);      /* legacy_version, random */
    gw_cursor_sub(c, 1);            /* legacy_session_id */
    read_suites(gw_cursor_sub(c, 2), hello);
    gw_cursor_sub(c, 1);            /* legacy_compression_methods */
    extensions = c->left && !c->bad ? gw_cursor_sub(c, 2) : (struct gw_cursor){ 0 };
    while (extensions.left && !extensions.bad) {
        uint32_t type = gw_cursor_number(&extensions, 2);
        struct gw_cursor body = gw_cursor_sub(&extensions, 2);

        if (!extensions.bad)
            read_extension(type, body, hello);
    }
    return !c->bad && !c->left && !extensions.bad;
}

bool gw_tls_hello_read(const uint8_t *record, size_t size, struct gw_tls_hello *hello)
{
    size_t wanted = gw_tls_hello_wanted(record, size), length;
    struct gw_cursor c = { .at = record };

    memset(hello, 0, sizeof(*hello));
    if (wanted <= GW_TLS_RECORD_HEADER || wanted > size)
        return false;
    c.left = wanted;
    gw_cursor_take(&c, GW_TLS_RECORD_HEADER + 1);
    length = gw_cursor_number(&c, 3);
    if (!c.bad && length == c.left && read_body(&c, hello))
        return true;
    memset(hello, 0, sizeof(*hello));
    return false;
}

bool gw_tls_hello_accepts(const struct gw_tls_hello *hello, enum gw_key_type type)
{
    if (hello->tls13)
        return hello->keys & 1u << type;
    if (type == GW_KEY_RSA)
        return (hello->ecdhe_rsa || hello->dhe) &&
               (!hello->signatures_named || hello->rsa_pkcs1 || hello->keys & 1u << GW_KEY_RSA);
    if (!hello->ecdhe_ecdsa || hello->no_curves)
        return false;
    return type == GW_KEY_ED25519 ? hello->keys & 1u << type : hello->ecdsa;
}

bool gw_tls_hello_needs_dhe(const struct gw_tls_hello *hello)
{
    if (hello->tls13)
        return hello->finite_share || hello->no_curves;
    return hello->dhe && (hello->no_curves || !(hello->ecdhe_rsa || hello->ecdhe_ecdsa));
}
