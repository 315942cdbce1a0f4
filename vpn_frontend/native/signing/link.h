/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A worker's connection to the process that has the private keys. Nothing here waits: a handshake that needs a signature is called
 * again when the answer has come.
 */
#ifndef VPN_FRONTEND_SIGNING_LINK_H
#define VPN_FRONTEND_SIGNING_LINK_H

#include "signing/request.h"

#include <stdbool.h>

#define GW_SIGN_WAITING_MAX 1024u   /* questions without an answer; a handshake beyond them fails */

#define GW_DH_MAX 512u              /* bytes: a group of 4096 bits */

enum gw_signature_state { GW_SIGNATURE_ASKED, GW_SIGNATURE_READY, GW_SIGNATURE_FAILED };

struct gw_signer_link;

/* A question on its way. The link owns it until its answer is there, then the handshake. */
struct gw_signature_call {
    struct gw_signature *signature; /* NULL: its handshake has ended */
    struct gw_signature_call *next; /* asked later */
    enum gw_signature_state state;
    struct gw_sign_request request;
    uint32_t size;                  /* of the answer */
    uint8_t bytes[GW_SIGNATURE_MAX];
};

/* A key pair of a Diffie-Hellman exchange. */
struct gw_dh_pair {
    uint32_t private_size, public_size;
    uint8_t private[GW_DH_MAX], public[GW_DH_MAX];
};

/* The signature of one handshake. Zero: it has asked for none. */
struct gw_signature {
    struct gw_signer_link *link;    /* NULL: the private key is in this process */
    struct gw_signature_call *call; /* NULL: none, or used */
    void (*on_answer)(void *owner); /* it is ready or has failed: the handshake goes on */
    void *owner;
    struct gw_dh_pair *dh;          /* owned; what the signature is over, so the same when it is asked for again. NULL: none */
    uint64_t key;
    bool failed;                    /* the fault is not the peer's */
};

struct gw_signer_link {
    int fd;                         /* -1: none, or lost */
    const uint64_t *now;            /* nanoseconds, the worker's clock */
    uint32_t waiting;               /* questions without an answer */
    uint64_t serial;                /* of the last question */
    uint64_t since;                 /* atomic: since when the oldest waits; 0: none does */
    struct gw_signature_call *oldest, *newest;  /* without an answer, in the sequence of asking */
};

/* 0: `out` has the signature, *out_size its bytes (before: its capacity). -EAGAIN: ask again after on_answer. Another negative
 * errno: there will be none. A handshake asks for one signature only. */
int gw_signature_get(struct gw_signature *signature, enum gw_sign_scheme scheme, const uint8_t *input, size_t size, uint8_t *out,
                     uint32_t *out_size);
/* Gives the signature up; its answer is ignored. Frees what is owned. */
void gw_signature_clear(struct gw_signature *signature);
static inline bool gw_signature_is_awaited(const struct gw_signature *signature)
{
    return signature->call && signature->call->state == GW_SIGNATURE_ASKED;
}

/* Reads the answers that are there. False: the process is gone. The link is closed then, and all that waited has failed. */
bool gw_signer_link_read(struct gw_signer_link *link);
/* Closes the socket and frees the questions. */
void gw_signer_link_free(struct gw_signer_link *link);

#endif
