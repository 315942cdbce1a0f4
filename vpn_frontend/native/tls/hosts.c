/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/hosts.h"

#include "runtime/clock.h"
#include "tls/context.h"
#include "tls/refusal.h"

#include <stdlib.h>
#include <string.h>

#define CIPHERS_SIZE 1024u

/* Copies the names of suites, those that begin with "DHE-" only if `dhe`. False: there are too many. */
static bool copy_ciphers(const char *list, bool dhe, char out[CIPHERS_SIZE], bool *has_dhe)
{
    size_t used = 0;

    *has_dhe = false;
    while (*list) {
        size_t size = strcspn(list, ":");
        bool is_dhe = !strncmp(list, "DHE-", 4);

        *has_dhe |= is_dhe;
        if (used + size + 2 > CIPHERS_SIZE)
            return false;
        if (!is_dhe || dhe) {
            if (used)
                out[used++] = ':';
            memcpy(out + used, list, size);
            used += size;
        }
        list += size + (list[size] == ':');
    }
    out[used] = '\0';
    return true;
}

/* Called by wolfSSL when a client asks for the status of the certificate. The connection holds the hosts during its handshake.
 * wolfSSL frees the copy. */
static int staple(WOLFSSL *ssl, void *argument)
{
    const struct gw_tls_certificate *certificate = argument;
    uint8_t *copy = wolfSSL_Malloc(certificate->ocsp_size);

    if (!copy)
        return WOLFSSL_OCSP_STATUS_CB_NOACK;
    memcpy(copy, certificate->ocsp, certificate->ocsp_size);
    if (wolfSSL_set_tlsext_status_ocsp_resp(ssl, copy, (int)certificate->ocsp_size) == WOLFSSL_SUCCESS)
        return WOLFSSL_OCSP_STATUS_CB_OK;
    wolfSSL_Free(copy);
    return WOLFSSL_OCSP_STATUS_CB_NOACK;
}

static int add_response(struct gw_tls_certificate *made, const struct gw_certificate *given, char *error, size_t error_size)
{
    if (!given->ocsp || !given->ocsp_size)
        return 0;
    if (given->ocsp_size > GW_OCSP_MAX)
        return gw_tls_refuse(error, error_size, "the OCSP response is too large", 0);
    made->ocsp = malloc(given->ocsp_size);
    if (!made->ocsp)
        return gw_tls_refuse(error, error_size, "no memory for the OCSP response", 0);
    memcpy(made->ocsp, given->ocsp, given->ocsp_size);
    made->ocsp_size = given->ocsp_size;
    if (wolfSSL_CTX_set_tlsext_status_cb(made->context, staple) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_set_tlsext_status_arg(made->context, made) != WOLFSSL_SUCCESS)
        return gw_tls_refuse(error, error_size, "this wolfSSL cannot staple OCSP responses", 0);
    return 0;
}

static int add_certificate(struct gw_tls_host_contexts *made, const struct gw_tls_host *host, const struct gw_certificate *given,
                           const char *ciphers, char *error, size_t error_size)
{
    struct gw_tls_certificate *certificate = &made->certificates[made->certificate_count];
    char list[CIPHERS_SIZE];
    bool has_dhe;

    if (!copy_ciphers(ciphers, false, list, &has_dhe))
        return gw_tls_refuse(error, error_size, "the list of cipher suites is too long", 0);
    certificate->context = gw_tls_context_new(host, given, *list ? list : ciphers, error, error_size);
    if (!certificate->context)
        return -1;
    made->certificate_count++;
    certificate->key_type = given->key_type;
    if (add_response(certificate, given, error, error_size))
        return -1;
    if (!has_dhe || given->key_type != GW_KEY_RSA || made->dhe)
        return 0;
    made->dhe = gw_tls_context_new(host, given, ciphers, error, error_size);
    if (made->dhe && given->signer_key)
        gw_signing_keep_dh(made->dhe);
    return made->dhe ? gw_tls_use_dhe(made->dhe, error, error_size) : -1;
}

static int add_host(struct gw_tls_host_contexts *made, const struct gw_tls_host *host, const char *ciphers, char *error,
                    size_t error_size)
{
    if (!host->certificate_count || host->certificate_count > GW_CERTIFICATES_MAX)
        return gw_tls_refuse(error, error_size, "a host needs between one and four certificates", 0);
    if (host->name && strlen(host->name) >= sizeof(made->name))
        return gw_tls_refuse(error, error_size, "the name of a host is too long", 0);
    if (host->name)
        strcpy(made->name, host->name);
    made->fips = host->fips;
    for (uint32_t i = 0; i < host->certificate_count; i++)
        if (add_certificate(made, host, &host->certificates[i], ciphers, error, error_size))
            return -1;
    return 0;
}

struct gw_tls_hosts *gw_tls_hosts_new(const struct gw_tls *tls, char *error, size_t error_size)
{
    struct gw_tls_hosts *hosts;

    if (!tls->host_count || tls->host_count > GW_HOSTS_MAX) {
        gw_tls_refuse(error, error_size, "the number of hosts must be 1 to 64", 0);
        return NULL;
    }
    hosts = calloc(1, sizeof(*hosts) + tls->host_count * sizeof(*hosts->hosts));
    if (!hosts) {
        gw_tls_refuse(error, error_size, "no memory for a TLS context", 0);
        return NULL;
    }
    hosts->references = 1;
    for (uint32_t i = 0; i < tls->host_count; i++) {
        hosts->count++;
        if (add_host(&hosts->hosts[i], &tls->hosts[i], tls->ciphers ? tls->ciphers : "", error, error_size)) {
            gw_tls_hosts_release(hosts);
            return NULL;
        }
    }
    return hosts;
}

static void free_host(struct gw_tls_host_contexts *host)
{
    for (uint32_t i = 0; i < host->certificate_count; i++) {
        wolfSSL_CTX_free(host->certificates[i].context);    /* objects made from it hold their own references */
        free(host->certificates[i].ocsp);
    }
    wolfSSL_CTX_free(host->dhe);
    wolfSSL_CTX_free(host->datagrams);
}

void gw_tls_hosts_release(struct gw_tls_hosts *hosts)
{
    if (!hosts || __atomic_sub_fetch(&hosts->references, 1, __ATOMIC_ACQ_REL))
        return;
    for (uint32_t i = 0; i < hosts->count; i++)
        free_host(&hosts->hosts[i]);
    free(hosts);
}

uint32_t gw_tls_hosts_find(const struct gw_tls_hosts *hosts, const char *name)
{
    for (uint32_t i = 1; i < hosts->count; i++)
        if (!strcmp(hosts->hosts[i].name, name))
            return i;
    return 0;
}

WOLFSSL_CTX *gw_tls_hosts_choose(const struct gw_tls_hosts *hosts, uint32_t host, const struct gw_tls_hello *hello)
{
    const struct gw_tls_host_contexts *contexts = &hosts->hosts[host];

    if (!hello->tls13 && gw_tls_hello_needs_dhe(hello))
        return contexts->dhe ? contexts->dhe : contexts->certificates[0].context;
    for (uint32_t i = 0; i < contexts->certificate_count; i++)
        if (gw_tls_hello_accepts(hello, contexts->certificates[i].key_type))
            return contexts->certificates[i].context;
    return contexts->certificates[0].context;
}

void gw_tls_holder_init(struct gw_tls_holder *holder)
{
    pthread_mutex_init(&holder->lock, NULL);
    holder->hosts = NULL;
    holder->dhe_free_at = 0;
}

void gw_tls_holder_set(struct gw_tls_holder *holder, struct gw_tls_hosts *hosts)
{
    struct gw_tls_hosts *old;

    pthread_mutex_lock(&holder->lock);
    old = holder->hosts;
    holder->hosts = hosts;
    pthread_mutex_unlock(&holder->lock);
    gw_tls_hosts_release(old);
}

struct gw_tls_hosts *gw_tls_holder_take(struct gw_tls_holder *holder)
{
    struct gw_tls_hosts *hosts;

    pthread_mutex_lock(&holder->lock);
    hosts = holder->hosts;
    if (hosts)
        __atomic_add_fetch(&hosts->references, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&holder->lock);
    return hosts;
}

void gw_tls_holder_free(struct gw_tls_holder *holder)
{
    gw_tls_hosts_release(holder->hosts);
    holder->hosts = NULL;
    pthread_mutex_destroy(&holder->lock);
}

/* GCRA with a burst of one second. */
bool gw_tls_holder_take_dhe(struct gw_tls_holder *holder, uint64_t now)
{
    uint64_t free_at = __atomic_load_n(&holder->dhe_free_at, __ATOMIC_RELAXED), next;

    do {
        next = (free_at > now ? free_at : now) + GW_SECOND / GW_DHE_PER_SECOND;
        if (next > now + GW_SECOND)
            return false;
    } while (!__atomic_compare_exchange_n(&holder->dhe_free_at, &free_at, next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return true;
}
