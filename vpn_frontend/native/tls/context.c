/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/context.h"

#include "tls/record_pool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <wolfssl/error-ssl.h>

static const char cipher_list[] =
    "TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256:TLS13-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

static char alpn[] = "http/1.1";

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
    return wolfSSL_Init() == WOLFSSL_SUCCESS ? 0 : -ENOMEM;
}

static int refuse(char *error, size_t error_size, const char *what, int code)
{
    char text[WOLFSSL_MAX_ERROR_SZ] = "";

    if (code != WOLFSSL_SUCCESS && code != 0)
        wolfSSL_ERR_error_string_n((unsigned long)(code < 0 ? -(long)code : code), text, sizeof(text));
    snprintf(error, error_size, "%s%s%s", what, *text ? ": " : "", text);
    return -EINVAL;
}

int gw_tls_use_certificate(WOLFSSL_CTX *context, const struct gw_tls *tls, char *error, size_t error_size)
{
    int code = wolfSSL_CTX_use_certificate_chain_buffer(context, tls->chain, (long)tls->chain_size);

    if (code != WOLFSSL_SUCCESS)
        return refuse(error, error_size, "the certificate chain cannot be read", code);
    code = wolfSSL_CTX_use_PrivateKey_buffer(context, tls->key, (long)tls->key_size, WOLFSSL_FILETYPE_PEM);
    if (code != WOLFSSL_SUCCESS)
        return refuse(error, error_size, "the private key cannot be read", code);
    if (wolfSSL_CTX_check_private_key(context) != WOLFSSL_SUCCESS)
        return refuse(error, error_size, "the private key does not belong to the certificate", 0);
    return 0;
}

static const char crl_begin[] = "-----BEGIN X509 CRL-----";

/* wolfSSL reads one list of a buffer; each begins where the next BEGIN line is. */
static int load_revocation_lists(WOLFSSL_CTX *context, const struct gw_tls *tls, char *error, size_t error_size)
{
    const uint8_t *end = tls->client_crl_size ? tls->client_crl + tls->client_crl_size : NULL, *next;
    const uint8_t *list = end ? memmem(tls->client_crl, tls->client_crl_size, crl_begin, sizeof(crl_begin) - 1) : NULL;
    int chain = tls->revocation_check == GW_REVOCATION_CHAIN;
    int code = wolfSSL_CTX_EnableCRL(context, WOLFSSL_CRL_CHECK | (chain ? WOLFSSL_CRL_CHECKALL : 0));

    if (code != WOLFSSL_SUCCESS)
        return refuse(error, error_size, "revocation lists cannot be used", code);
    if (end && !list)
        return refuse(error, error_size, "a revocation list cannot be read", 0);
    for (; list; list = next) {
        next = memmem(list + 1, (size_t)(end - list - 1), crl_begin, sizeof(crl_begin) - 1);
        code = wolfSSL_CTX_LoadCRLBuffer(context, list, (long)((next ? next : end) - list), WOLFSSL_FILETYPE_PEM);
        if (code != WOLFSSL_SUCCESS)
            return refuse(error, error_size, "a revocation list cannot be read", code);
    }
    return 0;
}

/* A resumed session would bring no certificate, so a context that asks for one issues no tickets and caches no sessions. */
static int ask_for_certificate(WOLFSSL_CTX *context, const struct gw_tls *tls, char *error, size_t error_size)
{
    int code;

    if (!tls->client_ca || !tls->client_ca_size) {
        wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
        return 0;
    }
    code = wolfSSL_CTX_load_verify_buffer(context, tls->client_ca, (long)tls->client_ca_size, WOLFSSL_FILETYPE_PEM);
    if (code != WOLFSSL_SUCCESS)
        return refuse(error, error_size, "the CA of client certificates cannot be read", code);
    if (tls->revocation_check && load_revocation_lists(context, tls, error, error_size))
        return -EINVAL;
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_PEER, NULL);
    wolfSSL_CTX_set_session_cache_mode(context, WOLFSSL_SESS_CACHE_OFF);
    if (wolfSSL_CTX_no_ticket_TLSv13(context) || wolfSSL_CTX_NoTicketTLSv12(context) != WOLFSSL_SUCCESS)
        return refuse(error, error_size, "session tickets cannot be turned off", 0);
    return 0;
}

static int set_up(WOLFSSL_CTX *context, const struct gw_tls *tls, char *error, size_t error_size)
{
    int code;

    wolfSSL_CTX_SetIORecv(context, on_receive);
    wolfSSL_CTX_SetIOSend(context, on_send);
    if (wolfSSL_CTX_SetMinVersion(context, WOLFSSL_TLSV1_2) != WOLFSSL_SUCCESS)
        return refuse(error, error_size, "TLS 1.2 cannot be set as the lowest version", 0);
    if (wolfSSL_CTX_set_cipher_list(context, cipher_list) != WOLFSSL_SUCCESS)
        return refuse(error, error_size, "this wolfSSL lacks the cipher suites", 0);
    code = ask_for_certificate(context, tls, error, error_size);
    return code ? code : gw_tls_use_certificate(context, tls, error, error_size);
}

WOLFSSL_CTX *gw_tls_context_new(const struct gw_tls *tls, char *error, size_t error_size)
{
    WOLFSSL_CTX *context;

    if (!tls->chain || !tls->chain_size || !tls->key || !tls->key_size) {
        refuse(error, error_size, "the certificate or its key is empty", 0);
        return NULL;
    }
    context = wolfSSL_CTX_new(wolfSSLv23_server_method());
    if (!context) {
        refuse(error, error_size, "no memory for a TLS context", 0);
        return NULL;
    }
    if (set_up(context, tls, error, error_size)) {
        wolfSSL_CTX_free(context);
        return NULL;
    }
    return context;
}

void gw_tls_holder_init(struct gw_tls_holder *holder)
{
    pthread_mutex_init(&holder->lock, NULL);
    holder->context = NULL;
}

void gw_tls_holder_set(struct gw_tls_holder *holder, WOLFSSL_CTX *context)
{
    WOLFSSL_CTX *old;

    pthread_mutex_lock(&holder->lock);
    old = holder->context;
    holder->context = context;
    pthread_mutex_unlock(&holder->lock);
    if (old)
        wolfSSL_CTX_free(old);      /* objects made from it hold their own references */
}

WOLFSSL_CTX *gw_tls_holder_take(struct gw_tls_holder *holder)
{
    WOLFSSL_CTX *context = NULL;

    pthread_mutex_lock(&holder->lock);
    if (holder->context && wolfSSL_CTX_up_ref(holder->context) == WOLFSSL_SUCCESS)
        context = holder->context;
    pthread_mutex_unlock(&holder->lock);
    return context;
}

void gw_tls_holder_free(struct gw_tls_holder *holder)
{
    if (holder->context)
        wolfSSL_CTX_free(holder->context);
    holder->context = NULL;
    pthread_mutex_destroy(&holder->lock);
}

WOLFSSL *gw_tls_object(WOLFSSL_CTX *context)
{
    WOLFSSL *ssl;

    gw_record_pool_suspend();
    ssl = wolfSSL_new(context);
    gw_record_pool_resume();
    return ssl;
}

WOLFSSL *gw_tls_new(struct gw_tls_holder *holder, struct gw_tls_io *io)
{
    WOLFSSL_CTX *context = gw_tls_holder_take(holder);
    WOLFSSL *ssl;

    if (!context)
        return NULL;
    ssl = gw_tls_object(context);
    wolfSSL_CTX_free(context);
    if (!ssl)
        return NULL;
    if (wolfSSL_UseALPN(ssl, alpn, sizeof(alpn) - 1, WOLFSSL_ALPN_CONTINUE_ON_MISMATCH) != WOLFSSL_SUCCESS) {
        wolfSSL_free(ssl);
        return NULL;
    }
    wolfSSL_SetIOReadCtx(ssl, io);
    wolfSSL_SetIOWriteCtx(ssl, io);
    wolfSSL_KeepArrays(ssl);        /* the exporter reads the handshake's secrets after it */
    return ssl;
}

static enum gw_tls_result failed(WOLFSSL *ssl, int status)
{
    WOLFSSL_ALERT_HISTORY alerts = { 0 };

    switch (wolfSSL_get_error(ssl, status)) {
    case WOLFSSL_ERROR_WANT_READ:
    case WOLFSSL_ERROR_WANT_WRITE:
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
    int status = wolfSSL_accept(ssl);

    return status == WOLFSSL_SUCCESS ? GW_TLS_DONE : failed(ssl, status);
}

static int export_key(WOLFSSL *ssl, const char *label, uint8_t out[GW_EXPORTER_SIZE])
{
    return wolfSSL_export_keying_material(ssl, out, GW_EXPORTER_SIZE, label, strlen(label), NULL, 0, 0) == WOLFSSL_SUCCESS
             ? 0
             : -EPROTO;
}

_Static_assert(offsetof(struct gw_tls_facts, certificate) == offsetof(struct gw_tls_facts, exporter) + 2 * GW_EXPORTER_SIZE,
               "the payload of GW_CONNECTION_UP is one piece");

/* wolfSSL has verified the chain already where it asked for one. */
static int read_certificate(WOLFSSL *ssl, struct gw_tls_facts *facts)
{
    WOLFSSL_X509 *certificate = facts->resumed ? NULL : wolfSSL_get_peer_certificate(ssl);
    const unsigned char *der;
    int size = 0, status = 0;

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
    }
    wolfSSL_X509_free(certificate);
    return status;
}

int gw_tls_finish(WOLFSSL *ssl, struct gw_tls_facts *facts)
{
    const char *cipher = wolfSSL_get_cipher_name(ssl);
    int status;

    memset(facts, 0, sizeof(*facts));
    facts->version = (uint16_t)wolfSSL_version(ssl);
    facts->resumed = wolfSSL_session_reused(ssl) != 0;
    snprintf(facts->cipher, sizeof(facts->cipher), "%s", cipher ? cipher : "");
    if (export_key(ssl, GW_PSK_LABEL, facts->exporter) || export_key(ssl, GW_PROOF_KEY_LABEL, facts->exporter + GW_EXPORTER_SIZE))
        return -EPROTO;
    status = read_certificate(ssl, facts);
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

void gw_tls_server_name(const uint8_t *hello, size_t size, char out[256])
{
    word32 room = 255;

    memset(out, 0, 256);
    if (wolfSSL_SNI_GetFromBuffer(hello, (word32)size, WOLFSSL_SNI_HOST_NAME, (unsigned char *)out, &room) != WOLFSSL_SUCCESS)
        out[0] = '\0';
}
