/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "parse/ipv4.h"

#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define SHORTEST 7u /* "1.1.1.1" */
#define LONGEST 15u

/* Characters as two numbers, the first one in the lowest byte. */
struct text {
    uint64_t low, high;
};

/* Requires a length of SHORTEST to LONGEST. */
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

bool se_ipv4_parse_portably(const char *at, size_t length, uint8_t address[4])
{
    size_t left = length;
    unsigned lengths[4];
    uint32_t begins[4];
    uint64_t first, second;
    struct text text;

    if (left < SHORTEST || left > LONGEST)
        return false;
    text = load_text(at, left);
    for (unsigned part = 0; part < 3; part++) {
        uint32_t begin = (uint32_t)text.low, no_dot = begin ^ 0x2e2e2e2e, dots = (no_dot - 0x01010101) & ~no_dot & 0x80808080;
        unsigned digits = (unsigned)__builtin_ctz(dots | 0x80000000) / 8, passed = 8 * digits + 8;

        if (!dots || !digits)
            return false;
        begins[part] = begin;
        lengths[part] = digits;
        text.low = text.low >> passed | text.high << (64 - passed);
        text.high >>= passed;
        left -= digits + 1;
    }
    if (left - 1 > 2)
        return false;
    begins[3] = (uint32_t)text.low;
    lengths[3] = (unsigned)left;
    first = parse_parts(begins, lengths);
    second = parse_parts(begins + 2, lengths + 2);
    address[0] = (uint8_t)first;
    address[1] = (uint8_t)(first >> 32);
    address[2] = (uint8_t)second;
    address[3] = (uint8_t)(second >> 32);
    return !((first | second) & TWO(0xffffff00));
}

#ifdef __x86_64__

/*
 * Where the digits of each part are, by the lengths of the parts: 4 bytes a part, for its hundreds, tens and units. And the least
 * value of a part of that length: a lower one has a leading zero.
 */
struct places {
    uint8_t digits[16], least[16];
};

#define NONE 0x80 /* reads as 0 */
#define DIGITS(begin, length) \
    (length) > 2 ? (begin) : NONE, (length) > 1 ? (begin) + (length)-2 : NONE, (begin) + (length)-1, NONE
#define LEAST(length) (length) > 2 ? 100 : (length) > 1 ? 10 : 0, 0, 0, 0
#define PARTS(a, b, c, d) \
    {{DIGITS(0, a), DIGITS((a) + 1, b), DIGITS((a) + (b) + 2, c), DIGITS((a) + (b) + (c) + 3, d)}, {LEAST(a), LEAST(b), LEAST(c), LEAST(d)}}
#define LAST(a, b, c) PARTS(a, b, c, 1), PARTS(a, b, c, 2), PARTS(a, b, c, 3)
#define LAST_TWO(a, b) LAST(a, b, 1), LAST(a, b, 2), LAST(a, b, 3)
#define LAST_THREE(a) LAST_TWO(a, 1), LAST_TWO(a, 2), LAST_TWO(a, 3)

static const struct places PLACES[81] = {LAST_THREE(1), LAST_THREE(2), LAST_THREE(3)};

/* Returns true if one of the 32-bit `values` is above `most`, or below its `least`. */
static inline __m128i out_of_range(__m128i values, __m128i least)
{
    return _mm_or_si128(_mm_cmpgt_epi32(values, _mm_set1_epi32(255)), _mm_cmplt_epi32(values, least));
}

static __attribute__((target("ssse3"))) bool parse_ssse3(const char *at, size_t length, uint8_t address[4])
{
    const __m128i weights = _mm_set1_epi32(0x00010a64); /* 100, 10, 1 */
    struct text text = load_text(at, length);
    __m128i characters = _mm_set_epi64x((long long)text.high, (long long)text.low), digits, values, wrong;
    unsigned dots = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(characters, _mm_set1_epi8('.'))) | 1u << 16;
    unsigned a, b, c, d, packed;
    const struct places *places;

    /* Each a length minus 1, and too long without a dot. */
    a = (unsigned)__builtin_ctz(dots) - 1;
    dots &= dots - 1;
    b = (unsigned)__builtin_ctz(dots | 1u << 16) - a - 3;
    dots &= dots - 1;
    c = (unsigned)__builtin_ctz(dots | 1u << 16) - a - b - 5;
    d = (unsigned)length - a - b - c - 7;
    if ((a > 2) | (b > 2) | (c > 2) | (d > 2))
        return false;
    places = &PLACES[27 * a + 9 * b + 3 * c + d];
    digits = _mm_shuffle_epi8(_mm_sub_epi8(characters, _mm_set1_epi8('0')), _mm_loadu_si128((const __m128i *)places->digits));
    values = _mm_madd_epi16(_mm_maddubs_epi16(digits, weights), _mm_set1_epi16(1));
    wrong = out_of_range(values, _mm_loadu_si128((const __m128i *)places->least));
    wrong = _mm_or_si128(wrong, _mm_subs_epu8(digits, _mm_set1_epi8(9)));
    values = _mm_packs_epi32(values, values);
    packed = (unsigned)_mm_cvtsi128_si32(_mm_packus_epi16(values, values));
    memcpy(address, &packed, sizeof packed);
    return _mm_movemask_epi8(_mm_cmpeq_epi8(wrong, _mm_setzero_si128())) == 0xffff;
}

#endif

bool se_ipv4_parse(const char *text, size_t length, uint8_t address[4])
{
    if (length < SHORTEST || length > LONGEST)
        return false;
#ifdef __x86_64__
    if (__builtin_cpu_supports("ssse3"))
        return parse_ssse3(text, length, address);
#endif
    return se_ipv4_parse_portably(text, length, address);
}
