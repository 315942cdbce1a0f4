/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * AES-GCM with wide instructions: test cases 3 and 15 of McGrew and Viega's specification, and wolfSSL's AVX2 code beside it at
 * every length and head. Linked as the gateway is, so that wolfSSL's own calls arrive in aes_gcm/aes_gcm.c. Texts end where their
 * page does, before one that cannot be touched. Where the processor has no such instructions, the calls must pass through.
 */
#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include "aes_gcm/vaes_gcm.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LONGEST 20000
#define ROOM (6 * 4096)

#ifdef __x86_64__
void __real_AES_GCM_encrypt_avx2(const uint8_t *in, uint8_t *out, const uint8_t *head, const uint8_t *nonce, uint8_t *tag,
                                 uint32_t size, uint32_t head_size, uint32_t nonce_size, uint32_t tag_size, const uint8_t *keys,
                                 int rounds);

static uint8_t *text_end, *sealed_end, *opened_end;

static uint8_t *end_of_page(void)
{
    uint8_t *pages = mmap(NULL, ROOM + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert(pages != MAP_FAILED && mprotect(pages + ROOM, 4096, PROT_NONE) == 0);
    return pages + ROOM;
}

static void fill(uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)rand();
}

/* In the place of another key, as a new key of TLS 1.3 is. */
static void set_key(Aes *aes, const uint8_t *key, size_t size)
{
    static const uint8_t former[32];

    assert(wc_AesInit(aes, NULL, INVALID_DEVID) == 0 && wc_AesGcmSetKey(aes, former, sizeof(former)) == 0);
    assert(wc_AesGcmSetKey(aes, key, (word32)size) == 0);
}

/* Given directly, so that no threshold of the calls decides. */
static void holds_the_specification(void)
{
#define HALF 0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08
    static const uint8_t key[32] = { HALF, HALF };
    static const uint8_t nonce[12] = { 0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88 };
    static const uint8_t text[64] = {
        0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf, 0xf5, 0x26, 0x9a,
        0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31, 0x8a, 0x72,
        0x1c, 0x3c, 0x0c, 0x95, 0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49, 0xa6, 0xb5, 0x25,
        0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39, 0x1a, 0xaf, 0xd2, 0x55 };
    static const struct { size_t key; uint8_t first[4], tag[16]; } cases[] = {
        { 16, { 0x42, 0x83, 0x1e, 0xc2 },
          { 0x4d, 0x5c, 0x2a, 0xf3, 0x27, 0xcd, 0x64, 0xa6, 0x2c, 0xf3, 0x5a, 0xbd, 0x2b, 0xa6, 0xfa, 0xb4 } },
        { 32, { 0x52, 0x2d, 0xc1, 0xf0 },
          { 0xb0, 0x94, 0xda, 0xc5, 0xd9, 0x34, 0x71, 0xbd, 0xec, 0x1a, 0x50, 0x22, 0x70, 0xe3, 0xcc, 0x6c } },
    };

    for (int i = 0; i < 2; i++) {
        uint8_t out[64], tag[16];
        struct gw_gcm_text job = { text, out, sizeof(text), nonce, NULL, 0 };
        Aes aes;

        set_key(&aes, key, cases[i].key);
        gw_vaes_gcm_seal(&job, (const uint8_t *)aes.key, (int)aes.rounds, (uint8_t *)aes.gcm.M0, tag);
        assert(!memcmp(out, cases[i].first, 4) && !memcmp(tag, cases[i].tag, 16));
        wc_AesFree(&aes);
    }
}

/* One text sealed and opened by wolfSSL's functions, beside its own code for narrower instructions. */
static void agrees(size_t size, size_t key_size, size_t head_size)
{
    uint8_t *text = text_end - size, *sealed = sealed_end - size, *opened = opened_end - size;
    uint8_t key[32], nonce[12], tag[16], expected[16], *narrow = malloc(size + 1), *head = malloc(head_size + 1) + 1;
    Aes aes;

    fill(key, sizeof(key));
    fill(nonce, sizeof(nonce));
    fill(head, head_size);
    fill(text, size);
    set_key(&aes, key, key_size);
    __real_AES_GCM_encrypt_avx2(text, narrow, head, nonce, expected, (uint32_t)size, (uint32_t)head_size, 12, 16,
                                (const uint8_t *)aes.key, (int)aes.rounds);
    assert(wc_AesGcmEncrypt(&aes, sealed, text, (word32)size, nonce, 12, tag, 16, head, (word32)head_size) == 0);
    assert(!memcmp(sealed, narrow, size) && !memcmp(tag, expected, 16));
    assert(wc_AesGcmDecrypt(&aes, opened, sealed, (word32)size, nonce, 12, tag, 16, head, (word32)head_size) == 0);
    assert(!memcmp(opened, text, size));
    memcpy(opened, sealed, size);
    assert(wc_AesGcmDecrypt(&aes, opened, opened, (word32)size, nonce, 12, tag, 16, head, (word32)head_size) == 0);
    assert(!memcmp(opened, text, size));
    assert(wc_AesGcmEncrypt(&aes, opened, opened, (word32)size, nonce, 12, tag, 16, head, (word32)head_size) == 0);
    assert(!memcmp(opened, sealed, size));
    if (gw_vaes_gcm_supported() && (key_size == 16 || key_size == 32) && head_size <= 16) {
        struct gw_gcm_text job = { text, opened, size, nonce, head, head_size };

        gw_vaes_gcm_seal(&job, (const uint8_t *)aes.key, (int)aes.rounds, (uint8_t *)aes.gcm.M0, tag);
        assert(!memcmp(opened, narrow, size) && !memcmp(tag, expected, 16));
        job.in = opened;
        assert(gw_vaes_gcm_open(&job, (const uint8_t *)aes.key, (int)aes.rounds, (uint8_t *)aes.gcm.M0, tag));
        assert(!memcmp(opened, text, size));
    }
    wc_AesFree(&aes);
    free(narrow);
    free(head - 1);
}

/* One bit of the tag, the head, the nonce or the text is wrong. */
static void refuses(size_t size)
{
    uint8_t key[32], nonce[12], tag[16], head[13], *sealed = sealed_end - size, *opened = opened_end - size;
    const struct { uint8_t *data; size_t bits; } parts[] = {
        { tag, 8 * sizeof(tag) }, { head, 8 * sizeof(head) }, { nonce, 8 * sizeof(nonce) }, { sealed, 8 * size },
    };
    Aes aes;

    fill(key, sizeof(key));
    fill(nonce, sizeof(nonce));
    fill(head, sizeof(head));
    set_key(&aes, key, sizeof(key));
    assert(wc_AesGcmEncrypt(&aes, sealed, text_end - size, (word32)size, nonce, 12, tag, 16, head, sizeof(head)) == 0);
    for (int i = 0; i < 4; i++)
        for (size_t bit = 0; bit < parts[i].bits; bit++) {
            parts[i].data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert(wc_AesGcmDecrypt(&aes, opened, sealed, (word32)size, nonce, 12, tag, 16, head, sizeof(head)) == AES_GCM_AUTH_E);
            parts[i].data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    assert(wc_AesGcmDecrypt(&aes, opened, sealed, (word32)size, nonce, 12, tag, 16, head, sizeof(head)) == 0);
    wc_AesFree(&aes);
}
#endif

int main(void)
{
#ifdef __x86_64__
    static const size_t keys[] = { 16, 24, 32 };

    assert(!getenv("OCSENTRY_AES") || !gw_vaes_gcm_supported());
    text_end = end_of_page();
    sealed_end = end_of_page();
    opened_end = end_of_page();
    if (gw_vaes_gcm_supported())
        holds_the_specification();
    for (size_t size = 1; size <= 1100; size++)
        agrees(size, keys[size % 3], size % 20);
    for (size_t head = 0; head <= 20; head++)
        for (size_t size = 1399; size <= 1401; size++)
            agrees(size, keys[head % 2 * 2], head);
    for (int i = 0; i < 60; i++)
        agrees(1 + (size_t)rand() % LONGEST, keys[i % 2 * 2], 5);
    for (size_t size = 16384 - 17; size <= 16384 + 17; size++)
        agrees(size, keys[size % 2 * 2], 13);
    refuses(63);
    refuses(64);
    refuses(600);
#endif
    puts("ok");
}
