/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The verbs of gateway.h: everything here runs on Python's threads and speaks to the workers through their mailboxes.
 */
#include "gateway.h"

#include "crossing.h"
#include "dtls_port.h"
#include "tun.h"
#include "worker.h"

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
    if (config->max_links < 1 || config->max_links >= GW_SLOTS_MAX)
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

    if (g->started || worker_index >= g->config.workers)
        return -EINVAL;
    worker = g->workers[worker_index];
    if (worker->listener_count == GW_LISTENERS_MAX)
        return -ENOSPC;
    listener = &worker->listeners[worker->listener_count];
    listener->source = (struct gw_source){ GW_SOURCE_LISTENER, fd };
    listener->port = local_port(fd);
    status = set_nonblocking(fd);
    if (!status)
        status = gw_worker_watch(worker, &listener->source, EPOLLIN);
    if (!status)
        worker->listener_count++;
    return status;
}

int gw_set_tun(gw *g, uint32_t worker_index, int fd)
{
    struct gw_worker *worker;
    int status;

    if (g->started || worker_index >= g->config.workers)
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

    if (g->started || worker >= g->config.workers)
        return -EINVAL;
    status = set_nonblocking(fd);
    return status ? status : gw_dtls_port_add(g->workers[worker], fd);
}

int gw_start(gw *g, char *error, size_t error_size)
{
    if (g->started || !g->tls.context) {
        snprintf(error, error_size, g->started ? "started already" : "there is no certificate yet");
        return -EINVAL;
    }
    for (uint32_t i = 0; i < g->config.workers; i++) {
        int status = gw_worker_start(g->workers[i]);

        if (status) {
            snprintf(error, error_size, "worker %u does not start: %s", i, strerror(-status));
            g->config.workers = i;  /* gw_close joins those that run; the rest own nothing that was used */
            g->started = i > 0;
            return status;
        }
    }
    g->started = true;
    return 0;
}

static int post(gw *g, uint32_t worker, struct gw_message *message)
{
    bool holding = __atomic_load_n(&g->holding, __ATOMIC_RELAXED);
    int status = -ENOENT;

    if (!message)
        return -ENOMEM;
    if (worker < g->config.workers)
        status = (holding ? gw_mailbox_put : gw_mailbox_post)(&g->workers[worker]->mailbox, message);
    if (status)
        free(message);
    return status;
}

static void post_all(gw *g, enum gw_message_kind kind, uint64_t session, const void *data, size_t size)
{
    for (uint32_t i = 0; i < g->config.workers; i++) {
        struct gw_message *message = gw_message_new(kind, data, size);

        if (message)
            message->session = session;
        post(g, i, message);
    }
}

void gw_hold(gw *g)
{
    __atomic_store_n(&g->holding, true, __ATOMIC_RELAXED);
}

void gw_release(gw *g)
{
    __atomic_store_n(&g->holding, false, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < g->config.workers; i++)
        gw_mailbox_wake(&g->workers[i]->mailbox);
}

void gw_stop_accepting(gw *g)
{
    post_all(g, GW_MSG_STOP_ACCEPTING, 0, NULL, 0);
}

void gw_close(gw *g)
{
    if (!g)
        return;
    if (g->started) {
        gw_release(g);
        post_all(g, GW_MSG_STOP, 0, NULL, 0);
        for (uint32_t i = 0; i < g->config.workers; i++)
            pthread_join(g->workers[i]->thread, NULL);
    }
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
        if (events[i].kind == GW_LINK_CLOSED && events[i].reserved)
            __atomic_sub_fetch(&g->links, 1, __ATOMIC_RELAXED);
        if (events[i].kind == GW_LINK_DATA) {
            struct gw_message *credit = gw_message_new(GW_MSG_LINK_CREDIT, NULL, 0);

            if (credit) {
                credit->link = events[i].link;
                credit->value = events[i].data_size;
            }
            post(g, gw_id_worker(events[i].link), credit);
        }
    }
    return taken;
}

int gw_link_send(gw *g, uint64_t link, const uint8_t *data, size_t size)
{
    struct gw_message *message = gw_message_new(GW_MSG_LINK_SEND, data, size);

    if (message)
        message->link = link;
    return post(g, gw_id_worker(link), message);
}

int gw_link_close(gw *g, uint64_t link)
{
    struct gw_message *message = gw_message_new(GW_MSG_LINK_CLOSE, NULL, 0);

    if (message)
        message->link = link;
    return post(g, gw_id_worker(link), message);
}

int gw_session_open(gw *g, uint64_t link, const struct gw_session_config *config, uint64_t *session)
{
    uint32_t worker = gw_id_worker(link);
    struct gw_message *message;
    uint8_t addresses[32];
    int status;

    if (worker >= g->config.workers)
        return -ENOENT;
    *session = gw_session_reserve(&g->sessions, worker, config);
    if (!*session)
        return -ENOSPC;
    message = gw_message_new(GW_MSG_SESSION_OPEN, NULL, 0);
    if (message)
        message->session = *session;
    status = post(g, worker, message);
    if (status) {
        gw_session_release(&g->sessions, &g->sessions.slots[gw_id_slot(*session)]);
        return status;
    }
    memcpy(addresses, config->inner4, 16);
    memcpy(addresses + 16, config->inner6, 16);
    post_all(g, GW_MSG_ROUTE_ADD, *session, addresses, sizeof(addresses));
    return 0;
}

int gw_session_dtls(gw *g, uint64_t session, const struct gw_dtls_config *config)
{
    struct gw_message *message;
    int status;

    if (config->way < GW_DTLS_PSK || config->way > GW_DTLS_CERTIFICATE)
        return -EINVAL;
    if (gw_session_read(&g->sessions, session, NULL, NULL))
        return -ENOENT;
    message = gw_message_new(GW_MSG_SESSION_DTLS, config, sizeof(*config));
    if (!message)
        return -ENOMEM;
    message->session = session;
    status = gw_directory_add(&g->dtls->names, config->name, session);
    if (status) {
        free(message);
        return status;
    }
    status = post(g, gw_session_home(&g->sessions, session), message);
    if (status)
        gw_directory_remove(&g->dtls->names, config->name, session);
    return status;
}

int gw_session_attach(gw *g, uint64_t session, uint64_t link, const uint8_t *head, size_t head_size,
                      const uint8_t *early, size_t early_size)
{
    struct gw_message *message = gw_message_new(GW_MSG_ATTACH, NULL, head_size + early_size);

    if (!message)
        return -ENOMEM;
    if (head_size)
        memcpy(message->data, head, head_size);
    if (early_size)
        memcpy(message->data + head_size, early, early_size);
    message->link = link;
    message->session = session;
    message->value = head_size;
    if (gw_id_worker(session) >= g->config.workers) {
        free(message);
        return -ENOENT;
    }
    return post(g, gw_id_worker(link), message);
}

int gw_session_close(gw *g, uint64_t session, const uint8_t *frame, size_t frame_size)
{
    struct gw_session_config config;
    struct gw_message *message;
    uint8_t addresses[32];

    if (gw_session_read(&g->sessions, session, &config, NULL))
        return -ENOENT;
    memcpy(addresses, config.inner4, 16);
    memcpy(addresses + 16, config.inner6, 16);
    post_all(g, GW_MSG_ROUTE_REMOVE, session, addresses, sizeof(addresses));
    message = gw_message_new(GW_MSG_SESSION_CLOSE, frame, frame_size);
    if (message)
        message->session = session;
    return post(g, gw_session_home(&g->sessions, session), message);
}

static int tell_session(gw *g, uint64_t session, enum gw_message_kind kind, size_t value)
{
    struct gw_message *message;

    if (gw_session_read(&g->sessions, session, NULL, NULL))
        return -ENOENT;
    message = gw_message_new(kind, NULL, 0);
    if (message) {
        message->session = session;
        message->value = value;
    }
    return post(g, gw_session_home(&g->sessions, session), message);
}

int gw_session_resize(gw *g, uint64_t session, uint32_t mtu)
{
    if (mtu < GW_MTU_MIN)
        return -EINVAL;
    return tell_session(g, session, GW_MSG_SESSION_RESIZE, mtu);
}

int gw_session_ask(gw *g, uint64_t session)
{
    return tell_session(g, session, GW_MSG_SESSION_ASK, 0);
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
