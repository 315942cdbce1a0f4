/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Where wolfSSL would use its AVX2 code for AES-GCM, and the processor has wider instructions, these are used. The linker
 * (--wrap, aes_gcm.wrap) leads calls here, so that the library stays as it was released. A FIPS module keeps its own.
 *
 * The powers of a hash key are kept in the table that wolfSSL's code in C multiplies by: every key has one, and where AES-NI is
 * used nothing else does. It is cleared with the key. Keys that are set inside of aes.c, for GMAC, have none, and no text.
 */
#include <wolfssl/options.h>

#if defined(__x86_64__) && defined(GCM_TABLE_4BIT) && !defined(HAVE_FIPS) && !defined(WC_C_DYNAMIC_FALLBACK)

#include "aes_gcm/vaes_gcm.h"

#include <wolfssl/wolfcrypt/aes.h>

#define SHORTEST 64                 /* bytes; below it wolfSSL's code is as fast */
#define SEAL(name) \
    void name(const uint8_t *in, uint8_t *out, const uint8_t *head, const uint8_t *nonce, uint8_t *tag, uint32_t size, \
              uint32_t head_size, uint32_t nonce_size, uint32_t tag_size, const uint8_t *keys, int rounds)
#define OPEN(name) \
    void name(const uint8_t *in, uint8_t *out, const uint8_t *head, const uint8_t *nonce, const uint8_t *tag, uint32_t size, \
              uint32_t head_size, uint32_t nonce_size, uint32_t tag_size, const uint8_t *keys, int rounds, int *right)

/* wolfSSL's. Weak, for programs that link this file and not its callers. */
SEAL(__real_AES_GCM_encrypt_avx2) __attribute__((weak));
OPEN(__real_AES_GCM_decrypt_avx2) __attribute__((weak));
int __real_wc_AesGcmSetKey(Aes *aes, const byte *key, word32 size) __attribute__((weak));
SEAL(__wrap_AES_GCM_encrypt_avx2);
OPEN(__wrap_AES_GCM_decrypt_avx2);
int __wrap_wc_AesGcmSetKey(Aes *aes, const byte *key, word32 size);

_Static_assert(offsetof(Aes, key) == 0, "a schedule is the start of its key");
_Static_assert(sizeof(((Aes *)0)->gcm.M0) >= GW_VAES_GCM_POWERS, "the table has room for the powers");

int __wrap_wc_AesGcmSetKey(Aes *aes, const byte *key, word32 size)
{
    int status = __real_wc_AesGcmSetKey(aes, key, size);

    if (status == 0 && aes->use_aesni && gw_vaes_gcm_supported() && (aes->rounds == 10 || aes->rounds == 14))
        gw_vaes_gcm_prepare((const uint8_t *)aes->key, (int)aes->rounds, (uint8_t *)aes->gcm.M0);
    return status;
}

static const uint8_t *powers_of(const uint8_t *keys)
{
    return (const uint8_t *)((const Aes *)(const void *)keys)->gcm.M0;
}

static bool fits(uint32_t size, uint32_t head_size, uint32_t nonce_size, uint32_t tag_size, int rounds)
{
    return size >= SHORTEST && head_size <= 16 && nonce_size == 12 && tag_size == 16 && (rounds == 10 || rounds == 14) &&
           gw_vaes_gcm_supported();
}

SEAL(__wrap_AES_GCM_encrypt_avx2)
{
    if (fits(size, head_size, nonce_size, tag_size, rounds))
        gw_vaes_gcm_seal(&(struct gw_gcm_text){ in, out, size, nonce, head, head_size }, keys, rounds,
                         powers_of(keys), tag);
    else
        __real_AES_GCM_encrypt_avx2(in, out, head, nonce, tag, size, head_size, nonce_size, tag_size, keys, rounds);
}

OPEN(__wrap_AES_GCM_decrypt_avx2)
{
    if (fits(size, head_size, nonce_size, tag_size, rounds))
        *right = gw_vaes_gcm_open(&(struct gw_gcm_text){ in, out, size, nonce, head, head_size }, keys, rounds,
                                  powers_of(keys), tag);
    else
        __real_AES_GCM_decrypt_avx2(in, out, head, nonce, tag, size, head_size, nonce_size, tag_size, keys, rounds, right);
}

#endif
