/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "routes_gate.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* wolfsentry_action_res_t */
enum { ACCEPT = 1 << 0, REJECT = 1 << 1, CONNECT = 1 << 2, DISCONNECT = 1 << 3, DEROGATORY = 1 << 4, COMMENDABLE = 1 << 5 };

struct se_ws_gate {
    struct se_gate gate;
    const struct se_gate *front, *inner;
    pthread_rwlock_t lock;                     /* of the tables */
    struct se_ws *tables[SE_WS_MAX_TABLES];    /* the caller's */
    uint32_t count;
};

static const uint8_t V4_MAPPED[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static uint32_t results_of(uint16_t event)
{
    switch (event) {
    case SE_EVENT_TLS_HANDSHAKE_FAILED:
    case SE_EVENT_AUTH_FAILURE:
        return DEROGATORY;
    case SE_EVENT_AUTH_SUCCESS:
        return COMMENDABLE;
    case SE_EVENT_SESSION_START:
        return CONNECT;
    case SE_EVENT_DISCONNECT:
        return DISCONNECT;
    default:
        return 0;
    }
}

static void describe(const struct se_request *request, struct se_ws_traffic *traffic)
{
    memset(traffic, 0, sizeof *traffic);
    traffic->is_ipv4 = !memcmp(request->address, V4_MAPPED, sizeof V4_MAPPED);
    if (traffic->is_ipv4)
        memcpy(traffic->remote, request->address + sizeof V4_MAPPED, 4);
    else
        memcpy(traffic->remote, request->address, 16);
    traffic->remote_port = request->port;
    traffic->local_port = request->local_port;
    traffic->is_inbound = 1;
    traffic->protocol = request->protocol;
    if (!traffic->protocol)
        traffic->protocol = request->event == SE_EVENT_DTLS_HANDSHAKE ? IPPROTO_UDP : IPPROTO_TCP;
}

/* True if a route of a table decides. A request that the library fails to answer is refused. */
static int ask_tables(struct se_ws_gate *self, const struct se_request *request, struct se_verdict *verdict)
{
    struct se_ws_traffic traffic;
    int decided = 0;

    describe(request, &traffic);
    pthread_rwlock_rdlock(&self->lock);
    for (uint32_t at = 0; at < self->count && !decided; at++) {
        uint32_t results = request->verified == SE_SOURCE_VERIFIED ? results_of(request->event) : 0;   /* an unverified source is not scored */
        uint32_t route = SE_WS_NO_ROUTE;
        int code = se_ws_dispatch(self->tables[at], &traffic, NULL, (int64_t)(request->now / 1000), &results, &route);
        if (code || (route != SE_WS_NO_ROUTE && results & (ACCEPT | REJECT))) {
            *verdict = (struct se_verdict){ .action = code || results & REJECT ? SE_REJECT : SE_ACCEPT,
                                            .reason = SE_REASON_RULE, .rule = SE_NO_RULE };
            decided = 1;
        }
    }
    pthread_rwlock_unlock(&self->lock);
    return decided;
}

static void decide(void *engine, const struct se_request *request, struct se_verdict *verdict)
{
    struct se_ws_gate *self = engine;

    self->front->decide(self->front->engine, request, verdict);
    if (verdict->reason == SE_REASON_DEFAULT && !ask_tables(self, request, verdict))
        self->inner->decide(self->inner->engine, request, verdict);
}

static void decide_many(void *engine, const struct se_request *requests, struct se_verdict *verdicts, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++)
        decide(engine, &requests[at], &verdicts[at]);
}

struct se_ws_gate *se_ws_gate_open(const void *front, const void *inner)
{
    struct se_ws_gate *self = calloc(1, sizeof *self);

    if (!self)
        return NULL;
    self->front = front;
    self->inner = inner;
    self->gate = (struct se_gate){ .abi = SE_GATE_ABI,
                                   .request_size = sizeof(struct se_request),
                                   .verdict_size = sizeof(struct se_verdict),
                                   .engine = self,
                                   .decide = decide,
                                   .decide_many = decide_many };
    pthread_rwlock_init(&self->lock, NULL);
    return self;
}

void se_ws_gate_close(struct se_ws_gate *self)
{
    pthread_rwlock_destroy(&self->lock);
    free(self);
}

int se_ws_gate_set(struct se_ws_gate *self, struct se_ws *const *tables, uint32_t count)
{
    if (count > SE_WS_MAX_TABLES)
        return -EINVAL;
    pthread_rwlock_wrlock(&self->lock);
    memcpy(self->tables, tables, count * sizeof *tables);
    self->count = count;
    pthread_rwlock_unlock(&self->lock);
    return 0;
}

const void *se_ws_gate_table(struct se_ws_gate *self)
{
    return &self->gate;
}
