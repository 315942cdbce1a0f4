/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * GHASH works on blocks in reverse byte order, with products that are not shifted back by one bit: the hash key carries that
 * bit instead (Gueron and Kounavis, "Intel Carry-Less Multiplication Instruction and its Usage for Computing the GCM Mode").
 * Sixteen blocks are multiplied by sixteen powers of the key and reduced once.
 */
#include "aes_gcm/vaes_gcm.h"

#ifdef __x86_64__

#include <cpuid.h>
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#define WIDE __attribute__((target("avx512f,avx512bw,avx512vl,aes,pclmul,vaes,vpclmulqdq")))
#define INLINE static inline __attribute__((always_inline)) WIDE
#define ONE_OF static __attribute__((noinline)) WIDE
#define BLOCK 16
#define VECTOR 64                   /* four blocks */
#define STRIDE (4 * VECTOR)

/* A product before its reduction: low, middle and high part, which overlap by half. */
struct product {
    __m512i low, middle, high;
};

struct hash {
    __m128i sum, key;
    const uint8_t *powers;          /* of the key, from the 16th down to the first: a load for N blocks starts at 16 - N */
};

INLINE __m512i all(__m128i block)
{
    return _mm512_broadcast_i32x4(block);
}

INLINE __m128i reversed(__m128i block)
{
    return _mm_shuffle_epi8(block, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

INLINE __m512i all_reversed(__m512i blocks)
{
    return _mm512_shuffle_epi8(blocks, all(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
}

INLINE __m512i xor3(__m512i a, __m512i b, __m512i c)
{
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

INLINE void add_product(struct product *sum, __m512i a, __m512i b)
{
    sum->low = _mm512_xor_si512(sum->low, _mm512_clmulepi64_epi128(a, b, 0x00));
    sum->middle = xor3(sum->middle, _mm512_clmulepi64_epi128(a, b, 0x01), _mm512_clmulepi64_epi128(a, b, 0x10));
    sum->high = _mm512_xor_si512(sum->high, _mm512_clmulepi64_epi128(a, b, 0x11));
}

/* Folds the low half twice into what is above it, by the field's polynomial. */
INLINE __m512i reduce(const struct product *sum)
{
    const __m512i polynomial = all(_mm_set_epi64x((long long)0xc200000000000000, 1));
    __m512i middle = xor3(sum->middle, _mm512_shuffle_epi32(sum->low, 0x4e), _mm512_clmulepi64_epi128(polynomial, sum->low, 0x01));

    return xor3(sum->high, _mm512_shuffle_epi32(middle, 0x4e), _mm512_clmulepi64_epi128(polynomial, middle, 0x01));
}

INLINE __m512i multiply(__m512i a, __m512i b)
{
    struct product product = { 0 };

    add_product(&product, a, b);
    return reduce(&product);
}

INLINE __m128i multiply_one(__m128i a, __m128i b)
{
    return _mm512_castsi512_si128(multiply(_mm512_castsi128_si512(a), _mm512_castsi128_si512(b)));
}

INLINE __m128i fold(__m512i blocks)
{
    __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(blocks), _mm512_extracti64x4_epi64(blocks, 1));

    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

INLINE __m512i encrypt(__m512i blocks, const uint8_t *keys, const int rounds)
{
    blocks = _mm512_xor_si512(blocks, all(_mm_loadu_si128((const __m128i *)keys)));
#pragma GCC unroll 16
    for (int i = 1; i < rounds; i++)
        blocks = _mm512_aesenc_epi128(blocks, all(_mm_loadu_si128((const __m128i *)(keys + i * BLOCK))));
    return _mm512_aesenclast_epi128(blocks, all(_mm_loadu_si128((const __m128i *)(keys + rounds * BLOCK))));
}

WIDE void gw_vaes_gcm_prepare(const uint8_t *keys, int rounds, uint8_t powers[GW_VAES_GCM_POWERS])
{
    __m128i key = reversed(_mm512_castsi512_si128(encrypt(_mm512_setzero_si512(), keys, rounds))), carry, second;
    __m512i first, last, fourth, eighth;

    carry = _mm_srai_epi32(_mm_shuffle_epi32(key, 0xd3), 31);
    carry = _mm_and_si128(carry, _mm_set_epi32((int)0xc2000000, 1, 0, 1));
    key = _mm_xor_si128(_mm_add_epi64(key, key), carry);
    second = multiply_one(key, key);
    first = _mm512_inserti32x4(_mm512_castsi128_si512(second), key, 1);                                 /* 2, 1 */
    last = _mm512_inserti64x4(multiply(first, all(second)), _mm512_castsi512_si256(first), 1);          /* 4, 3, 2, 1 */
    fourth = all(_mm512_castsi512_si128(last));
    first = multiply(last, fourth);                                                                     /* 8, 7, 6, 5 */
    eighth = all(_mm512_castsi512_si128(first));
    _mm512_storeu_si512(powers, multiply(first, eighth));
    _mm512_storeu_si512(powers + VECTOR, multiply(last, eighth));
    _mm512_storeu_si512(powers + 2 * VECTOR, first);
    _mm512_storeu_si512(powers + 3 * VECTOR, last);
}

INLINE void start_hash(struct hash *hash, const uint8_t *powers, const struct gw_gcm_text *text)
{
    __m128i head = _mm_maskz_loadu_epi8((__mmask16)((1u << text->head_size) - 1), text->head);

    hash->powers = powers;
    hash->key = _mm_loadu_si128((const __m128i *)(powers + 15 * BLOCK));
    hash->sum = multiply_one(reversed(head), hash->key);
}

/* Of up to sixteen blocks, of which zeros follow those that are THERE, the vector I. The first, which the sum goes to, is added
 * last: only its product waits for the blocks before. */
INLINE void add_vector(struct hash *hash, struct product *product, __m512i blocks, size_t there, const int i)
{
    blocks = all_reversed(blocks);
    if (!i)
        blocks = _mm512_xor_si512(blocks, _mm512_zextsi128_si512(hash->sum));
    add_product(product, blocks, _mm512_loadu_si512(hash->powers + (16 - there) * BLOCK + i * VECTOR));
}

INLINE void add_blocks(struct hash *hash, const __m512i *blocks, size_t there)
{
    struct product product = { 0 };

#pragma GCC unroll 4
    for (int i = 3; i >= 0; i--)
        add_vector(hash, &product, blocks[i], there, i);
    hash->sum = fold(reduce(&product));
}

/* Sixteen blocks of the key stream. The HASHED blocks, if any, are added to the hash between the rounds: the two need
 * different units of the processor, and it does not look far enough ahead to use both by itself. */
INLINE void make_stream(__m512i *blocks, __m512i *counter, const uint8_t *keys, const int rounds, struct hash *hash,
                        const __m512i *hashed, size_t there)
{
    struct product product = { 0 };

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        blocks[i] = _mm512_xor_si512(all_reversed(*counter), all(_mm_loadu_si128((const __m128i *)keys)));
        *counter = _mm512_add_epi32(*counter, all(_mm_set_epi32(0, 0, 0, 4)));
    }
#pragma GCC unroll 16
    for (int round = 1; round < rounds; round++) {
        __m512i key = all(_mm_loadu_si128((const __m128i *)(keys + round * BLOCK)));

#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            blocks[i] = _mm512_aesenc_epi128(blocks[i], key);
        if (hashed && round % 2 == 1 && round < 8)
            add_vector(hash, &product, hashed[3 - round / 2], there, 3 - round / 2);
    }
    if (hashed)
        hash->sum = fold(reduce(&product));
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        blocks[i] = _mm512_aesenclast_epi128(blocks[i], all(_mm_loadu_si128((const __m128i *)(keys + rounds * BLOCK))));
}

/* Which bytes of vector I are there, of SIZE that are left. */
INLINE __mmask64 present(size_t size, int i)
{
    size_t before = (size_t)i * VECTOR;

    return size <= before ? 0 : size - before >= VECTOR ? ~(__mmask64)0 : ~(__mmask64)0 >> (VECTOR - (size - before));
}

INLINE void crypt_text(const struct gw_gcm_text *text, __m512i counter, const uint8_t *keys, const int rounds, const bool seal,
                       struct hash *hash)
{
    __m512i stream[4], hashed[4];
    size_t at = 0, left;

    for (; text->size - at >= STRIDE; at += STRIDE) {
        if (!seal)
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                hashed[i] = _mm512_loadu_si512(text->in + at + i * VECTOR);
        if (seal && !at)
            make_stream(stream, &counter, keys, rounds, hash, NULL, 0);
        else
            make_stream(stream, &counter, keys, rounds, hash, hashed, 16);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            __m512i in = seal ? _mm512_loadu_si512(text->in + at + i * VECTOR) : hashed[i];

            stream[i] = _mm512_xor_si512(stream[i], in);
            if (seal)
                hashed[i] = stream[i];
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            _mm512_storeu_si512(text->out + at + i * VECTOR, stream[i]);
    }
    left = text->size - at;
    if (seal && at && left)
        make_stream(stream, &counter, keys, rounds, hash, hashed, 16);
    else if (left)
        make_stream(stream, &counter, keys, rounds, hash, NULL, 0);
    if (left) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            __m512i in = _mm512_maskz_loadu_epi8(present(left, i), text->in + at + i * VECTOR);

            stream[i] = _mm512_maskz_mov_epi8(present(left, i), _mm512_xor_si512(stream[i], in));
            hashed[i] = seal ? stream[i] : in;
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            _mm512_mask_storeu_epi8(text->out + at + i * VECTOR, present(left, i), stream[i]);
    }
    if (left || (seal && at))
        add_blocks(hash, hashed, left ? (left + BLOCK - 1) / BLOCK : 16);
}

INLINE void crypt(const struct gw_gcm_text *text, const uint8_t *keys, const int rounds, const uint8_t *powers, const bool seal,
                  uint8_t *tag)
{
    struct hash hash;
    __m128i nonce = _mm_maskz_loadu_epi8(0xfff, text->nonce), lengths, mask;
    /* Counters in the order of the processor: block 1 is for the tag, the text starts with 2 (section 7.1). */
    __m512i counter = _mm512_add_epi32(all(reversed(nonce)), _mm512_set_epi32(0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2));

    start_hash(&hash, powers, text);
    mask = _mm512_castsi512_si128(encrypt(_mm512_castsi128_si512(_mm_insert_epi32(nonce, 1 << 24, 3)), keys, rounds));
    crypt_text(text, counter, keys, rounds, seal, &hash);
    lengths = _mm_set_epi64x((long long)text->head_size * 8, (long long)text->size * 8);
    hash.sum = multiply_one(_mm_xor_si128(hash.sum, lengths), hash.key);
    _mm_storeu_si128((__m128i *)tag, _mm_xor_si128(reversed(hash.sum), mask));
}

ONE_OF void seal_10(const struct gw_gcm_text *text, const uint8_t *keys, const uint8_t *powers, uint8_t *tag)
{
    crypt(text, keys, 10, powers, true, tag);
}

ONE_OF void seal_14(const struct gw_gcm_text *text, const uint8_t *keys, const uint8_t *powers, uint8_t *tag)
{
    crypt(text, keys, 14, powers, true, tag);
}

ONE_OF void open_10(const struct gw_gcm_text *text, const uint8_t *keys, const uint8_t *powers, uint8_t *tag)
{
    crypt(text, keys, 10, powers, false, tag);
}

ONE_OF void open_14(const struct gw_gcm_text *text, const uint8_t *keys, const uint8_t *powers, uint8_t *tag)
{
    crypt(text, keys, 14, powers, false, tag);
}

static bool supported;

/* Once: the instruction costs microseconds in a virtual machine. The first two include that the system saves such registers.
 * OCSENTRY_AES=wolfssl in the environment leaves all records to the library. */
static __attribute__((constructor)) void ask_processor(void)
{
    const char *wanted = secure_getenv("OCSENTRY_AES");
    unsigned a, b, c, d;

    if (wanted && !strcmp(wanted, "wolfssl"))
        return;
    __builtin_cpu_init();
    supported = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_VAES) && (c & bit_VPCLMULQDQ);
}

bool gw_vaes_gcm_supported(void)
{
    return supported;
}

void gw_vaes_gcm_seal(const struct gw_gcm_text *text, const uint8_t *keys, int rounds, const uint8_t *powers, uint8_t tag[16])
{
    (rounds == 10 ? seal_10 : seal_14)(text, keys, powers, tag);
}

bool gw_vaes_gcm_open(const struct gw_gcm_text *text, const uint8_t *keys, int rounds, const uint8_t *powers,
                      const uint8_t tag[16])
{
    uint8_t right[BLOCK], differ = 0;

    (rounds == 10 ? open_10 : open_14)(text, keys, powers, right);
    for (int i = 0; i < BLOCK; i++)
        differ |= right[i] ^ tag[i];
    return !differ;
}

#endif
