/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dtls/connection.h"

#include <stdlib.h>
#include <string.h>

static int queue_datagram(void *owner, const uint8_t *datagram, size_t size)
{
    struct gw_dtls_connection *connection = owner;

    return gw_udp_batch_push(&connection->worker->udp->out, &connection->path, datagram, size);
}

struct gw_dtls_connection *gw_dtls_connection_new(struct gw_worker *worker, const struct gw_dtls_config *config,
                                                  const struct gw_datagram *info, const uint8_t random[GW_DTLS_RANDOM_SIZE])
{
    const uint8_t *secret = worker->udp->cookies.secrets[info->secret & 1];
    struct gw_dtls_connection *connection = calloc(1, sizeof(*connection));

    if (!connection)
        return NULL;
    connection->io.write = queue_datagram;
    connection->io.owner = connection;
    connection->io.config = config;
    connection->io.signature = &connection->signature;
    connection->signature.link = &worker->signer;
    connection->worker = worker;
    connection->path = info->path;
    memcpy(connection->random, random, sizeof(connection->random));
    connection->started = worker->now;
    connection->ssl = gw_dtls_new(&worker->gateway->dtls->contexts, &connection->io, secret, &connection->path,
                                  sizeof(connection->path));
    if (!connection->ssl) {
        free(connection);
        return NULL;
    }
    return connection;
}

void gw_dtls_connection_free(struct gw_dtls_connection *connection)
{
    if (!connection)
        return;
    gw_signature_clear(&connection->signature);
    wolfSSL_free(connection->ssl);
    free(connection);
}

bool gw_dtls_connection_is_at(const struct gw_dtls_connection *connection, const struct gw_path *path)
{
    return connection && !memcmp(&connection->path, path, sizeof(*path));
}

void gw_dtls_connection_feed(struct gw_dtls_connection *connection, const uint8_t *datagram, size_t size)
{
    connection->io.datagram = datagram;
    connection->io.datagram_size = size;
    connection->content = gw_dtls_look_into(datagram, size);
}

static void schedule(struct gw_dtls_connection *connection)
{
    connection->deadline = connection->worker->now + (uint64_t)wolfSSL_dtls_get_current_timeout(connection->ssl) * GW_SECOND;
}

static enum gw_dtls_result fail(const struct gw_dtls_connection *connection, enum gw_stat why)
{
    gw_count(connection->worker, why);
    return GW_DTLS_BROKEN;
}

/* With the certificate any client can come this far: a proof has to follow. */
static enum gw_dtls_result on_handshake_done(struct gw_dtls_connection *connection)
{
    if (connection->io.config->mode != GW_DTLS_CERTIFICATE)
        return GW_DTLS_DONE;
    connection->proof_since = connection->worker->now;
    connection->deadline = 0;
    if (gw_proof_derive(connection->ssl, connection->io.config->secret, &connection->proof))
        return fail(connection, GW_STAT_dtls_handshakes_failed);
    return GW_DTLS_WANT;
}

static enum gw_dtls_result advance_handshake(struct gw_dtls_connection *connection)
{
    switch (gw_dtls_accept(connection->ssl)) {
    case GW_DTLS_DONE:
        return on_handshake_done(connection);
    case GW_DTLS_WANT:
        schedule(connection);
        return GW_DTLS_WANT;
    default:
        return fail(connection, GW_STAT_dtls_handshakes_failed);
    }
}

bool gw_dtls_connection_is_proof(const struct gw_dtls_connection *connection, const uint8_t *frame, size_t size)
{
    return connection->io.config->mode == GW_DTLS_CERTIFICATE && size == 1 + GW_HASH_SIZE && frame[0] == GW_FRAME_PROOF &&
           gw_hmac_equal(connection->proof.expected, frame + 1);
}

/* Reads the proof. Other records before it are discarded, a wrong proof ends the connection. */
static enum gw_dtls_result read_proof(struct gw_dtls_connection *connection)
{
    struct gw_worker *worker = connection->worker;
    enum gw_dtls_result result;
    size_t size = 0;

    while ((result = gw_dtls_read(connection->ssl, worker->plain, sizeof(worker->plain), &size)) == GW_DTLS_DONE) {
        if (size && worker->plain[0] != GW_FRAME_PROOF) {
            gw_count(worker, GW_STAT_dtls_unproven);
            continue;
        }
        return gw_dtls_connection_is_proof(connection, worker->plain, size) ? GW_DTLS_DONE
                                                                            : fail(connection, GW_STAT_dtls_proofs_wrong);
    }
    return result == GW_DTLS_WANT ? result : fail(connection, GW_STAT_dtls_handshakes_failed);
}

enum gw_dtls_result gw_dtls_connection_advance(struct gw_dtls_connection *connection, const uint8_t *datagram, size_t size)
{
    enum gw_dtls_result result = GW_DTLS_WANT;

    gw_dtls_connection_feed(connection, datagram, size);
    if (!connection->proof_since)
        result = advance_handshake(connection);
    if (result == GW_DTLS_WANT && connection->proof_since)
        result = read_proof(connection);
    if (result == GW_DTLS_WANT)
        connection->io.datagram = NULL;
    return result;
}

bool gw_dtls_connection_tick(struct gw_dtls_connection *connection)
{
    struct gw_worker *worker = connection->worker;

    if (connection->proof_since && worker->now - connection->proof_since >= GW_DTLS_PROOF_TIME) {
        gw_count(worker, GW_STAT_dtls_proofs_missing);
        return false;
    }
    if (worker->now - connection->started >= GW_DTLS_HANDSHAKE_TIME) {
        gw_count(worker, GW_STAT_dtls_handshakes_timed_out);
        return false;
    }
    if (connection->deadline && worker->now >= connection->deadline) {
        wolfSSL_dtls_got_timeout(connection->ssl);
        schedule(connection);
    }
    return true;
}

void gw_dtls_connection_confirm(struct gw_dtls_connection *connection)
{
    if (connection->confirmed)
        return;
    connection->confirmed = true;
    wolfSSL_FreeHandshakeResources(connection->ssl);
}

void gw_dtls_connection_answer_proof(struct gw_dtls_connection *connection)
{
    uint8_t answer[1 + GW_HASH_SIZE] = { GW_FRAME_PROOF };

    memcpy(answer + 1, connection->proof.answer, GW_HASH_SIZE);
    gw_dtls_write(connection->ssl, answer, sizeof(answer));
}
