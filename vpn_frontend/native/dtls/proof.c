/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dtls/proof.h"

#include <errno.h>
#include <string.h>

static int seal(const uint8_t key[GW_PROOF_KEY_SIZE], const uint8_t *binding, uint8_t out[GW_HASH_SIZE])
{
    const struct gw_hash_part part = { binding, GW_HASH_SIZE };

    return gw_hmac(key, GW_PROOF_KEY_SIZE, &part, 1, out);
}

int gw_proof_derive(WOLFSSL *ssl, const uint8_t key[GW_PROOF_KEY_SIZE], struct gw_proof *proof)
{
    uint8_t binding[2 * GW_HASH_SIZE];
    int status = -EPROTO;

    if (wolfSSL_export_keying_material(ssl, binding, sizeof(binding), GW_PROOF_BINDING_LABEL, sizeof(GW_PROOF_BINDING_LABEL) - 1,
                                       NULL, 0, 0) == WOLFSSL_SUCCESS &&
        !seal(key, binding, proof->expected) && !seal(key, binding + GW_HASH_SIZE, proof->answer))
        status = 0;
    wolfSSL_FreeArrays(ssl);
    explicit_bzero(binding, sizeof(binding));
    return status;
}
