/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Routes and messages that arrive in the middle of a worker's turn, which the test plays: what a message carries, such as packets
 * behind a CONNECT, is judged by the routes that were posted before it.
 */
#include "commands.h"
#include "messages.h"
#include "packet/address.h"
#include "runtime/routes.h"
#include "wire.h"

#include <assert.h>
#include <stdio.h>

static void accept_all(void *engine, const struct se_request *request, struct se_verdict *verdict)
{
    (void)engine;
    (void)request;
    *verdict = (struct se_verdict){ .action = SE_ACCEPT };
}

static void address_of(uint32_t host, uint8_t out[16])
{
    uint8_t ipv4[4];

    gw_write32(ipv4, 0xc0a86300 + host);
    gw_map_ipv4(out, ipv4);
}

int main(void)
{
    const struct se_gate gate = { .abi = SE_GATE_ABI, .request_size = sizeof(struct se_request),
                                  .verdict_size = sizeof(struct se_verdict), .decide = accept_all };
    const struct gw_config config = { .workers = 1, .max_connections = 4, .max_sessions = 4, .gate = &gate };
    struct gw_address_range behind;
    struct gw_session_config client = { .mtu = 1300, .iroutes = &behind, .iroute_count = 1 };
    char error[256];
    gw *gateway = gw_open(&config, error, sizeof(error));
    struct gw_worker *worker;
    uint64_t session;

    assert(gateway);
    worker = gateway->workers[0];
    address_of(2, client.inner4);
    address_of(8, behind.first);
    address_of(15, behind.last);
    gw_routes_read(worker);         /* the turn begins */
    assert(!gw_session_open(gateway, 0, &client, &session));
    assert(!gw_address_table_find(&worker->addresses, client.inner4));
    worker->mail = true;
    gw_messages_read(worker);
    assert(gw_worker_find(worker, session));
    assert(gw_address_table_find(&worker->addresses, client.inner4) == session);
    assert(gw_prefix_table_find(&worker->iroutes, behind.first)->session == session);
    gw_close(gateway);
    puts("ok");
    return 0;
}
