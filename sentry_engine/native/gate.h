/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The question a packet mover asks the engine, as a table of function pointers: neither side links the other.
 * The engine owns the table; its address stays valid until the engine is closed, which the caller must not
 * do while a thread may still ask. Every function may be called from any thread, takes no lock that a policy
 * swap holds, never allocates and never fails: a request that cannot be understood is refused.
 */
#ifndef SENTRY_ENGINE_GATE_H
#define SENTRY_ENGINE_GATE_H

#include <stdint.h>

#define SE_GATE_ABI 1u
#define SE_RULE_KEPT (1u << 31)

enum se_action { SE_ACCEPT = 0, SE_REJECT = 1, SE_RATE_LIMITED = 2 };

/* The built-in events; labels that a policy adds follow from SE_EVENT_CUSTOM in the order of the plan. */
enum se_event {
    SE_EVENT_CONNECT = 0,              /* a completed TCP handshake, before any TLS byte */
    SE_EVENT_TLS_HANDSHAKE_FAILED = 1,
    SE_EVENT_DTLS_HANDSHAKE = 2,       /* a ClientHello, its source not yet verified by a cookie */
    SE_EVENT_AUTH_FAILURE = 3,
    SE_EVENT_AUTH_SUCCESS = 4,
    SE_EVENT_SESSION_START = 5,
    SE_EVENT_DISCONNECT = 6,
    SE_EVENT_CUSTOM = 16,
};

struct se_request {
    uint8_t address[16];   /* network order; IPv4 as ::ffff:a.b.c.d */
    uint16_t event;        /* enum se_event, or SE_EVENT_CUSTOM + n */
    uint16_t port;         /* the source's port, host order; 0: unknown */
    uint16_t local_port;   /* host order; 0: unknown */
    uint8_t protocol;      /* IPPROTO_TCP or IPPROTO_UDP; 0: unknown */
    uint8_t verified;      /* 1: the source is known not to be spoofed (TCP handshake, cookie echoed) */
    uint64_t now;          /* nanoseconds of CLOCK_MONOTONIC */
};

struct se_verdict {
    uint8_t action;          /* enum se_action */
    uint8_t reason;          /* sentry_engine.verdict.Reason */
    uint16_t reserved;
    uint32_t rule;           /* index to the rule names of the plan in force; UINT32_MAX: none; else with SE_RULE_KEPT set:
                              * the rest is the number of a name that the engine keeps, that of a penalty whose plan may be gone */
    uint64_t retry_after;    /* nanoseconds until it is worth asking again; 0: unknown or now; UINT64_MAX: never */
};

struct se_gate {
    uint32_t abi;            /* SE_GATE_ABI; a reader refuses any other */
    uint32_t request_size;   /* sizeof(struct se_request), sizeof(struct se_verdict): a second check of the same */
    uint32_t verdict_size;
    uint32_t reserved;
    void *engine;
    void (*decide)(void *engine, const struct se_request *request, struct se_verdict *verdict);
    void (*decide_many)(void *engine, const struct se_request *requests, struct se_verdict *verdicts, uint32_t count);
};

#endif
