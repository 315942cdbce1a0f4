/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Opening, starting and closing a gateway, on Python's threads.
 */
#include "commands.h"
#include "dtls/udp_port.h"
#include "tls/context.h"
#include "tls/hosts.h"
#include "worker_loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const char *fault(const struct gw_config *config)
{
    const struct se_gate *gate = config->gate;

    if (config->workers < 1 || config->workers > GW_WORKERS_MAX)
        return "the number of workers must be 1 to 64";
    if (config->max_connections < 1 || config->max_connections >= GW_SLOTS_MAX)
        return "max_connections is out of range";
    if (config->max_sessions < 1 || config->max_sessions >= GW_SLOTS_MAX)
        return "max_sessions is out of range";
    if (config->proxy_count > GW_PROXIES_MAX)
        return "there are more than 1024 ranges of proxies";
    if (!gate)
        return "there is no policy gate";
    if (gate->abi != SE_GATE_ABI || gate->request_size != sizeof(struct se_request) ||
        gate->verdict_size != sizeof(struct se_verdict) || !gate->decide)
        return "the policy gate has another version; rebuild both native cores";
    return NULL;
}

static int prepare(struct gw *g)
{
    if (getrandom(&g->seed, sizeof(g->seed), 0) != (ssize_t)sizeof(g->seed))
        return -EIO;
    g->proxies = calloc(g->config.proxy_count + 1, sizeof(*g->proxies));
    if (!g->proxies)
        return -ENOMEM;
    if (g->config.proxy_count)
        memcpy(g->proxies, g->config.proxies, g->config.proxy_count * sizeof(*g->proxies));
    if (gw_tls_library_init() || gw_event_queue_init(&g->events) ||
        gw_session_table_init(&g->sessions, g->config.max_sessions, g->config.accounts))
        return -ENOMEM;
    for (uint32_t i = 0; i < g->config.workers; i++) {
        g->workers[i] = gw_worker_new(g, i, g->seed);
        if (!g->workers[i])
            return -ENOMEM;
    }
    return 0;
}

gw *gw_open(const struct gw_config *config, char *error, size_t error_size)
{
    const char *why = fault(config);
    struct gw *g;

    if (why) {
        snprintf(error, error_size, "%s", why);
        return NULL;
    }
    g = calloc(1, sizeof(*g));
    if (!g) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    g->config = *config;
    g->gate = config->gate;
    g->events.fd = -1;
    pthread_mutex_init(&g->sessions.lock, NULL);
    pthread_mutex_init(&g->batches.lock, NULL);
    snprintf(error, error_size, "out of memory");
    g->tls = malloc(sizeof(*g->tls));
    g->acme = malloc(sizeof(*g->acme));
    if (g->tls)
        gw_tls_holder_init(g->tls);
    if (g->acme)
        gw_tls_holder_init(g->acme);
    g->dtls = g->tls && g->acme ? gw_dtls_hub_new(config->max_sessions, g->tls, config->fips != 0, error, error_size) : NULL;
    if (!g->dtls) {
        gw_close(g);
        return NULL;
    }
    if (prepare(g)) {
        snprintf(error, error_size, "out of memory or descriptors for %u workers", config->workers);
        gw_close(g);
        return NULL;
    }
    return g;
}

int gw_set_tls(gw *g, const struct gw_tls *tls, char *error, size_t error_size)
{
    struct gw_tls_hosts *hosts = gw_tls_hosts_new(tls, error, error_size);

    if (!hosts)
        return -EINVAL;
    for (uint32_t i = 0; i < hosts->count; i++) {
        hosts->hosts[i].datagrams = gw_dtls_context_new(&tls->hosts[i], error, error_size);
        if (!hosts->hosts[i].datagrams) {
            gw_tls_hosts_release(hosts);
            return -EINVAL;
        }
    }
    gw_tls_holder_set(g->tls, hosts);
    return 0;
}

int gw_set_acme(gw *g, const struct gw_tls *tls, char *error, size_t error_size)
{
    struct gw_tls_hosts *hosts = tls->host_count ? gw_tls_hosts_new(tls, error, error_size) : NULL;

    if (tls->host_count && !hosts)
        return -EINVAL;
    gw_tls_holder_set(g->acme, hosts);
    return 0;
}

/* A session's worker answers a datagram through its own socket of the same index, so all workers need as many. */
static bool same_sockets(const gw *g)
{
    uint32_t first = gw_udp_port_sockets(g->workers[0]);

    for (uint32_t i = 1; i < g->config.workers; i++)
        if (gw_udp_port_sockets(g->workers[i]) != first)
            return false;
    return true;
}

static const char *unready(const gw *g)
{
    if (g->running)
        return "started already";
    if (!g->tls->hosts)
        return "there is no certificate yet";
    return same_sockets(g) ? NULL : "every worker needs as many UDP sockets as the others";
}

int gw_start(gw *g, char *error, size_t error_size)
{
    const char *why = unready(g);

    if (why) {
        snprintf(error, error_size, "%s", why);
        return -EINVAL;
    }
    for (uint32_t i = 0; i < g->config.workers; i++) {
        int status = gw_worker_start(g->workers[i]);

        if (status) {
            snprintf(error, error_size, "worker %u does not start: %s", i, strerror(-status));
            return status;          /* gw_close joins the running ones */
        }
        g->running++;
    }
    return 0;
}

void gw_pause_accepting(gw *g)
{
    gw_post_all(g, gw_write_all(g, GW_MSG_PAUSE_ACCEPTING, 0, NULL, 0));
}

void gw_resume_accepting(gw *g)
{
    gw_post_all(g, gw_write_all(g, GW_MSG_RESUME_ACCEPTING, 0, NULL, 0));
}

void gw_stop_accepting(gw *g)
{
    gw_post_all(g, gw_write_all(g, GW_MSG_STOP_ACCEPTING, 0, NULL, 0));
}

void gw_close(gw *g)
{
    if (!g)
        return;
    __atomic_store_n(&g->holding, false, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < g->running; i++) {
        gw_post(g, i, g->workers[i]->stop);
        g->workers[i]->stop = NULL;
    }
    for (uint32_t i = 0; i < g->running; i++)
        pthread_join(g->workers[i]->thread, NULL);
    for (uint32_t i = 0; i < GW_WORKERS_MAX; i++)
        gw_worker_close(g->workers[i]);
    gw_batch_pool_free(&g->batches);
    gw_session_table_free(&g->sessions);
    gw_dtls_hub_free(g->dtls);
    gw_event_queue_free(&g->events);
    if (g->tls)
        gw_tls_holder_free(g->tls);
    if (g->acme)
        gw_tls_holder_free(g->acme);
    free(g->tls);
    free(g->acme);
    free(g->proxies);
    pthread_mutex_destroy(&g->sessions.lock);
    pthread_mutex_destroy(&g->batches.lock);
    free(g);
}
