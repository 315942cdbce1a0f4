/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connections/input.h"

#include "connections/proxy.h"
#include "packet/address.h"
#include "tls/fips_limits.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* The address that the client connected to, unless a proxy has named it. */
static void find_local_address(struct gw_connection *connection)
{
    static const uint8_t unknown[16];
    struct sockaddr_storage local;
    socklen_t size = sizeof(local);

    if (memcmp(connection->local, unknown, 16) || getsockname(connection->pollable.fd, (struct sockaddr *)&local, &size))
        return;
    if (local.ss_family == AF_INET)
        gw_map_ipv4(connection->local, &((const struct sockaddr_in *)&local)->sin_addr);
    else
        memcpy(connection->local, &((const struct sockaddr_in6 *)&local)->sin6_addr, 16);
}

static void count_handshake(struct gw_worker *worker, uint64_t took, bool resumed)
{
    static const struct { uint64_t at_most; enum gw_stat stat; } buckets[] = {
        { 10 * GW_MS, GW_STAT_handshake_10ms },   { 25 * GW_MS, GW_STAT_handshake_25ms },
        { 50 * GW_MS, GW_STAT_handshake_50ms },   { 100 * GW_MS, GW_STAT_handshake_100ms },
        { 250 * GW_MS, GW_STAT_handshake_250ms }, { 1000 * GW_MS, GW_STAT_handshake_1000ms },
    };

    gw_count(worker, resumed ? GW_STAT_handshakes_resumed : GW_STAT_handshakes_done);
    gw_add(&worker->stats[GW_STAT_handshake_microseconds], took / (GW_MS / 1000));
    for (size_t i = 0; i < sizeof(buckets) / sizeof(buckets[0]); i++)
        if (took <= buckets[i].at_most) {
            gw_count(worker, buckets[i].stat);
            return;
        }
}

/* Only a certificate that was sent counts: without one other methods decide. */
static bool has_acceptable_certificate(const struct gw_connection *connection)
{
    struct gw_tls_facts facts;

    return !gw_tls_read_certificate(connection->ssl, &facts) &&
           (!facts.certificate_size || !connection->hosts->hosts[connection->host].fips ||
            gw_fips_approves_signature(facts.certificate_signature));
}

static void on_handshake_done(struct gw_connection *connection)
{
    if (!has_acceptable_certificate(connection)) {
        gw_connection_end(connection, GW_CAUSE_HANDSHAKE_FAILED);
        return;
    }
    gw_tls_hosts_release(connection->hosts);
    connection->hosts = NULL;
    if (connection->acme) {
        gw_count(connection->worker, GW_STAT_acme_validations);
        connection->state = GW_CONNECTION_PRE_TUNNEL;
        connection->silent = true;      /* Python never hears of it */
        gw_connection_finish(connection);
        return;
    }
    count_handshake(connection->worker, gw_clock_now() - connection->opened, wolfSSL_session_reused(connection->ssl) != 0);
    connection->state = GW_CONNECTION_PRE_TUNNEL;
    /* In TLS 1.3 only a session ticket is left to send (RFC 8446 section 4.6.1), which may wait for the first answer. */
    connection->held = wolfSSL_version(connection->ssl) == TLS1_3_VERSION;
    connection->deadline = connection->worker->now + connection->worker->gateway->config.conversation_timeout_ms * GW_MS;
}

/* Tells Python of the connection, once it says something: those that only shake hands cost Python nothing. 0 or a negative errno. */
static int report_up(struct gw_connection *connection)
{
    struct gw_tls_facts facts;
    struct gw_event event = { .kind = GW_CONNECTION_UP };
    int status = gw_tls_finish(connection->ssl, &facts);

    if (status)
        return status;
    find_local_address(connection);
    event.tls_version = facts.version;
    event.resumed = facts.resumed;
    event.host = connection->host;
    event.data_size = (uint32_t)(GW_EXPORTS_SIZE + facts.certificate_size);
    memcpy(event.cipher, facts.cipher, sizeof(event.cipher));
    memcpy(event.server_name, connection->server_name, sizeof(event.server_name));
    free(connection->server_name);
    connection->server_name = NULL;
    status = gw_connection_push_event(connection, &event, facts.exporter, false);
    explicit_bzero(facts.exporter, sizeof(facts.exporter));
    connection->known = !status;
    return status;
}

static void on_app_data(struct gw_connection *connection, const uint8_t *data, size_t size)
{
    struct gw_event event = { .kind = GW_CONNECTION_DATA, .data_size = (uint32_t)size };

    connection->asked = true;
    connection->undelivered += (uint32_t)gw_event_cost(size);
    connection->deadline = connection->worker->now + connection->worker->gateway->config.conversation_timeout_ms * GW_MS;
    if ((!connection->known && report_up(connection)) || gw_connection_push_event(connection, &event, data, false))
        gw_connection_end(connection, GW_CAUSE_LOCAL);  /* Python must not miss bytes in the middle */
}

/* Gathers the first record. Returns its bytes of the feed or of the buffer, *size of them; NULL: more is needed, or memory. What is
 * no ClientHello is passed on at once: wolfSSL answers it with an alert. */
static const uint8_t *gather_hello(struct gw_connection *connection, size_t *size)
{
    struct gw_tls_io *io = &connection->io;
    struct gw_hello_buffer *buffer = connection->hello;
    size_t wanted = buffer ? 0 : gw_tls_hello_wanted(io->feed, io->feed_size);

    if (!buffer && wanted <= io->feed_size) {
        *size = io->feed_size;
        return io->feed;
    }
    if (!buffer)
        buffer = connection->hello = malloc(sizeof(*buffer));
    if (!buffer)
        return NULL;
    if (wanted)
        buffer->size = 0;
    memcpy(buffer->bytes + buffer->size, io->feed, io->feed_size);  /* receive() reads no more than there is room */
    buffer->size += io->feed_size;
    io->feed_size = 0;
    if (gw_tls_hello_wanted(buffer->bytes, buffer->size) > buffer->size)
        return NULL;
    io->feed = buffer->bytes;
    *size = io->feed_size = buffer->size;
    return buffer->bytes;
}

static void on_signature(void *owner);

/* Takes the challenge that a validation asks for. False: there is none of that name, and the hello is one like others. */
static bool take_challenge(struct gw_connection *connection, const struct gw_tls_hello *hello)
{
    struct gw_tls_hosts *challenges = hello->acme ? gw_tls_holder_take(connection->worker->gateway->acme) : NULL;

    if (challenges)
        for (uint32_t i = 0; i < challenges->count; i++)
            if (!strcmp(challenges->hosts[i].name, hello->server_name)) {
                connection->hosts = challenges;
                connection->host = i;
                return connection->acme = true;
            }
    gw_tls_hosts_release(challenges);
    return false;
}

/* Makes the TLS object in the context that the hello chooses. 0 or a negative errno; -EBUSY: a handshake that costs too much. */
static int on_hello(struct gw_connection *connection, const uint8_t *record, size_t size)
{
    struct gw_tls_holder *holder = connection->worker->gateway->tls;
    struct gw_tls_hello hello;
    WOLFSSL_CTX *context;

    gw_tls_hello_read(record, size, &hello);
    if (gw_tls_hello_needs_dhe(&hello) && !gw_tls_holder_take_dhe(holder, connection->worker->now)) {
        gw_count(connection->worker, GW_STAT_handshakes_over_budget);
        return -EBUSY;
    }
    if (!take_challenge(connection, &hello))
        connection->hosts = gw_tls_holder_take(holder);
    connection->server_name = malloc(sizeof(hello.server_name));
    if (!connection->hosts || !connection->server_name)
        return -ENOMEM;
    memcpy(connection->server_name, hello.server_name, sizeof(hello.server_name));
    if (!connection->acme)
        connection->host = gw_tls_hosts_find(connection->hosts, hello.server_name);
    context = gw_tls_hosts_choose(connection->hosts, connection->host, &hello);
    connection->signature.link = &connection->worker->signer;
    connection->signature.on_answer = on_signature;
    connection->signature.owner = connection;
    connection->ssl = gw_tls_new(context, connection->acme, &connection->io, &connection->signature);
    if (connection->ssl && connection->hosts->hosts[connection->host].fips)
        return gw_fips_limit_object(connection->ssl, &hello);
    return connection->ssl ? 0 : -ENOMEM;
}

/* True once there is a TLS object. A peer that sends less than a hello gets none. */
static bool has_tls(struct gw_connection *connection)
{
    const uint8_t *record;
    size_t size = 0;

    if (connection->ssl)
        return true;
    record = gather_hello(connection, &size);
    if (record ? on_hello(connection, record, size) : !connection->hello)
        gw_connection_end(connection, GW_CAUSE_LOCAL);
    return connection->ssl && connection->state == GW_CONNECTION_HANDSHAKE;
}

static void advance_handshake(struct gw_connection *connection)
{
    if (!has_tls(connection))
        return;
    switch (gw_tls_accept(connection->ssl)) {
    case GW_TLS_DONE:
        on_handshake_done(connection);
        break;
    case GW_TLS_WANT:
        break;
    case GW_TLS_CLOSED:
        gw_connection_end(connection, GW_CAUSE_PEER_CLOSED);
        break;
    case GW_TLS_BROKEN:
        if (connection->signature.failed)
            gw_count(connection->worker, GW_STAT_handshakes_unsigned);
        gw_connection_end(connection, connection->signature.failed ? GW_CAUSE_LOCAL : GW_CAUSE_HANDSHAKE_FAILED);
        break;
    }
}

/* Keeps what wolfSSL has not taken until the signature is there, and stops reading. */
static void await_signature(struct gw_connection *connection)
{
    size_t size = connection->io.feed_size;
    struct gw_hello_buffer *rest = size && size <= sizeof(rest->bytes) ? malloc(sizeof(*rest)) : NULL;

    if (size && !rest) {
        gw_connection_end(connection, GW_CAUSE_LOCAL);
        return;
    }
    if (rest) {
        rest->size = size;
        memcpy(rest->bytes, connection->io.feed, size);
    }
    free(connection->hello);
    connection->hello = rest;
    gw_connection_update_interest(connection);
}

/* Joins records before the tunnel: a peer may fill each with one byte, and each event costs Python the same. */
static enum gw_tls_result read_pieces(struct gw_connection *connection, size_t *size)
{
    struct gw_worker *worker = connection->worker;
    enum gw_tls_result result = GW_TLS_DONE;

    while (result == GW_TLS_DONE && *size < sizeof(worker->plain)) {
        size_t piece = 0;

        result = gw_tls_read(connection->ssl, worker->plain + *size, sizeof(worker->plain) - *size, &piece);
        *size += piece;
    }
    return result;
}

/* Decrypts the bytes that were fed, while the connection is open. */
static void read_records(struct gw_connection *connection)
{
    struct gw_worker *worker = connection->worker;
    enum gw_tls_result result = GW_TLS_DONE;

    while (result == GW_TLS_DONE && (connection->state == GW_CONNECTION_PRE_TUNNEL || connection->state == GW_CONNECTION_OWNED)) {
        size_t size = 0;

        if (connection->state == GW_CONNECTION_OWNED) {
            result = gw_tls_read(connection->ssl, worker->plain, sizeof(worker->plain), &size);
            if (size)
                connection->callbacks->on_data(connection, worker->plain, size);
        } else {
            result = read_pieces(connection, &size);
            if (size)
                on_app_data(connection, worker->plain, size);
            explicit_bzero(worker->plain, size);    /* it may hold a password */
        }
    }
    if (result == GW_TLS_CLOSED)
        gw_connection_end(connection, GW_CAUSE_PEER_CLOSED);
    else if (result == GW_TLS_BROKEN)
        gw_connection_end(connection, connection->out.size > GW_QUEUE_SOFT ? GW_CAUSE_STALLED : GW_CAUSE_PROTOCOL);
}

static void feed(struct gw_connection *connection, const uint8_t *data, size_t size)
{
    connection->io.feed = data;
    connection->io.feed_size = size;
    if (connection->state == GW_CONNECTION_HANDSHAKE) {
        connection->worker->handshakes++;
        advance_handshake(connection);
    }
    read_records(connection);
    if (connection->state == GW_CONNECTION_HANDSHAKE && gw_signature_is_awaited(&connection->signature)) {
        await_signature(connection);
    } else if (connection->ssl) {
        free(connection->hello);
        connection->hello = NULL;
    }
    connection->io.feed = NULL;
    connection->io.feed_size = 0;
    if (connection->state == GW_CONNECTION_PRE_TUNNEL)
        gw_connection_update_interest(connection);
}

static void on_signature(void *owner)
{
    struct gw_connection *connection = owner;

    feed(connection, connection->hello ? connection->hello->bytes : NULL, connection->hello ? connection->hello->size : 0);
    if (connection->state == GW_CONNECTION_HANDSHAKE)
        gw_connection_update_interest(connection);
}

static size_t receive_size(const struct gw_connection *connection)
{
    if (connection->hello)
        return gw_tls_hello_wanted(connection->hello->bytes, connection->hello->size) - connection->hello->size;
    return connection->state == GW_CONNECTION_OWNED ? sizeof(connection->worker->input) : GW_PRE_TUNNEL_INPUT;
}

static void receive(struct gw_connection *connection)
{
    struct gw_worker *worker = connection->worker;
    const uint8_t *data = worker->input;
    size_t size;
    ssize_t got = recv(connection->pollable.fd, worker->input, receive_size(connection), MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (got == 0 && connection->state == GW_CONNECTION_PROXY_HEADER) {
        gw_proxy_closed(connection);
        return;
    }
    if (got <= 0) {
        gw_connection_end(connection, got ? GW_CAUSE_PEER_RESET : GW_CAUSE_PEER_CLOSED);
        return;
    }
    if (connection->state >= GW_CONNECTION_CLOSING)
        return;
    connection->heard = true;
    connection->spoke = worker->now;
    size = (size_t)got;
    if (connection->state == GW_CONNECTION_PROXY_HEADER && !gw_proxy_take_header(connection, &data, &size))
        return;
    feed(connection, data, size);
}

void gw_connection_ready(struct gw_connection *connection, uint32_t events)
{
    struct gw_worker *worker = connection->worker;

    if (connection->state == GW_CONNECTION_DEAD)
        return;
    if (events & EPOLLOUT)
        gw_connection_flush(connection);
    if (connection->state == GW_CONNECTION_DEAD)
        return;
    /* Bounds the wait of the other connections in a burst of logins. epoll reports the rest again. */
    if (connection->state == GW_CONNECTION_HANDSHAKE && worker->handshakes >= GW_HANDSHAKES_PER_TURN)
        return;
    /* While nothing is read, EPOLLRDHUP alone shows that the peer left. */
    if (gw_signature_is_awaited(&connection->signature)) {
        if (events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP))
            gw_connection_end(connection, GW_CAUSE_PEER_CLOSED);
        return;
    }
    if (events & EPOLLIN || events & (EPOLLERR | EPOLLHUP))
        receive(connection);
    else if (events & EPOLLRDHUP)
        gw_connection_end(connection, GW_CAUSE_PEER_CLOSED);
}
