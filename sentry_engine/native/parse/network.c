/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "parse/network.h"

#include "ip_address.h"
#include "parse/address.h"

#define MAX_DIGITS 3 /* of a prefix length */

/* Parses [at, end): one to three digits. */
static bool parse_length(const char *at, const char *end, unsigned widest, unsigned *length)
{
    unsigned value = 0;

    if (at == end || end - at > MAX_DIGITS || (*at == '0' && end - at > 1))
        return false;
    for (; at < end; at++) {
        unsigned digit = (unsigned)(uint8_t)*at - '0';

        if (digit > 9)
            return false;
        value = 10 * value + digit;
    }
    *length = value;
    return value <= widest;
}

static bool parse_network(const char *text, size_t size, uint8_t network[16], uint8_t *length)
{
    const char *slash = memchr(text, '/', size), *end = slash ? slash : text + size;
    size_t host = (size_t)(end - text);
    bool is_ipv6 = memchr(text, ':', host) != NULL;
    unsigned bits = is_ipv6 ? 128 : 32;
    struct se_address address;

    if (memchr(text, '%', host) || !se_address_parse(text, host, network))
        return false;
    if (slash && !parse_length(slash + 1, text + size, bits, &bits))
        return false;
    bits += is_ipv6 ? 0 : SE_V4_OFFSET;
    address = se_address_load(network);
    *length = (uint8_t)bits;
    return se_address_equal(se_mask(address, bits), address);
}

bool se_networks_parse(const char *text, size_t length, uint8_t *networks, uint8_t *lengths, uint32_t count)
{
    const char *at = text, *end = text + length;

    for (uint32_t row = 0; row < count; row++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));

        if ((newline != NULL) != (row + 1 < count)) /* every line but the last ends in a newline */
            return false;
        if (!parse_network(at, (size_t)((newline ? newline : end) - at), networks + 16 * (size_t)row, lengths + row))
            return false;
        at = newline ? newline + 1 : end;
    }
    return at == end;
}
