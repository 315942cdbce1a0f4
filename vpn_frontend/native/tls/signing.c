/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/signing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/dh.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#ifndef HAVE_PK_CALLBACKS
#error "wolfSSL was built without --enable-pkcallbacks"
#endif

static int get(void *context, enum gw_sign_scheme scheme, const unsigned char *input, unsigned int size, unsigned char *out,
               word32 *out_size)
{
    struct gw_signature *signature = context;
    uint32_t capacity = *out_size;
    int status = signature && signature->link ? gw_signature_get(signature, scheme, input, size, out, &capacity) : -EPIPE;

    *out_size = capacity;
    return !status ? 0 : status == -EAGAIN ? WC_PENDING_E : WC_HW_E;
}

static int on_ecdsa(WOLFSSL *ssl, const unsigned char *input, unsigned int size, unsigned char *out, word32 *out_size,
                    const unsigned char *key, unsigned int key_size, void *context)
{
    (void)ssl, (void)key, (void)key_size;
    return get(context, GW_SIGN_ECDSA, input, size, out, out_size);
}

static int on_ed25519(WOLFSSL *ssl, const unsigned char *input, unsigned int size, unsigned char *out, unsigned int *out_size,
                      const unsigned char *key, unsigned int key_size, void *context)
{
    (void)ssl, (void)key, (void)key_size;
    return get(context, GW_SIGN_ED25519, input, size, out, out_size);
}

static int on_rsa(WOLFSSL *ssl, const unsigned char *input, unsigned int size, unsigned char *out, word32 *out_size,
                  const unsigned char *key, unsigned int key_size, void *context)
{
    (void)ssl, (void)key, (void)key_size;
    return get(context, GW_SIGN_RSA_PKCS1, input, size, out, out_size);
}

/* The size of the digest tells its hash. */
static int on_rsa_pss(WOLFSSL *ssl, const unsigned char *input, unsigned int size, unsigned char *out, unsigned int *out_size,
                      int hash, int mgf, const unsigned char *key, unsigned int key_size, void *context)
{
    (void)ssl, (void)hash, (void)mgf, (void)key, (void)key_size;
    return get(context, GW_SIGN_RSA_PSS, input, size, out, out_size);
}

/* The signer has verified the signature. */
static int skip_rsa_check(WOLFSSL *ssl, unsigned char *signature, unsigned int size, unsigned char **out, const unsigned char *key,
                          unsigned int key_size, void *context)
{
    (void)ssl, (void)signature, (void)size, (void)out, (void)key, (void)key_size, (void)context;
    return 0;
}

static int skip_rsa_pss_check(WOLFSSL *ssl, unsigned char *signature, unsigned int size, unsigned char **out, int hash, int mgf,
                              const unsigned char *key, unsigned int key_size, void *context)
{
    (void)ssl, (void)signature, (void)size, (void)out, (void)hash, (void)mgf, (void)key, (void)key_size, (void)context;
    return 0;
}

void gw_signing_use_key(WOLFSSL_CTX *context, uint64_t key)
{
    wolfSSL_CTX_SetEccSignCb(context, on_ecdsa);
    wolfSSL_CTX_SetEd25519SignCb(context, on_ed25519);
    wolfSSL_CTX_SetRsaSignCb(context, on_rsa);
    wolfSSL_CTX_SetRsaSignCheckCb(context, skip_rsa_check);
    wolfSSL_CTX_SetRsaPssSignCb(context, on_rsa_pss);
    wolfSSL_CTX_SetRsaPssSignCheckCb(context, skip_rsa_pss_check);
    wolfSSL_CTX_SetEccSignCtx(context, (void *)(uintptr_t)key);
}

void gw_signing_attach(WOLFSSL *ssl, WOLFSSL_CTX *context, struct gw_signature *signature)
{
    signature->key = (uintptr_t)wolfSSL_CTX_GetEccSignCtx(context);
    wolfSSL_SetEccSignCtx(ssl, signature);
    wolfSSL_SetEd25519SignCtx(ssl, signature);
    wolfSSL_SetRsaSignCtx(ssl, signature);
    wolfSSL_SetRsaPssSignCtx(ssl, signature);
}

/* Of the handshake in gw_signing_accept: the callback for key pairs is not told. */
static _Thread_local struct gw_signature *accepting;

static int use_pair(const struct gw_dh_pair *pair, byte *private, word32 *private_size, byte *public, word32 *public_size)
{
    if (pair->private_size > *private_size || pair->public_size > *public_size)
        return BUFFER_E;
    memcpy(private, pair->private, pair->private_size);
    memcpy(public, pair->public, pair->public_size);
    *private_size = pair->private_size;
    *public_size = pair->public_size;
    return 0;
}

static int on_dh(DhKey *key, WC_RNG *rng, unsigned char *private, unsigned int *private_size, unsigned char *public,
                 unsigned int *public_size)
{
    struct gw_dh_pair *pair;
    int code;

    if (accepting && accepting->dh)
        return use_pair(accepting->dh, private, private_size, public, public_size);
    code = wc_DhGenerateKeyPair(key, rng, private, private_size, public, public_size);
    if (code || !accepting)
        return code;
    if (*private_size > GW_DH_MAX || *public_size > GW_DH_MAX)
        return BUFFER_E;
    pair = accepting->dh = malloc(sizeof(*pair));
    if (!pair)
        return MEMORY_E;
    pair->private_size = *private_size;
    pair->public_size = *public_size;
    memcpy(pair->private, private, *private_size);
    memcpy(pair->public, public, *public_size);
    return 0;
}

void gw_signing_keep_dh(WOLFSSL_CTX *context)
{
    wolfSSL_CTX_SetDhGenerateKeyPair(context, on_dh);
}

int gw_signing_accept(WOLFSSL *ssl)
{
    int status;

    accepting = wolfSSL_GetRsaSignCtx(ssl);
    status = wolfSSL_accept(ssl);
    accepting = NULL;
    return status;
}
