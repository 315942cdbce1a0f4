/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "parse/address.h"

#include "parse/ipv4.h"

#include <string.h>

#define WORDS 8u          /* of 16 bits in an IPv6 address */
#define NO_GAP UINT32_MAX

static const uint8_t V4_MAPPED[12] = {[10] = 0xff, [11] = 0xff};

/* The value of a hexadecimal digit plus one; 0: no digit. */
static const uint8_t HEX_DIGITS[256] = {
    ['0'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ['A'] = 11, 12, 13, 14, 15, 16, ['a'] = 11, 12, 13, 14, 15, 16,
};

/* Parses one to four hexadecimal digits and moves `at` behind them. Most words have four. */
static bool parse_word(const char **at, const char *end, uint8_t out[2])
{
    const uint8_t *text = (const uint8_t *)*at;
    size_t length = (size_t)(end - *at), digits = 0;
    unsigned value = 0, digit;

    if (length >= 4) {
        unsigned a = HEX_DIGITS[text[0]], b = HEX_DIGITS[text[1]], c = HEX_DIGITS[text[2]], d = HEX_DIGITS[text[3]];

        if (a && b && c && d) {
            out[0] = (uint8_t)((a - 1) << 4 | (b - 1));
            out[1] = (uint8_t)((c - 1) << 4 | (d - 1));
            *at += 4;
            return true; /* the caller requires a colon next, so it refuses a fifth digit */
        }
    }
    for (; digits < length && digits < 4 && (digit = HEX_DIGITS[text[digits]]) != 0; digits++)
        value = value << 4 | (digit - 1);
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    *at += digits;
    return digits > 0;
}

/* Moves the words behind the gap to the end and fills the gap with zeros. */
static void fill_gap(uint8_t address[16], unsigned gap, unsigned words)
{
    unsigned behind = words - gap;

    memmove(address + 16 - 2 * behind, address + 2 * gap, 2 * behind);
    memset(address + 2 * gap, 0, 2 * (WORDS - words));
}

static bool parse6(const char *at, const char *end, uint8_t address[16])
{
    unsigned words = 0, gap = NO_GAP;

    if (end - at >= 2 && at[0] == ':' && at[1] == ':') {
        gap = 0;
        at += 2;
    }
    while (at < end) {
        const char *begin = at;

        if (words == WORDS || !parse_word(&at, end, address + 2 * words))
            return false;
        if (at < end && *at == '.') { /* the last 32 bits as IPv4, from where this word began */
            if (words > WORDS - 2 || !se_ipv4_parse(begin, (size_t)(end - begin), address + 2 * words))
                return false;
            words += 2;
            break;
        }
        words++;
        if (at == end)
            break;
        if (*at++ != ':' || at == end)
            return false;
        if (*at == ':') {
            if (gap != NO_GAP)
                return false;
            gap = words;
            at++;
        }
    }
    if (gap == NO_GAP)
        return words == WORDS;
    if (words == WORDS) /* the gap stands for at least one word */
        return false;
    fill_gap(address, gap, words);
    return true;
}

/* The first colon of an IPv6 address follows at most four digits. */
static bool has_early_colon(const char *text, size_t length)
{
    uint64_t no_colon;

    if (length >= sizeof no_colon) {
        memcpy(&no_colon, text, sizeof no_colon);
        no_colon ^= UINT64_C(0x3a3a3a3a3a3a3a3a);
        return ((no_colon - UINT64_C(0x0101010101010101)) & ~no_colon & UINT64_C(0x8080808080)) != 0;
    }
    for (size_t i = 0; i < 5 && i < length; i++) {
        if (text[i] == ':')
            return true;
    }
    return false;
}

bool se_address_parse(const char *text, size_t length, uint8_t address[16])
{
    const char *zone;

    if (length > SE_MAX_ADDRESS_TEXT)
        return false;
    if (!has_early_colon(text, length)) {
        memcpy(address, V4_MAPPED, sizeof V4_MAPPED);
        return se_ipv4_parse(text, length, address + sizeof V4_MAPPED);
    }
    if (parse6(text, text + length, address))
        return true;
    zone = memchr(text, '%', length);
    return zone && parse6(text, zone, address);
}
