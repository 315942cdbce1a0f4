/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connections/proxy.h"

#include "connections/source_eviction.h"
#include "packet/proxy_header.h"
#include "runtime/policy_gate.h"

#include <stdlib.h>
#include <string.h>

struct gw_partial_header {
    size_t size;
    uint8_t data[GW_PROXY_HEADER_MAX];
};

bool gw_is_proxy(const struct gw *gateway, const uint8_t peer[16])
{
    for (uint32_t i = 0; i < gateway->config.proxy_count; i++)
        if (memcmp(peer, gateway->proxies[i].first, 16) >= 0 && memcmp(peer, gateway->proxies[i].last, 16) <= 0)
            return true;
    return false;
}

static void refuse(struct gw_connection *connection, const char *why)
{
    struct gw_event event = { .kind = GW_PROXY_REFUSED, .data_size = (uint32_t)strlen(why) };

    gw_count(connection->worker, GW_STAT_proxy_headers_refused);
    gw_connection_push_event(connection, &event, why, true);
    connection->silent = true;
    gw_connection_end(connection, GW_CAUSE_LOCAL);
}

/* As at accept, for the client. */
static bool admit(struct gw_connection *connection)
{
    struct gw_worker *worker = connection->worker;

    if (!gw_gate_accepts_tcp(worker->gateway->gate, connection->peer, connection->peer_port, connection->local_port)) {
        gw_count(worker, GW_STAT_links_refused);
        connection->silent = true;
        gw_connection_end(connection, GW_CAUSE_LOCAL);
        return false;
    }
    gw_sources_make_room(worker, connection->peer);
    gw_sources_add(worker, &connection->source, connection->peer);
    return true;
}

/* Keeps input until the header is whole. NULL: out of memory. */
static struct gw_partial_header *keep(struct gw_connection *connection, const uint8_t *data, size_t size)
{
    struct gw_partial_header *partial = connection->partial_header;
    size_t room;

    if (!partial)
        partial = connection->partial_header = calloc(1, sizeof(*partial));
    if (!partial)
        return NULL;
    room = sizeof(partial->data) - partial->size;
    memcpy(partial->data + partial->size, data, size < room ? size : room);
    partial->size += size < room ? size : room;
    return partial;
}

bool gw_proxy_take_header(struct gw_connection *connection, const uint8_t **data, size_t *size)
{
    struct gw_partial_header *partial = connection->partial_header;
    struct gw_proxy_header header;
    size_t before = partial ? partial->size : 0;
    enum gw_proxy_status status;

    if (partial) {
        keep(connection, *data, *size);
        status = gw_proxy_header_read(partial->data, partial->size, &header);
    } else {
        status = gw_proxy_header_read(*data, *size, &header);
        if (status == GW_PROXY_MORE && !keep(connection, *data, *size))
            gw_connection_end(connection, GW_CAUSE_LOCAL);
    }
    if (status == GW_PROXY_MORE)
        return false;
    if (status == GW_PROXY_INVALID) {
        refuse(connection, header.why);
        return false;
    }
    free(partial);
    connection->partial_header = NULL;
    *data += header.size - before;
    *size -= header.size - before;
    connection->state = GW_CONNECTION_HANDSHAKE;
    connection->heard = *size > 0;
    if (status == GW_PROXY_CLIENT) {
        memcpy(connection->peer, header.source, 16);
        memcpy(connection->local, header.destination, 16);
        connection->peer_port = header.source_port;
    }
    return admit(connection) && *size > 0;
}

void gw_proxy_closed(struct gw_connection *connection)
{
    if (connection->partial_header)
        refuse(connection, "a header that is cut off");
    else
        gw_connection_end(connection, GW_CAUSE_PEER_CLOSED);
}
