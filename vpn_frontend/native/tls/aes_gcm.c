/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Where wolfSSL would use its AVX2 code for AES-GCM, and the processor has wider instructions, these are used. The linker
 * (--wrap, build.py) leads calls here, so that the library stays as it was released. A FIPS module keeps its own.
 */
#include <wolfssl/options.h>

#if defined(__x86_64__) && !defined(HAVE_FIPS)

#include "tls/vaes_gcm.h"

#define SHORTEST 192                /* bytes; below it the powers of the hash key cost more than they save */
#define SEAL(name) \
    void name(const uint8_t *in, uint8_t *out, const uint8_t *head, const uint8_t *nonce, uint8_t *tag, uint32_t size, \
              uint32_t head_size, uint32_t nonce_size, uint32_t tag_size, const uint8_t *keys, int rounds)
#define OPEN(name) \
    void name(const uint8_t *in, uint8_t *out, const uint8_t *head, const uint8_t *nonce, const uint8_t *tag, uint32_t size, \
              uint32_t head_size, uint32_t nonce_size, uint32_t tag_size, const uint8_t *keys, int rounds, int *right)

/* wolfSSL's. Weak, for programs that link this file and not its callers. */
SEAL(__real_AES_GCM_encrypt_avx2) __attribute__((weak));
OPEN(__real_AES_GCM_decrypt_avx2) __attribute__((weak));
SEAL(__wrap_AES_GCM_encrypt_avx2);
OPEN(__wrap_AES_GCM_decrypt_avx2);

static bool fits(uint32_t size, uint32_t head_size, uint32_t nonce_size, uint32_t tag_size, int rounds)
{
    return size >= SHORTEST && head_size <= 16 && nonce_size == 12 && tag_size == 16 && (rounds == 10 || rounds == 14) &&
           gw_vaes_gcm_supported();
}

SEAL(__wrap_AES_GCM_encrypt_avx2)
{
    if (fits(size, head_size, nonce_size, tag_size, rounds))
        gw_vaes_gcm_seal(&(struct gw_gcm_text){ in, out, size, nonce, head, head_size }, keys, rounds, tag);
    else
        __real_AES_GCM_encrypt_avx2(in, out, head, nonce, tag, size, head_size, nonce_size, tag_size, keys, rounds);
}

OPEN(__wrap_AES_GCM_decrypt_avx2)
{
    if (fits(size, head_size, nonce_size, tag_size, rounds))
        *right = gw_vaes_gcm_open(&(struct gw_gcm_text){ in, out, size, nonce, head, head_size }, keys, rounds, tag);
    else
        __real_AES_GCM_decrypt_avx2(in, out, head, nonce, tag, size, head_size, nonce_size, tag_size, keys, rounds, right);
}

#endif
