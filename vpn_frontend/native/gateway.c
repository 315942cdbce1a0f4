/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The life of a gateway, what it is given before it starts, and what it tells. Everything here runs on Python's threads.
 */
#include "gateway.h"

#include "commands.h"
#include "runtime/handoff.h"
#include "tunnel/udp_demux.h"
#include "tun/queue.h"
#include "runtime/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const stat_names[] = {
#define STAT_NAME(name) #name,
    GW_STATS(STAT_NAME)
#undef STAT_NAME
};

static const char *fault(const struct gw_config *config)
{
    const struct se_gate *gate = config->gate;

    if (config->workers < 1 || config->workers > GW_WORKERS_MAX)
        return "the number of workers must be 1 to 64";
    if (config->max_connections < 1 || config->max_connections >= GW_SLOTS_MAX)
        return "max_links is out of range";
    if (config->max_sessions < 1 || config->max_sessions >= GW_SLOTS_MAX)
        return "max_sessions is out of range";
    if (!gate)
        return "there is no policy gate";
    if (gate->abi != SE_GATE_ABI || gate->request_size != sizeof(struct se_request) ||
        gate->verdict_size != sizeof(struct se_verdict) || !gate->decide)
        return "the policy gate speaks another version; rebuild both native cores";
    return NULL;
}

static int prepare(struct gw *g)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        return -EIO;
    if (gw_tls_library_init() || gw_event_queue_init(&g->events) || gw_session_table_init(&g->sessions, g->config.max_sessions))
        return -ENOMEM;
    for (uint32_t i = 0; i < g->config.workers; i++) {
        g->workers[i] = gw_worker_new(g, i, seed);
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
    pthread_mutex_init(&g->tls.lock, NULL);
    pthread_mutex_init(&g->sessions.lock, NULL);
    pthread_mutex_init(&g->batches.lock, NULL);
    g->dtls = gw_dtls_hub_new(config->max_sessions, error, error_size);
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
    WOLFSSL_CTX *stream = gw_tls_context_new(tls, error, error_size);
    WOLFSSL_CTX *datagrams = stream ? gw_dtls_context_new(tls, error, error_size) : NULL;

    if (!datagrams) {
        wolfSSL_CTX_free(stream);
        return -EINVAL;
    }
    gw_tls_holder_set(&g->tls, stream);
    gw_tls_holder_set(&g->dtls->contexts.certificate, datagrams);
    return 0;
}

static uint16_t local_port(int fd)
{
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &size))
        return 0;
    return ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                              : ((struct sockaddr_in6 *)&address)->sin6_port);
}

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int gw_add_listener(gw *g, uint32_t worker_index, int fd)
{
    struct gw_worker *worker;
    struct gw_listener *listener;
    int status;

    if (g->running || worker_index >= g->config.workers)
        return -EINVAL;
    worker = g->workers[worker_index];
    if (worker->listener_count == GW_LISTENERS_MAX)
        return -ENOSPC;
    listener = &worker->listeners[worker->listener_count];
    listener->pollable = (struct gw_pollable){ GW_POLL_LISTENER, fd };
    listener->port = local_port(fd);
    status = set_nonblocking(fd);
    if (!status)
        status = gw_worker_watch(worker, &listener->pollable, EPOLLIN);
    if (!status)
        worker->listener_count++;
    return status;
}

int gw_set_tun(gw *g, uint32_t worker_index, int fd)
{
    struct gw_worker *worker;
    int status;

    if (g->running || worker_index >= g->config.workers)
        return -EINVAL;
    worker = g->workers[worker_index];
    if (worker->tun.fd >= 0)
        return -EEXIST;
    status = set_nonblocking(fd);
    if (!status)
        status = gw_tun_init(worker, fd, g->config.offloads);
    if (status)
        return status;
    worker->tun.fd = fd;
    status = gw_worker_watch(worker, &worker->tun, EPOLLIN);
    if (status)
        worker->tun.fd = -1;
    return status;
}

int gw_add_udp(gw *g, uint32_t worker, int fd)
{
    int status;

    if (g->running || worker >= g->config.workers)
        return -EINVAL;
    status = set_nonblocking(fd);
    return status ? status : gw_udp_demux_add(g->workers[worker], fd);
}

/* A session's worker answers a datagram through its own socket of the number that the datagram came in by: all need as many. */
static bool same_sockets(const gw *g)
{
    uint32_t first = gw_udp_demux_sockets(g->workers[0]);

    for (uint32_t i = 1; i < g->config.workers; i++)
        if (gw_udp_demux_sockets(g->workers[i]) != first)
            return false;
    return true;
}

static const char *unready(const gw *g)
{
    if (g->running)
        return "started already";
    if (!g->tls.context)
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
            return status;          /* gw_close joins those that run */
        }
        g->running++;
    }
    return 0;
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
        gw_worker_free(g->workers[i]);
    gw_batch_pool_free(&g->batches);
    gw_session_table_free(&g->sessions);
    gw_dtls_hub_free(g->dtls);
    gw_event_queue_free(&g->events);
    gw_tls_holder_free(&g->tls);
    pthread_mutex_destroy(&g->tls.lock);
    pthread_mutex_destroy(&g->sessions.lock);
    pthread_mutex_destroy(&g->batches.lock);
    free(g);
}

int gw_event_fd(gw *g)
{
    return g->events.fd;
}

int gw_events(gw *g, struct gw_event *events, uint32_t count, uint8_t *data, size_t data_size)
{
    int taken = gw_event_pop(&g->events, events, count, data, data_size);

    for (int i = 0; i < taken; i++) {
        if (events[i].kind == GW_CONNECTION_CLOSED && events[i].reserved)
            __atomic_sub_fetch(&g->connections, 1, __ATOMIC_RELAXED);
        if (events[i].kind == GW_CONNECTION_DATA) {
            struct gw_message *credit = gw_message_new(GW_MSG_CREDIT, NULL, 0);

            if (credit) {
                credit->connection = events[i].connection;
                credit->value = gw_event_cost(events[i].data_size);
            }
            gw_post(g, gw_id_worker(events[i].connection), credit);
        }
    }
    return taken;
}

int gw_session_counters(gw *g, uint64_t session, struct gw_counters *counters)
{
    return gw_session_read(&g->sessions, session, NULL, counters);
}

const char *gw_stat_name(uint32_t index)
{
    return index < sizeof(stat_names) / sizeof(stat_names[0]) ? stat_names[index] : NULL;
}

void gw_stats(gw *g, uint64_t *values, uint32_t count)
{
    for (uint32_t i = 0; i < count && i < sizeof(stat_names) / sizeof(stat_names[0]); i++) {
        values[i] = 0;
        for (uint32_t w = 0; w < g->config.workers; w++)
            values[i] += gw_load(&g->workers[w]->stats[i + 1]);
    }
}
