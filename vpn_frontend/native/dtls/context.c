/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dtls/context.h"

#include "tls/fips_limits.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <wolfssl/error-ssl.h>

/* openconnect with GnuTLS offers static PSK only, with OpenSSL the others. GCM first: it is fastest here. */
static const char psk_suites[] =
    "TLS13-AES256-GCM-SHA384:TLS13-AES128-GCM-SHA256:TLS13-CHACHA20-POLY1305-SHA256:"
    "PSK-AES256-GCM-SHA384:PSK-AES128-GCM-SHA256:PSK-CHACHA20-POLY1305";

static const char approved_psk_suites[] =
    "TLS13-AES256-GCM-SHA384:TLS13-AES128-GCM-SHA256:PSK-AES256-GCM-SHA384:PSK-AES128-GCM-SHA256";
static const char approved_certificate_suites[] = "TLS13-AES256-GCM-SHA384:TLS13-AES128-GCM-SHA256";

/* Resumption exchanges no keys, so suites of every kind serve. */
static const struct suite {
    const char *name;
    uint8_t number[2];
} resumption_suites[] = {
    { "ECDHE-RSA-AES256-GCM-SHA384", { 0xc0, 0x30 } },
    { "ECDHE-RSA-AES128-GCM-SHA256", { 0xc0, 0x2f } },
    { "DHE-RSA-AES256-GCM-SHA384", { 0x00, 0x9f } },
    { "DHE-RSA-AES128-GCM-SHA256", { 0x00, 0x9e } },
    { "AES256-GCM-SHA384", { 0x00, 0x9d } },
    { "AES128-GCM-SHA256", { 0x00, 0x9c } },
    { "OC-DTLS1_2-AES256-GCM", { 0x00, 0x9d } },
    { "OC-DTLS1_2-AES128-GCM", { 0x00, 0x9c } },
};

static const char certificate_suites[] = "TLS13-AES256-GCM-SHA384:TLS13-AES128-GCM-SHA256:TLS13-CHACHA20-POLY1305-SHA256";

static const char resumption_list[] =
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:"
    "AES256-GCM-SHA384:AES128-GCM-SHA256";

#define SUITES (sizeof(resumption_suites) / sizeof(*resumption_suites))

int gw_dtls_suite_find(const char *name, uint8_t suite[2])
{
    for (size_t i = 0; i < SUITES; i++)
        if (!strcmp(resumption_suites[i].name, name)) {
            memcpy(suite, resumption_suites[i].number, 2);
            return 0;
        }
    return -EINVAL;
}

static int on_receive(WOLFSSL *ssl, char *buffer, int size, void *context)
{
    struct gw_dtls_io *io = context;
    size_t taken = io->datagram_size < (size_t)size ? io->datagram_size : (size_t)size;

    (void)ssl;
    if (!io->datagram)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    memcpy(buffer, io->datagram, taken);
    io->datagram = NULL;                /* a larger datagram is no record of a client */
    return (int)taken;
}

static int on_send(WOLFSSL *ssl, char *buffer, int size, void *context)
{
    struct gw_dtls_io *io = context;

    (void)ssl;
    /* A datagram that cannot be sent counts as lost. */
    io->write(io->owner, (const uint8_t *)buffer, (size_t)size);
    return size;
}

static unsigned int on_psk(WOLFSSL *ssl, const char *identity, unsigned char *key, unsigned int capacity)
{
    const struct gw_dtls_io *io = wolfSSL_GetIOReadCtx(ssl);

    (void)identity;                     /* clients send "psk"; the ClientHello has named the session */
    if (!io || io->config->mode != GW_DTLS_PSK || capacity < GW_DTLS_PSK_SIZE)
        return 0;
    memcpy(key, io->config->secret, GW_DTLS_PSK_SIZE);
    return GW_DTLS_PSK_SIZE;
}

static unsigned int on_psk13(WOLFSSL *ssl, const char *identity, unsigned char *key, unsigned int capacity, const char **suite)
{
    *suite = "TLS13-AES128-GCM-SHA256"; /* names the hash of the key schedule: SHA-256, RFC 8446's default for a bare PSK */
    return on_psk(ssl, identity, key, capacity);
}

/* The serialised form of an empty session, with ours written into its fields of fixed place (wolfSSL_i2d_SSL_SESSION):
 * side 1 | born 4 | timeout 4 | size of id 1 | id | master secret 48 | EMS 1 | alternative id 1 | version 2 | suite 2 | rest */
static WOLFSSL_SESSION *make_session(const struct gw_dtls_config *config)
{
    enum { BORN_AT = 1, ID_AT = 9, HEAD = 10, MARKS = GW_DTLS_MASTER_SIZE + 2 };
    uint32_t born = htonl((uint32_t)time(NULL));    /* wolfSSL's clock for the age of sessions */
    WOLFSSL_SESSION *empty = wolfSSL_SESSION_new(), *session = NULL;
    unsigned char blank[1024], whole[sizeof(blank) + GW_DTLS_NAME_SIZE], *end = blank;
    const unsigned char *start = whole;
    unsigned char *at = whole + HEAD;
    int size = empty ? wolfSSL_i2d_SSL_SESSION(empty, NULL) : 0;

    if (size < HEAD + MARKS + 4 || size > (int)sizeof(blank))
        goto out;
    wolfSSL_i2d_SSL_SESSION(empty, &end);
    if (blank[ID_AT])
        goto out;
    memcpy(whole, blank, HEAD);
    whole[0] = WOLFSSL_SERVER_END;
    memcpy(whole + BORN_AT, &born, sizeof(born));
    whole[ID_AT] = GW_DTLS_NAME_SIZE;
    memcpy(at, config->name, GW_DTLS_NAME_SIZE);
    memcpy(at + GW_DTLS_NAME_SIZE, blank + HEAD, (size_t)size - HEAD);
    at += GW_DTLS_NAME_SIZE;
    memcpy(at, config->secret, GW_DTLS_MASTER_SIZE);
    at += MARKS;
    at[0] = 0xfe;
    at[1] = 0xfd;
    memcpy(at + 2, config->suite, 2);
    session = wolfSSL_d2i_SSL_SESSION(NULL, &start, size + (long)GW_DTLS_NAME_SIZE);
out:
    wolfSSL_SESSION_free(empty);
    return session;
}

static WOLFSSL_SESSION *on_get_session(WOLFSSL *ssl, const unsigned char *id, int size, int *copy)
{
    const struct gw_dtls_io *io = wolfSSL_GetIOReadCtx(ssl);

    *copy = 0;                          /* wolfSSL frees the session */
    if (!io || io->config->mode != GW_DTLS_RESUMPTION || size != GW_DTLS_NAME_SIZE ||
        memcmp(id, io->config->name, GW_DTLS_NAME_SIZE))
        return NULL;
    return make_session(io->config);
}

static int refuse(char *error, size_t size, const char *what)
{
    snprintf(error, size, "DTLS: %s", what);
    return -EINVAL;
}

static int set_up(WOLFSSL_CTX *context, const char *suites, int lowest, char *error, size_t error_size)
{
    if (!context)
        return refuse(error, error_size, "no memory for a context");
    wolfSSL_CTX_SetIORecv(context, on_receive);
    wolfSSL_CTX_SetIOSend(context, on_send);
    if (wolfSSL_CTX_set_cipher_list(context, suites) != WOLFSSL_SUCCESS)
        return refuse(error, error_size, "this wolfSSL lacks the cipher suites");
    if (wolfSSL_CTX_SetMinVersion(context, lowest) != WOLFSSL_SUCCESS)
        return refuse(error, error_size, "the lowest version of DTLS cannot be set");
    if (wolfSSL_CTX_dtls_set_mtu(context, GW_DTLS_HANDSHAKE_MTU) != WOLFSSL_SUCCESS)
        return refuse(error, error_size, "the MTU cannot be set");
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
    wolfSSL_CTX_NoTicketTLSv12(context);
    wolfSSL_CTX_no_ticket_TLSv13(context);
    return 0;
}

WOLFSSL_CTX *gw_dtls_context_new(const struct gw_tls_host *host, char *error, size_t error_size)
{
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfDTLSv1_3_server_method());

    if (set_up(context, host->fips ? approved_certificate_suites : certificate_suites, WOLFSSL_DTLSV1_3, error, error_size) ||
        (host->fips && gw_fips_limit_context(context, error, error_size)) ||
        gw_tls_use_certificate(context, host->certificates, error, error_size)) {
        wolfSSL_CTX_free(context);
        return NULL;
    }
    wolfSSL_CTX_set_session_cache_mode(context, WOLFSSL_SESS_CACHE_OFF);
    return context;
}

int gw_dtls_contexts_init(struct gw_dtls_contexts *contexts, bool fips, char *error, size_t error_size)
{
    int status;

    contexts->psk = wolfSSL_CTX_new(wolfDTLS_server_method());
    contexts->resumption = wolfSSL_CTX_new(wolfDTLSv1_2_server_method());
    status = set_up(contexts->psk, fips ? approved_psk_suites : psk_suites, WOLFSSL_DTLSV1_2, error, error_size);
    if (!status && fips)
        status = gw_fips_limit_context(contexts->psk, error, error_size);
    if (!status)
        status = set_up(contexts->resumption, resumption_list, WOLFSSL_DTLSV1_2, error, error_size);
    if (status)
        return status;
    wolfSSL_CTX_set_psk_server_callback(contexts->psk, on_psk);
    wolfSSL_CTX_set_psk_server_callback(contexts->resumption, on_psk);
    wolfSSL_CTX_set_psk_server_tls13_callback(contexts->psk, on_psk13);
    wolfSSL_CTX_set_session_cache_mode(contexts->psk, WOLFSSL_SESS_CACHE_OFF);
    /* No full handshake can succeed here: there is no certificate, and the callback has no key. */
    wolfSSL_CTX_set_session_cache_mode(contexts->resumption, WOLFSSL_SESS_CACHE_SERVER | WOLFSSL_SESS_CACHE_NO_INTERNAL);
    wolfSSL_CTX_sess_set_get_cb(contexts->resumption, on_get_session);
    wolfSSL_CTX_DisableExtendedMasterSecret(contexts->resumption);
    return 0;
}

void gw_dtls_contexts_free(struct gw_dtls_contexts *contexts)
{
    if (contexts->psk)
        wolfSSL_CTX_free(contexts->psk);
    if (contexts->resumption)
        wolfSSL_CTX_free(contexts->resumption);
    contexts->psk = contexts->resumption = NULL;
}

/* Of the host that the session logged in at. Hosts may have been replaced since, but not their number. */
static WOLFSSL *object_of_host(struct gw_tls_holder *holder, uint32_t host, struct gw_signature *signature)
{
    struct gw_tls_hosts *hosts = gw_tls_holder_take(holder);
    WOLFSSL *ssl = hosts && host < hosts->count ? gw_tls_object(hosts->hosts[host].datagrams) : NULL;

    if (ssl && signature)
        gw_signing_attach(ssl, hosts->hosts[host].datagrams, signature);
    gw_tls_hosts_release(hosts);
    if (ssl)
        wolfSSL_KeepArrays(ssl);    /* the proof needs secrets of the handshake */
    return ssl;
}

static WOLFSSL *object_new(struct gw_dtls_contexts *contexts, const struct gw_dtls_io *io)
{
    switch (io->config->mode) {
    case GW_DTLS_PSK:
        return gw_tls_object(contexts->psk);
    case GW_DTLS_RESUMPTION:
        return gw_tls_object(contexts->resumption);
    case GW_DTLS_CERTIFICATE:
        return object_of_host(contexts->hosts, io->config->host, io->signature);
    default:
        return NULL;
    }
}

WOLFSSL *gw_dtls_new(struct gw_dtls_contexts *contexts, struct gw_dtls_io *io, const uint8_t secret[GW_COOKIE_SECRET_SIZE],
                     const void *peer, size_t peer_size)
{
    uint8_t copy[128];
    WOLFSSL *ssl;

    if (peer_size > sizeof(copy))
        return NULL;
    ssl = object_new(contexts, io);
    if (!ssl)
        return NULL;
    wolfSSL_SetIOReadCtx(ssl, io);
    wolfSSL_SetIOWriteCtx(ssl, io);
    wolfSSL_dtls_set_using_nonblock(ssl, 1);
    memcpy(copy, peer, peer_size);      /* wolfSSL's parameters are not const */
    if (wolfSSL_dtls_set_peer(ssl, copy, (unsigned)peer_size) != WOLFSSL_SUCCESS ||
        wolfSSL_DTLS_SetCookieSecret(ssl, secret, GW_COOKIE_SECRET_SIZE) ||
        (io->config->mode != GW_DTLS_RESUMPTION &&
         wolfSSL_send_hrr_cookie(ssl, secret, GW_COOKIE_SECRET_SIZE) != WOLFSSL_SUCCESS)) {
        wolfSSL_free(ssl);
        return NULL;
    }
    return ssl;
}

struct reply {
    uint8_t *bytes;
    size_t size, room;
};

static int catch_reply(void *owner, const uint8_t *datagram, size_t size)
{
    struct reply *reply = owner;

    if (reply->size || size > reply->room)
        return -EMSGSIZE;
    memcpy(reply->bytes, datagram, size);
    reply->size = size;
    return 0;
}

int gw_dtls_retry13(struct gw_dtls_contexts *contexts, enum gw_dtls_mode mode, const uint8_t secret[GW_COOKIE_SECRET_SIZE],
                    const void *peer, size_t peer_size, const uint8_t *hello, size_t size, uint8_t *bytes, size_t *reply_size)
{
    const struct gw_dtls_config none = { .mode = mode };    /* a key that matches no binder */
    struct reply reply = { bytes, 0, *reply_size };
    struct gw_dtls_io io = { hello, size, catch_reply, &reply, &none, NULL };
    WOLFSSL *ssl = gw_dtls_new(contexts, &io, secret, peer, peer_size);
    int status = ssl ? wolfDTLS_accept_stateless(ssl) : WOLFSSL_FATAL_ERROR;

    /* wolfSSL checks the binder only after the cookie: a binder error means that the cookie is good. */
    if (ssl && status == WOLFSSL_FATAL_ERROR && wolfSSL_get_error(ssl, status) == BAD_BINDER)
        status = WOLFSSL_SUCCESS;
    if (ssl)
        wolfSSL_free(ssl);              /* after a fatal error it would send nothing more */
    /* No alert for a source that is not verified. */
    *reply_size = status == WOLFSSL_FAILURE && reply.size && bytes[0] == GW_DTLS_HANDSHAKE ? reply.size : 0;
    return status == WOLFSSL_SUCCESS;
}

static enum gw_dtls_result outcome(WOLFSSL *ssl, int status)
{
    WOLFSSL_ALERT_HISTORY alerts = { 0 };

    switch (wolfSSL_get_error(ssl, status)) {
    case WOLFSSL_ERROR_WANT_READ:
    case WOLFSSL_ERROR_WANT_WRITE:
    case WC_PENDING_E:                  /* a signature is awaited */
        return GW_DTLS_WANT;
    case WOLFSSL_ERROR_ZERO_RETURN:
        return GW_DTLS_CLOSED;
    default:
        if (wolfSSL_get_alert_history(ssl, &alerts) == WOLFSSL_SUCCESS && alerts.last_rx.code != -1)
            return GW_DTLS_CLOSED;
        return GW_DTLS_BROKEN;
    }
}

enum gw_dtls_result gw_dtls_accept(WOLFSSL *ssl)
{
    int status = wolfSSL_accept(ssl);

    return status == WOLFSSL_SUCCESS ? GW_DTLS_DONE : outcome(ssl, status);
}

int gw_dtls_finish(WOLFSSL *ssl, uint32_t mtu, struct gw_dtls_facts *facts)
{
    const char *cipher = wolfSSL_get_cipher_name(ssl);
    uint32_t record = mtu + GW_DTLS_OVERHEAD_MAX;

    facts->version = (uint16_t)wolfSSL_version(ssl);
    snprintf(facts->cipher, sizeof(facts->cipher), "%s", cipher ? cipher : "");
    if (record > UINT16_MAX || wolfSSL_dtls_set_mtu(ssl, (word16)record) != WOLFSSL_SUCCESS)
        return -EINVAL;
    return 0;
}

enum gw_dtls_result gw_dtls_read(WOLFSSL *ssl, uint8_t *out, size_t capacity, size_t *size)
{
    int status = wolfSSL_read(ssl, out, (int)capacity);

    if (status <= 0)
        return outcome(ssl, status);
    *size = (size_t)status;
    return GW_DTLS_DONE;
}

int gw_dtls_write(WOLFSSL *ssl, const uint8_t *payload, size_t size)
{
    return wolfSSL_write(ssl, payload, (int)size) == (int)size ? 0 : -EIO;
}
