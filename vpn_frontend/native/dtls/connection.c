/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dtls/connection.h"

#include <stdlib.h>
#include <string.h>

static int queue_datagram(void *owner, const uint8_t *datagram, size_t size)
{
    struct gw_dtls_link *link = owner;

    return gw_datagrams_push(&link->worker->dtls->out, &link->path, datagram, size);
}

struct gw_dtls_link *gw_dtls_link_new(struct gw_worker *worker, const struct gw_dtls_config *config,
                                      const struct gw_dtls_parcel *parcel, const uint8_t random[GW_DTLS_RANDOM_SIZE])
{
    const uint8_t *secret = worker->dtls->cookies.secrets[parcel->secret & 1];
    struct gw_dtls_link *link = calloc(1, sizeof(*link));

    if (!link)
        return NULL;
    link->io.write = queue_datagram;
    link->io.owner = link;
    link->io.config = config;
    link->worker = worker;
    link->path = parcel->path;
    memcpy(link->random, random, sizeof(link->random));
    link->started = worker->now;
    link->ssl = gw_dtls_new(&worker->gateway->dtls->contexts, &link->io, secret, &link->path, sizeof(link->path));
    if (!link->ssl) {
        free(link);
        return NULL;
    }
    return link;
}

void gw_dtls_link_free(struct gw_dtls_link *link)
{
    if (!link)
        return;
    wolfSSL_free(link->ssl);
    free(link);
}

bool gw_dtls_link_is_at(const struct gw_dtls_link *link, const struct gw_path *path)
{
    return link && !memcmp(&link->path, path, sizeof(*path));
}

void gw_dtls_link_offer(struct gw_dtls_link *link, const uint8_t *datagram, size_t size)
{
    link->io.datagram = datagram;
    link->io.datagram_size = size;
    link->content = gw_dtls_look_into(datagram, size);
}

static void schedule(struct gw_dtls_link *link)
{
    link->deadline = link->worker->now + (uint64_t)wolfSSL_dtls_get_current_timeout(link->ssl) * GW_SECOND;
}

static enum gw_dtls_result fail(const struct gw_dtls_link *link, enum gw_stat why)
{
    gw_count(link->worker, why);
    return GW_DTLS_BROKEN;
}

/* With the certificate everybody could come this far: the proof has to follow. */
static enum gw_dtls_result shook_hands(struct gw_dtls_link *link)
{
    if (link->io.config->way != GW_DTLS_CERTIFICATE)
        return GW_DTLS_DONE;
    link->proving = link->worker->now;
    link->deadline = 0;
    if (gw_proof_derive(link->ssl, link->io.config->secret, &link->proof))
        return fail(link, GW_STAT_dtls_handshakes_failed);
    return GW_DTLS_WANT;
}

static enum gw_dtls_result shake_hands(struct gw_dtls_link *link)
{
    switch (gw_dtls_accept(link->ssl)) {
    case GW_DTLS_DONE:
        return shook_hands(link);
    case GW_DTLS_WANT:
        schedule(link);
        return GW_DTLS_WANT;
    default:
        return fail(link, GW_STAT_dtls_handshakes_failed);
    }
}

bool gw_dtls_link_is_proof(const struct gw_dtls_link *link, const uint8_t *frame, size_t size)
{
    return link->io.config->way == GW_DTLS_CERTIFICATE && size == 1 + GW_HASH_SIZE && frame[0] == GW_FRAME_PROOF &&
           gw_same_hash(link->proof.expected, frame + 1);
}

/* Until the proof: records of anything else are thrown away, a wrong one ends the connection. */
static enum gw_dtls_result hear_proof(struct gw_dtls_link *link)
{
    struct gw_worker *worker = link->worker;
    enum gw_dtls_result result;
    size_t size = 0;

    while ((result = gw_dtls_read(link->ssl, worker->plain, sizeof(worker->plain), &size)) == GW_DTLS_DONE) {
        if (size && worker->plain[0] != GW_FRAME_PROOF) {
            gw_count(worker, GW_STAT_dtls_unproven);
            continue;
        }
        return gw_dtls_link_is_proof(link, worker->plain, size) ? GW_DTLS_DONE : fail(link, GW_STAT_dtls_proofs_wrong);
    }
    return result == GW_DTLS_WANT ? result : fail(link, GW_STAT_dtls_handshakes_failed);
}

enum gw_dtls_result gw_dtls_link_advance(struct gw_dtls_link *link, const uint8_t *datagram, size_t size)
{
    enum gw_dtls_result result = GW_DTLS_WANT;

    gw_dtls_link_offer(link, datagram, size);
    if (!link->proving)
        result = shake_hands(link);
    if (result == GW_DTLS_WANT && link->proving)
        result = hear_proof(link);
    if (result == GW_DTLS_WANT)
        link->io.datagram = NULL;
    return result;
}

bool gw_dtls_link_wait(struct gw_dtls_link *link)
{
    struct gw_worker *worker = link->worker;

    if (link->proving && worker->now - link->proving >= GW_DTLS_PROOF_TIME) {
        gw_count(worker, GW_STAT_dtls_proofs_missing);
        return false;
    }
    if (worker->now - link->started >= GW_DTLS_HANDSHAKE_TIME) {
        gw_count(worker, GW_STAT_dtls_handshakes_timed_out);
        return false;
    }
    if (link->deadline && worker->now >= link->deadline) {
        wolfSSL_dtls_got_timeout(link->ssl);
        schedule(link);
    }
    return true;
}

void gw_dtls_link_settle(struct gw_dtls_link *link)
{
    if (link->settled)
        return;
    link->settled = true;
    wolfSSL_FreeHandshakeResources(link->ssl);
}

void gw_dtls_link_answer_proof(struct gw_dtls_link *link)
{
    uint8_t answer[1 + GW_HASH_SIZE] = { GW_FRAME_PROOF };

    memcpy(answer + 1, link->proof.answer, GW_HASH_SIZE);
    gw_dtls_write(link->ssl, answer, sizeof(answer));
}
