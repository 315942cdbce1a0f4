/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/context.h"

#include "tls/client_authorities.h"
#include "tls/fips_limits.h"
#include "tls/hello.h"
#include "tls/record_pool.h"
#include "tls/refusal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <wolfssl/wolfcrypt/dh.h>
#include <wolfssl/wolfcrypt/random.h>

static char alpn_http[] = "http/1.1";
static char alpn_acme[] = GW_ALPN_ACME;

static int on_receive(WOLFSSL *ssl, char *buffer, int size, void *context)
{
    struct gw_tls_io *io = context;
    size_t taken = io->feed_size < (size_t)size ? io->feed_size : (size_t)size;

    (void)ssl;
    if (!taken)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    memcpy(buffer, io->feed, taken);
    io->feed += taken;
    io->feed_size -= taken;
    return (int)taken;
}

static int on_send(WOLFSSL *ssl, char *buffer, int size, void *context)
{
    struct gw_tls_io *io = context;

    (void)ssl;
    return io->write(io->owner, (const uint8_t *)buffer, (size_t)size) ? WOLFSSL_CBIO_ERR_GENERAL : size;
}

int gw_tls_library_init(void)
{
    gw_record_pool_init();
    if (wolfSSL_Init() != WOLFSSL_SUCCESS)
        return -ENOMEM;
#if defined(WOLFSSL_DRBG_SHA512) && !defined(HAVE_FIPS)
    wc_Sha512Drbg_Disable();        /* Hash_DRBG of SHA-256 is as strong, and processors have instructions for it */
#endif
    return 0;
}

int gw_tls_use_certificate(WOLFSSL_CTX *context, const struct gw_certificate *certificate, char *error, size_t error_size)
{
    int code = wolfSSL_CTX_use_certificate_chain_buffer(context, certificate->chain, (long)certificate->chain_size);

    if (code != WOLFSSL_SUCCESS)
        return gw_tls_refuse(error, error_size, "the certificate chain cannot be read", code);
    if (certificate->signer_key) {
        gw_signing_use_key(context, certificate->signer_key);
        return 0;
    }
    code = wolfSSL_CTX_use_PrivateKey_buffer(context, certificate->key, (long)certificate->key_size, WOLFSSL_FILETYPE_PEM);
    if (code != WOLFSSL_SUCCESS)
        return gw_tls_refuse(error, error_size, "the private key cannot be read", code);
    if (!certificate->acme && wolfSSL_CTX_check_private_key(context) != WOLFSSL_SUCCESS)
        return gw_tls_refuse(error, error_size, "the private key does not belong to the certificate", 0);
    return 0;
}

/* Sessions are resumed by tickets alone, which a key of the context seals: each host and certificate has its own, made with it.
 * wolfSSL's cache would be one for all contexts. */
static int set_up(WOLFSSL_CTX *context, const struct gw_tls_host *host, const struct gw_certificate *certificate,
                  const char *ciphers, char *error, size_t error_size)
{
    int code;

    wolfSSL_CTX_SetIORecv(context, on_receive);
    wolfSSL_CTX_SetIOSend(context, on_send);
    if (wolfSSL_CTX_SetMinVersion(context, WOLFSSL_TLSV1_2) != WOLFSSL_SUCCESS)
        return gw_tls_refuse(error, error_size, "TLS 1.2 cannot be set as the lowest version", 0);
    if (wolfSSL_CTX_set_cipher_list(context, ciphers) != WOLFSSL_SUCCESS)
        return gw_tls_refuse(error, error_size, "none of the cipher suites is known", 0);
    wolfSSL_CTX_set_session_cache_mode(context, WOLFSSL_SESS_CACHE_OFF);
    if (host->fips && gw_fips_limit_context(context, error, error_size))
        return -EINVAL;
    code = gw_tls_ask_for_certificate(context, host, error, error_size);
    return code ? code : gw_tls_use_certificate(context, certificate, error, error_size);
}

WOLFSSL_CTX *gw_tls_context_new(const struct gw_tls_host *host, const struct gw_certificate *certificate, const char *ciphers,
                                char *error, size_t error_size)
{
    WOLFSSL_CTX *context;

    if (!certificate->chain || !certificate->chain_size || (!certificate->signer_key && (!certificate->key || !certificate->key_size))) {
        gw_tls_refuse(error, error_size, "the certificate or its key is empty", 0);
        return NULL;
    }
    context = wolfSSL_CTX_new(wolfSSLv23_server_method());
    if (!context) {
        gw_tls_refuse(error, error_size, "no memory for a TLS context", 0);
        return NULL;
    }
    if (set_up(context, host, certificate, ciphers, error, error_size)) {
        wolfSSL_CTX_free(context);
        return NULL;
    }
    return context;
}

/* Clients that name no group of RFC 7919 get ffdhe2048. */
int gw_tls_use_dhe(WOLFSSL_CTX *context, char *error, size_t error_size)
{
    uint8_t prime[256], generator[4];
    word32 prime_size = sizeof(prime), generator_size = sizeof(generator);

    if (wc_DhCopyNamedKey(WC_FFDHE_2048, prime, &prime_size, generator, &generator_size, NULL, NULL) ||
        wolfSSL_CTX_SetTmpDH(context, prime, (int)prime_size, generator, (int)generator_size) != WOLFSSL_SUCCESS)
        return gw_tls_refuse(error, error_size, "the group ffdhe2048 cannot be set", 0);
    return 0;
}

WOLFSSL *gw_tls_object(WOLFSSL_CTX *context)
{
    WOLFSSL *ssl;

    gw_record_pool_suspend();
    ssl = wolfSSL_new(context);
    gw_record_pool_resume();
    return ssl;
}

WOLFSSL *gw_tls_new(WOLFSSL_CTX *context, bool acme, struct gw_tls_io *io, struct gw_signature *signature)
{
    WOLFSSL *ssl = gw_tls_object(context);
    char *protocol = acme ? alpn_acme : alpn_http;

    if (!ssl)
        return NULL;
    if (wolfSSL_UseALPN(ssl, protocol, (unsigned)strlen(protocol), WOLFSSL_ALPN_CONTINUE_ON_MISMATCH) != WOLFSSL_SUCCESS) {
        wolfSSL_free(ssl);
        return NULL;
    }
    wolfSSL_SetIOReadCtx(ssl, io);
    wolfSSL_SetIOWriteCtx(ssl, io);
    gw_signing_attach(ssl, context, signature);
    wolfSSL_KeepArrays(ssl);        /* the exporter reads the handshake's secrets after it */
    return ssl;
}

static enum gw_tls_result failed(WOLFSSL *ssl, int status)
{
    WOLFSSL_ALERT_HISTORY alerts = { 0 };

    switch (wolfSSL_get_error(ssl, status)) {
    case WOLFSSL_ERROR_WANT_READ:
    case WOLFSSL_ERROR_WANT_WRITE:
    case WC_PENDING_E:              /* a signature is awaited */
        return GW_TLS_WANT;
    case WOLFSSL_ERROR_ZERO_RETURN:
        return GW_TLS_CLOSED;
    default:
        if (wolfSSL_get_alert_history(ssl, &alerts) == WOLFSSL_SUCCESS && alerts.last_rx.code != -1)
            return GW_TLS_CLOSED;
        return GW_TLS_BROKEN;
    }
}

enum gw_tls_result gw_tls_accept(WOLFSSL *ssl)
{
    int status = gw_signing_accept(ssl);

    return status == WOLFSSL_SUCCESS ? GW_TLS_DONE : failed(ssl, status);
}

static int export_key(WOLFSSL *ssl, const char *label, uint8_t out[GW_EXPORTER_SIZE])
{
    return wolfSSL_export_keying_material(ssl, out, GW_EXPORTER_SIZE, label, strlen(label), NULL, 0, 0) == WOLFSSL_SUCCESS
             ? 0
             : -EPROTO;
}

_Static_assert(offsetof(struct gw_tls_facts, certificate) == offsetof(struct gw_tls_facts, exporter) + GW_EXPORTS_SIZE,
               "the payload of GW_CONNECTION_UP is one piece");

/* wolfSSL has verified the chain already where it asked for one. */
int gw_tls_read_certificate(WOLFSSL *ssl, struct gw_tls_facts *facts)
{
    WOLFSSL_X509 *certificate = wolfSSL_session_reused(ssl) ? NULL : wolfSSL_get_peer_certificate(ssl);
    const unsigned char *der;
    int size = 0, status = 0;

    facts->certificate_size = 0;
    if (!certificate)
        return 0;
    der = wolfSSL_X509_get_der(certificate, &size);
    if (!der || size <= 0) {
        status = -EPROTO;
    } else if ((size_t)size > sizeof(facts->certificate)) {
        status = -EMSGSIZE;
    } else {
        memcpy(facts->certificate, der, (size_t)size);
        facts->certificate_size = (size_t)size;
        facts->certificate_signature = wolfSSL_X509_get_signature_type(certificate);
    }
    wolfSSL_X509_free(certificate);
    return status;
}

/* What a peer signs to bind a message to this connection: an exporter or, before RFC 9266 and in TLS 1.2, its Finished message. */
static int read_bindings(WOLFSSL *ssl, struct gw_tls_facts *facts)
{
#ifdef WOLFSSL_HAVE_TLS_UNIQUE
    facts->finished[0] = (uint8_t)wolfSSL_get_peer_finished(ssl, facts->finished + 1, GW_FINISHED_MAX);
#endif
    return export_key(ssl, GW_BINDING_LABEL, facts->exporter + 2 * GW_EXPORTER_SIZE);
}

int gw_tls_finish(WOLFSSL *ssl, struct gw_tls_facts *facts)
{
    const char *cipher = wolfSSL_get_cipher_name(ssl);
    int status;

    memset(facts, 0, offsetof(struct gw_tls_facts, certificate));
    facts->version = (uint16_t)wolfSSL_version(ssl);
    facts->resumed = wolfSSL_session_reused(ssl) != 0;
    snprintf(facts->cipher, sizeof(facts->cipher), "%s", cipher ? cipher : "");
    if (export_key(ssl, GW_PSK_LABEL, facts->exporter) ||
        export_key(ssl, GW_PROOF_KEY_LABEL, facts->exporter + GW_EXPORTER_SIZE) || read_bindings(ssl, facts))
        return -EPROTO;
    status = gw_tls_read_certificate(ssl, facts);
    if (status)
        return status;
    wolfSSL_FreeArrays(ssl);
    wolfSSL_FreeHandshakeResources(ssl);
    return 0;
}

enum gw_tls_result gw_tls_read(WOLFSSL *ssl, uint8_t *out, size_t capacity, size_t *size)
{
    int status = wolfSSL_read(ssl, out, (int)capacity);

    if (status <= 0)
        return failed(ssl, status);
    *size = (size_t)status;
    return GW_TLS_DONE;
}

int gw_tls_write(WOLFSSL *ssl, const uint8_t *data, size_t size)
{
    if (size && wolfSSL_write(ssl, data, (int)size) != (int)size)
        return -EIO;
    return 0;
}

int gw_tls_rekey(WOLFSSL *ssl)
{
    if (wolfSSL_version(ssl) != TLS1_3_VERSION)
        return -ENOTSUP;
    return wolfSSL_update_keys(ssl) == WOLFSSL_SUCCESS ? 0 : -EIO;
}
