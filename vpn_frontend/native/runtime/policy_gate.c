/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "runtime/policy_gate.h"

#include "runtime/clock.h"

#include <netinet/in.h>
#include <string.h>

/* Fails closed: the verdict is "reject" until the engine says otherwise. */
static bool ask(const struct se_gate *gate, const uint8_t peer[16], struct se_request *request)
{
    struct se_verdict verdict = { .action = SE_REJECT };

    memcpy(request->address, peer, sizeof(request->address));
    gate->decide(gate->engine, request, &verdict);
    return verdict.action == SE_ACCEPT;
}

static bool ask_tcp(const struct se_gate *gate, const uint8_t peer[16], uint16_t port, uint16_t local_port, enum se_event event)
{
    struct se_request request = {
        .event = (uint16_t)event,
        .port = port,
        .local_port = local_port,
        .protocol = IPPROTO_TCP,
        .verified = SE_SOURCE_VERIFIED,
        .now = gw_clock_now(),
    };

    return ask(gate, peer, &request);
}

bool gw_gate_accepts_tcp(const struct se_gate *gate, const uint8_t peer[16], uint16_t port, uint16_t local_port)
{
    return ask_tcp(gate, peer, port, local_port, SE_EVENT_CONNECT);
}

void gw_gate_report_handshake(const struct se_gate *gate, const uint8_t peer[16], uint16_t port, uint16_t local_port)
{
    ask_tcp(gate, peer, port, local_port, SE_EVENT_TLS_HANDSHAKE_FAILED);
}

bool gw_gate_accepts_udp(const struct se_gate *gate, const uint8_t peer[16], uint16_t port, uint16_t local_port, bool named,
                         uint64_t now)
{
    struct se_request request = {
        .event = SE_EVENT_DTLS_HANDSHAKE,
        .port = port,
        .local_port = local_port,
        .protocol = IPPROTO_UDP,
        .verified = named ? SE_SOURCE_NAMED : SE_SOURCE_UNVERIFIED,
        .now = now,
    };

    return ask(gate, peer, &request);
}
