/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/client_authorities.h"

#include "tls/refusal.h"

#include <errno.h>
#include <string.h>

static const char crl_begin[] = "-----BEGIN X509 CRL-----";

/* wolfSSL reads one list of a buffer; each begins where the next BEGIN line is. */
static int load_revocation_lists(WOLFSSL_CTX *context, const struct gw_tls_host *host, char *error, size_t error_size)
{
    const uint8_t *end = host->client_crl_size ? host->client_crl + host->client_crl_size : NULL, *next;
    const uint8_t *list = end ? memmem(host->client_crl, host->client_crl_size, crl_begin, sizeof(crl_begin) - 1) : NULL;
    int chain = host->revocation_check == GW_REVOCATION_CHAIN;
    int code = wolfSSL_CTX_EnableCRL(context, WOLFSSL_CRL_CHECK | (chain ? WOLFSSL_CRL_CHECKALL : 0));

    if (code != WOLFSSL_SUCCESS)
        return gw_tls_refuse(error, error_size, "revocation lists cannot be used", code);
    if (end && !list)
        return gw_tls_refuse(error, error_size, "a revocation list cannot be read", 0);
    for (; list; list = next) {
        next = memmem(list + 1, (size_t)(end - list - 1), crl_begin, sizeof(crl_begin) - 1);
        code = wolfSSL_CTX_LoadCRLBuffer(context, list, (long)((next ? next : end) - list), WOLFSSL_FILETYPE_PEM);
        if (code != WOLFSSL_SUCCESS)
            return gw_tls_refuse(error, error_size, "a revocation list cannot be read", code);
    }
    return 0;
}

/* A resumed session would bring no certificate, so a context that asks for one issues no tickets. */
int gw_tls_ask_for_certificate(WOLFSSL_CTX *context, const struct gw_tls_host *host, char *error, size_t error_size)
{
    int code;

    if (!host->client_ca || !host->client_ca_size) {
        wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
        return 0;
    }
    code = wolfSSL_CTX_load_verify_buffer(context, host->client_ca, (long)host->client_ca_size, WOLFSSL_FILETYPE_PEM);
    if (code != WOLFSSL_SUCCESS)
        return gw_tls_refuse(error, error_size, "the CA of client certificates cannot be read", code);
    if (host->revocation_check && load_revocation_lists(context, host, error, error_size))
        return -EINVAL;
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_PEER, NULL);
    if (wolfSSL_CTX_no_ticket_TLSv13(context) || wolfSSL_CTX_NoTicketTLSv12(context) != WOLFSSL_SUCCESS)
        return gw_tls_refuse(error, error_size, "session tickets cannot be turned off", 0);
    return 0;
}
