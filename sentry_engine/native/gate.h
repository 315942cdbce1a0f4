/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The gate: how a packet mover asks the engine, as a table of function pointers, so that neither side links the other.
 *
 * The engine owns the table. Its address is valid until the engine is closed; no thread may be asking then. Every function
 * may be called from any thread. It takes no lock that a policy swap holds, allocates nothing and cannot fail: a request
 * that the engine does not understand is refused.
 *
 * cffi reads this header (cffi_headers.py): a constant that Python is to see has a literal number as its value.
 */
#ifndef SENTRY_ENGINE_GATE_H
#define SENTRY_ENGINE_GATE_H

#include <stdint.h>

#define SE_GATE_ABI 1u
#define SE_RULE_KEPT 0x80000000u /* flag in a rule number, see se_verdict.rule */
#define SE_RULE_BLOCK 0x40000000u /* likewise */
#define SE_NO_RULE 0xffffffffu
#define SE_REASONS 25u           /* in enum se_reason */

/* sentry_engine.verdict.Action, in its order. */
enum se_action { SE_ACCEPT = 0, SE_REJECT = 1, SE_RATE_LIMITED = 2 };

/* sentry_engine.verdict.Reason, in its order. The last ones are given by Python only. */
enum se_reason {
    SE_REASON_DEFAULT = 0,
    SE_REASON_NEVER_BLOCK = 1,
    SE_REASON_RULE = 2,
    SE_REASON_PENALTY = 3,
    SE_REASON_BLACKLISTED = 4,
    SE_REASON_FEED = 5,
    SE_REASON_COUNTRY = 6,
    SE_REASON_CONTINENT = 7,
    SE_REASON_ASN = 8,
    SE_REASON_ANONYMIZER = 9,
    SE_REASON_GEOIP_MISSING = 10,
    SE_REASON_RATE_LIMIT = 11,
    SE_REASON_WITHIN_LIMIT = 12,
    SE_REASON_INVALID_REQUEST = 13,
    SE_REASON_MAX_CLIENTS = 14,
    SE_REASON_MAX_SAME_CLIENTS = 15,
    SE_REASON_USER_DISABLED = 16,
    SE_REASON_USER_EXPIRED = 17,
    SE_REASON_SCHEDULE = 18,
    SE_REASON_USER_NETWORK = 19,
    SE_REASON_USER_COUNTRY = 20,
    SE_REASON_PASSWORD_SPRAY = 21,
    SE_REASON_CREDENTIAL_STUFFING = 22,
    SE_REASON_NEW_COUNTRY = 23,
    SE_REASON_IMPOSSIBLE_TRAVEL = 24,
};

/* The built-in events, sentry_engine.verdict.Event. A policy's own labels follow from SE_EVENT_CUSTOM in the plan's order. */
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

/* What is known of the source. Penalties that the address earned verified concern all three. */
enum se_source_kind {
    SE_SOURCE_UNVERIFIED = 0,  /* may be spoofed: limited apart, without an effect on verified requests */
    SE_SOURCE_VERIFIED = 1,    /* cannot be spoofed: TCP handshake done */
    SE_SOURCE_NAMED = 2,       /* may be spoofed, but named a live session: limits neither count nor refuse it */
};

struct se_request {
    uint8_t address[16];   /* network order; IPv4 as ::ffff:a.b.c.d */
    uint16_t event;        /* enum se_event, or SE_EVENT_CUSTOM + n */
    uint16_t port;         /* the source's port, host order; 0: unknown */
    uint16_t local_port;   /* host order; 0: unknown */
    uint8_t protocol;      /* IPPROTO_TCP or IPPROTO_UDP; 0: unknown */
    uint8_t verified;      /* enum se_source_kind */
    uint64_t now;          /* CLOCK_MONOTONIC, ns */
};

/*
 * `rule` is an index into the rule ids of the plan in force, or SE_NO_RULE. With SE_RULE_KEPT set the other bits number a
 * rule id that the engine keeps: that of a penalty, whose plan may have been replaced. With SE_RULE_BLOCK set they number a
 * block of the API.
 */
struct se_verdict {
    uint8_t action;          /* enum se_action */
    uint8_t reason;          /* enum se_reason */
    uint16_t reserved;
    uint32_t rule;
    uint64_t retry_after;    /* ns until another request may pass; 0: unknown or now; UINT64_MAX: never */
};

struct se_gate {
    uint32_t abi;            /* SE_GATE_ABI; a caller refuses any other */
    uint32_t request_size;   /* sizeof(struct se_request), a second check of the layout */
    uint32_t verdict_size;   /* sizeof(struct se_verdict) */
    uint32_t reserved;
    void *engine;
    void (*decide)(void *engine, const struct se_request *request, struct se_verdict *verdict);
    void (*decide_many)(void *engine, const struct se_request *requests, struct se_verdict *verdicts, uint32_t count);
};

#endif
