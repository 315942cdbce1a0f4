/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "runtime/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct gw_worker *gw_worker_new(struct gw *gateway, uint32_t index, uint64_t seed)
{
    struct gw_worker *worker = calloc(1, sizeof(*worker));

    if (!worker)
        return NULL;
    worker->gateway = gateway;
    worker->index = index;
    worker->now = gw_clock_now();
    worker->subnet4 = (struct gw_subnet4){ gateway->config.network4, gateway->config.mask4 };
    gw_wheel_init(&worker->sessions);
    worker->busy_links.epoll = worker->busy_links.timer.fd = -1;
    worker->signer.fd = -1;
    worker->signer.now = &worker->now;
    worker->slots_size = gateway->config.max_connections;
    worker->slots = calloc(worker->slots_size, sizeof(*worker->slots));
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    worker->mailbox.fd = -1;
    worker->stop = gw_message_new(GW_MSG_STOP, NULL, 0);
    if (!worker->slots || !worker->stop || worker->epoll < 0 || gw_mailbox_init(&worker->mailbox) ||
        gw_address_table_init(&worker->addresses, gateway->config.max_sessions, seed) || gw_prefix_table_init(&worker->iroutes))
        goto fail;
    for (uint32_t i = 0; i < worker->slots_size; i++) {
        worker->slots[i].generation = 1;
        worker->slots[i].next_free = i + 1;
    }
    worker->mailbox_pollable = (struct gw_pollable){ GW_POLL_MAILBOX, .fd = worker->mailbox.fd };
    if (gw_worker_watch(worker, &worker->mailbox_pollable, EPOLLIN) || gw_busy_links_init(&worker->busy_links, worker->epoll))
        goto fail;
    return worker;

fail:
    gw_worker_free(worker);
    return NULL;
}

void gw_worker_free(struct gw_worker *worker)
{
    for (uint32_t i = 0; i < GW_WORKERS_MAX; i++)
        free(worker->outgoing[i]);
    gw_signer_link_free(&worker->signer);
    for (uint32_t i = 0; i < worker->tun_count; i++) {
        close(worker->tuns[i].pollable.fd);
        gw_gro_free(&worker->tuns[i].gro);
    }
    gw_busy_links_free(&worker->busy_links);
    if (worker->epoll >= 0)
        close(worker->epoll);
    gw_mailbox_free(&worker->mailbox);
    gw_address_table_free(&worker->addresses);
    gw_prefix_table_free(&worker->iroutes);
    gw_chunk_pool_free(&worker->chunks);
    free(worker->slots);
    free(worker->stop);
    free(worker);
}

int gw_worker_watch(struct gw_worker *worker, struct gw_pollable *pollable, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = pollable };

    return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, pollable->fd, &event) ? -errno : 0;
}
