/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tun/uplink.h"

#include "limits/limits.h"
#include "packet/inner_packet.h"
#include "tun/queue.h"

static const enum gw_stat stat_of[] = {
    [GW_INNER_OK] = GW_STAT_NONE,
    [GW_INNER_MALFORMED] = GW_STAT_rx_malformed,
    [GW_INNER_FRAGMENT] = GW_STAT_rx_fragment,
    [GW_INNER_SOURCE_ROUTED] = GW_STAT_rx_source_routed,
    [GW_INNER_LINK_LOCAL] = GW_STAT_rx_link_local,
    [GW_INNER_SPOOFED] = GW_STAT_rx_spoofed,
    [GW_INNER_BROADCAST] = GW_STAT_rx_broadcast,
    [GW_INNER_MULTICAST] = GW_STAT_rx_multicast,
    [GW_INNER_LOOPBACK] = GW_STAT_rx_loopback,
};

/* True if the source is in a network behind the session's client. */
static bool is_behind(const struct gw_worker *worker, const struct gw_session *session, const struct gw_inner *inner)
{
    const struct gw_prefix *source = gw_prefix_table_find(&worker->iroutes, inner->source);

    return source && source->session == session->id;
}

/* True if the packet would come back as one for a client. Clients reach each other only from or in networks that are exposed. */
static bool goes_to_client(const struct gw_worker *worker, const struct gw_session *session, const struct gw_inner *inner)
{
    const struct gw_prefix *end;

    if (gw_address_table_find(&worker->addresses, inner->destination))
        end = gw_prefix_table_find(&worker->iroutes, inner->source);
    else if (!worker->iroutes.count || !(end = gw_prefix_table_find(&worker->iroutes, inner->destination)))
        return false;
    else if (end->session == session->id)
        return true;                /* it came from there, or should not have come here */
    return !end || !end->exposed;
}

/* Checks size, form, source, destination and limits, in this order. Returns GW_STAT_NONE or the reason to drop. */
static enum gw_stat check(struct gw_worker *worker, struct gw_session *session, const uint8_t *packet, size_t size,
                          struct gw_inner *inner)
{
    enum gw_inner_result result;

    /* A client that came back with a smaller MTU may keep its device at the first one. */
    if (size > session->config.mtu && size > session->mtu)
        return GW_STAT_rx_oversize;
    result = gw_inner_read(packet, size, inner);
    if (result == GW_INNER_OK)
        result = gw_inner_check_source(inner, session->config.inner4, session->config.inner6);
    if (result == GW_INNER_SPOOFED && session->config.iroute_count && is_behind(worker, session, inner))
        result = GW_INNER_OK;
    if (result == GW_INNER_OK)
        result = gw_inner_check_destination(inner, &worker->subnet4);
    if (result == GW_INNER_OK && goes_to_client(worker, session, inner))
        return GW_STAT_rx_client_to_client;
    if (result == GW_INNER_OK && session->limits)
        return gw_limits_check(worker, session, GW_FROM_CLIENT, packet, size, inner);
    return stat_of[result];
}

static void count(struct gw_worker *worker, struct gw_session *session, size_t size, enum gw_transport transport)
{
    gw_add(&session->account->counters.rx_packets, 1);
    gw_add(&session->account->counters.rx_bytes, size);
    gw_pacing_count_session(&worker->pacing, &session->rate, worker->now);
    if (session->limits)
        gw_limits_charge(session->limits, size);
    if (transport == GW_OVER_TLS) {
        gw_pacing_count_received(&worker->pacing, true);    /* datagrams are counted where they are received */
        return;
    }
    gw_add(&session->account->counters.dtls_rx_packets, 1);
    gw_add(&session->account->counters.dtls_rx_bytes, size);
}

void gw_uplink_take(struct gw_worker *worker, struct gw_session *session, const uint8_t *packet, size_t size,
                    enum gw_transport transport)
{
    struct gw_inner inner;
    enum gw_stat why = check(worker, session, packet, size, &inner);

    if (why != GW_STAT_NONE) {
        gw_session_drop_rx(session);
        gw_count(worker, why);
        return;
    }
    count(worker, session, size, transport);    /* before the write: a reader of the packet sees it counted */
    gw_session_mark_used(session, worker->now, inner.control);
    gw_tun_write(worker, session, packet, size);
}
