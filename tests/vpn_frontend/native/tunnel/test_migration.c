/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Migration of a session between two workers whose turns the test plays. Each worker has read its own clock, and the receiver may
 * have read it first.
 */
#include "tunnel/dtls_channel.h"
#include "tunnel/migration.h"
#include "tunnel/session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static void accept_all(void *engine, const struct se_request *request, struct se_verdict *verdict)
{
    (void)engine;
    (void)request;
    *verdict = (struct se_verdict){ .action = SE_ACCEPT };
}

/* With a DTLS connection that was heard this moment. */
static struct gw_session *begin(gw *gateway, struct gw_worker *worker)
{
    const struct gw_session_config client = { .mtu = 1300, .dpd_s = 30, .rekey_s = 3600, .idle_s = 1800 };
    uint64_t id = gw_session_reserve(&gateway->sessions, worker->index, &client);
    struct gw_session *session = &gateway->sessions.slots[gw_id_slot(id)];

    assert(id);
    gw_session_begin(worker, id);
    session->dtls = calloc(1, sizeof(*session->dtls));
    assert(session->dtls);
    session->dtls->live = calloc(1, sizeof(*session->dtls->live));
    assert(session->dtls->live);
    session->dtls->heard = session->dtls->probed = worker->now;
    return session;
}

static void arrive(struct gw_worker *worker)
{
    struct gw_message *message = gw_mailbox_take(&worker->mailbox);

    assert(message && message->kind == GW_MSG_SESSION_MOVE && !message->next);
    gw_migration_receive(worker, message->session);
    free(message);
}

/* No time of the session is later than its new worker's clock: otherwise DPD and idleness would never be due. */
static void test_that_time_goes_on(gw *gateway, struct gw_worker *from, struct gw_worker *to)
{
    struct gw_session *session;
    struct gw_event event;
    uint8_t data[GW_EVENT_MAX_DATA];

    to->now = gw_clock_now();
    from->now = to->now + GW_MS;
    session = begin(gateway, from);
    gw_migration_send(from, session, to->index);
    arrive(to);
    assert(gw_worker_find(to, session->id) == session && !gw_worker_find(from, session->id));
    gw_sessions_tick(to);
    assert(gw_events(gateway, &event, 1, data, sizeof(data)) == 0);
    assert(session->dtls->live && !session->idle_told);
}

/* Freed with the gateway: LeakSanitizer judges. */
static void test_that_what_is_under_way_at_the_end_is_freed(gw *gateway, struct gw_worker *from, struct gw_worker *to)
{
    gw_migration_send(from, begin(gateway, from), to->index);
}

int main(void)
{
    const struct se_gate gate = { .abi = SE_GATE_ABI, .request_size = sizeof(struct se_request),
                                  .verdict_size = sizeof(struct se_verdict), .decide = accept_all };
    const struct gw_config config = { .workers = 2, .max_connections = 4, .max_sessions = 4, .gate = &gate };
    char error[256];
    gw *gateway = gw_open(&config, error, sizeof(error));

    assert(gateway);
    test_that_time_goes_on(gateway, gateway->workers[0], gateway->workers[1]);
    test_that_what_is_under_way_at_the_end_is_freed(gateway, gateway->workers[0], gateway->workers[1]);
    gw_close(gateway);
    puts("ok");
    return 0;
}
