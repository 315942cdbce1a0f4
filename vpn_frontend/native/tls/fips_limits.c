/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/fips_limits.h"

#include "tls/refusal.h"

#include <errno.h>
#include <wolfssl/wolfcrypt/asn_public.h>

#define RSA_BITS 2048
#define ECC_BITS 256
#define P384_BYTES 48

int gw_fips_limit_context(WOLFSSL_CTX *context, char *error, size_t error_size)
{
    int groups[] = { WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_SECP384R1, WOLFSSL_ECC_SECP521R1 };

    if (wolfSSL_CTX_set_groups(context, groups, sizeof(groups) / sizeof(*groups)) != WOLFSSL_SUCCESS)
        return gw_tls_refuse(error, error_size, "the approved groups cannot be set", 0);
    if (wolfSSL_CTX_SetMinRsaKey_Sz(context, RSA_BITS) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_SetMinEccKey_Sz(context, ECC_BITS) != WOLFSSL_SUCCESS)
        return gw_tls_refuse(error, error_size, "the smallest keys cannot be set", 0);
    return 0;
}

/* In TLS 1.2 a server of wolfSSL does not look at the groups of the context: it takes the client's first curve of the size that is
 * asked for. That of P-384 is no other curve's, while X25519 has that of P-256. */
static bool agree_by_nist_curve(WOLFSSL *ssl, const struct gw_tls_hello *hello)
{
    return !hello->other_curves || (hello->p384 && wolfSSL_SetTmpEC_DHE_Sz(ssl, P384_BYTES) == WOLFSSL_SUCCESS);
}

int gw_fips_limit_object(WOLFSSL *ssl, const struct gw_tls_hello *hello)
{
    if (hello->extended_master_secret && agree_by_nist_curve(ssl, hello))
        return 0;
    return wolfSSL_SetMinVersion(ssl, WOLFSSL_TLSV1_3) == WOLFSSL_SUCCESS ? 0 : -EPROTO;
}

bool gw_fips_approves_signature(int type)
{
    switch (type) {
    case CTC_SHA256wRSA:
    case CTC_SHA384wRSA:
    case CTC_SHA512wRSA:
    case CTC_SHA256wECDSA:
    case CTC_SHA384wECDSA:
    case CTC_SHA512wECDSA:
        return true;
    default:                            /* RSASSA-PSS too: its type does not say with which hash */
        return false;
    }
}
