/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "parse/address.h"

#include <string.h>

#define WORDS 8u          /* of 16 bits in an IPv6 address */
#define NO_GAP UINT32_MAX

static const uint8_t V4_MAPPED[12] = {[10] = 0xff, [11] = 0xff};

#define SHORTEST4 7u /* "1.1.1.1" */
#define LONGEST4 15u

/* Characters as two numbers, the first one in the lowest byte. */
struct text {
    uint64_t low, high;
};

/* Requires a length of SHORTEST4 to LONGEST4. */
static struct text load_text(const char *at, size_t length)
{
    struct text text = {0};

    if (length >= 8) {
        memcpy(&text.low, at, 8);
        memcpy(&text.high, at + length - 8, 8);
        text.high = text.high >> (8 * (15 - length)) >> 8;
    } else {
        uint32_t first, last;
        memcpy(&first, at, 4);
        memcpy(&last, at + 3, 4);
        text.low = first | (uint64_t)last << 24;
    }
    return text;
}

#define TWO(word) (UINT64_C(word) << 32 | (word)) /* the same in both halves */

/*
 * The values of two parts, each of 1 to 3 characters, in the low bytes of the halves. Other bits are set if a part is none: for what
 * is no digit, for a number above 255, and for a leading zero (octal to some, decimal to others).
 */
static uint64_t parse_parts(const uint32_t begins[2], const unsigned lengths[2])
{
    static const uint8_t least[4] = {0, 0, 10, 100};
    uint64_t text = (uint64_t)(begins[1] << (32 - 8 * lengths[1])) << 32 | begins[0] << (32 - 8 * lengths[0]);
    uint64_t zeros = (uint64_t)(0x30303030u << (32 - 8 * lengths[1])) << 32 | 0x30303030u << (32 - 8 * lengths[0]);
    uint64_t digits = text ^ zeros; /* of each half the highest byte is the last one */
    uint64_t values = (digits >> 8 & TWO(0xff)) * 100 + (digits >> 16 & TWO(0xff)) * 10 + (digits >> 24 & TWO(0xff));
    uint64_t no_digits = ((digits + TWO(0x76767676)) | digits) & TWO(0x80808080);
    uint64_t above = values - ((uint64_t)least[lengths[1]] << 32 | least[lengths[0]]);

    return values | (above & TWO(0xffffff00)) | no_digits; /* the lowest byte of a half is no digit of it, and 0 */
}

/* Parses four decimal parts without a branch for each character: the lengths of the parts cannot be foreseen. */
static bool parse4(const char *at, const char *end, uint8_t out[4])
{
    size_t left = (size_t)(end - at);
    unsigned lengths[4];
    uint32_t begins[4];
    uint64_t first, second;
    struct text text;

    if (left < SHORTEST4 || left > LONGEST4)
        return false;
    text = load_text(at, left);
    for (unsigned part = 0; part < 3; part++) {
        uint32_t begin = (uint32_t)text.low, no_dot = begin ^ 0x2e2e2e2e, dots = (no_dot - 0x01010101) & ~no_dot & 0x80808080;
        unsigned length = (unsigned)__builtin_ctz(dots | 0x80000000) / 8, passed = 8 * length + 8;

        if (!dots || !length)
            return false;
        begins[part] = begin;
        lengths[part] = length;
        text.low = text.low >> passed | text.high << (64 - passed);
        text.high >>= passed;
        left -= length + 1;
    }
    if (left - 1 > 2)
        return false;
    begins[3] = (uint32_t)text.low;
    lengths[3] = (unsigned)left;
    first = parse_parts(begins, lengths);
    second = parse_parts(begins + 2, lengths + 2);
    out[0] = (uint8_t)first;
    out[1] = (uint8_t)(first >> 32);
    out[2] = (uint8_t)second;
    out[3] = (uint8_t)(second >> 32);
    return !((first | second) & TWO(0xffffff00));
}

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
            if (words > WORDS - 2 || !parse4(begin, end, address + 2 * words))
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
        return parse4(text, text + length, address + sizeof V4_MAPPED);
    }
    if (parse6(text, text + length, address))
        return true;
    zone = memchr(text, '%', length);
    return zone && parse6(text, zone, address);
}
