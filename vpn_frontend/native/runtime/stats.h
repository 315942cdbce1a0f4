/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The gateway's counters, a row per worker, summed by the reader. The names are public (metrics, status). `rx_` is a packet from a
 * client that did not reach the TUN device, `tx_` one that did not reach its client.
 */
#ifndef VPN_FRONTEND_STATS_H
#define VPN_FRONTEND_STATS_H

#include <stdint.h>

#define GW_STATS(X) \
    X(links_accepted) \
    X(links_refused)            /* by the policy, before a byte */ \
    X(links_over_limit)         /* max_connections reached */ \
    X(links_evicted)            /* without a tunnel, for a newcomer: its source held the most, or more than its share */ \
    X(proxy_headers_refused)    /* of listed proxies: missing, malformed, late, or without a client over TCP */ \
    X(accept_errors)            /* no descriptor or memory left for an accepted connection */ \
    X(health_probes)            /* connected and closed without a byte */ \
    X(handshakes_done) \
    X(handshakes_resumed) \
    X(handshakes_failed) \
    X(handshakes_timed_out) \
    X(handshakes_over_budget)   /* over finite fields (DHE), beyond GW_DHE_PER_SECOND: closed */ \
    X(handshakes_unsigned)      /* the signing process was gone, busy or refused: closed */ \
    X(acme_validations)         /* handshakes of ACME servers, which saw their challenge */ \
    X(handshake_10ms)           /* TLS handshakes by time since the accept: at most 10 ms, */ \
    X(handshake_25ms)           /* 25 ms and more than the one before, */ \
    X(handshake_50ms) \
    X(handshake_100ms) \
    X(handshake_250ms) \
    X(handshake_1000ms) \
    X(handshake_microseconds)   /* of all of them together */ \
    X(rekeys)                   /* of TLS 1.3 channels, by us */ \
    X(links_reset) \
    X(links_stalled) \
    X(links_protocol_error) \
    X(channels_dead)            /* no answer to DPD */ \
    X(events_shed)              /* ends of connections without a handshake, whose events were dropped under a flood */ \
    X(frames_unknown) \
    X(dpd_answered) \
    X(dpd_sent) \
    X(rx_malformed)             /* no IP header, wrong length, unknown version */ \
    X(rx_fragment)              /* a first fragment too small to carry its transport header (RFC 1858, RFC 7112) */ \
    X(rx_oversize) \
    X(rx_spoofed)               /* inner source is not the session's own address */ \
    X(rx_link_local)            /* IPv6 link-local or unspecified address, as in neighbour discovery */ \
    X(rx_source_routed)         /* IPv4 source route, IPv6 routing header with segments left */ \
    X(rx_broadcast)             /* inner destination is a broadcast address: local services would answer */ \
    X(rx_multicast)             /* likewise a group, of any scope */ \
    X(rx_loopback)              /* inner destination is the server's own loopback */ \
    X(rx_client_to_client) \
    X(rx_outside_routes)        /* inner destination is in none of the session's networks */ \
    X(rx_port_refused)          /* protocol or port that the session may not use, or that cannot be read */ \
    X(rx_fragment_refused)      /* a later fragment whose first one did not pass: ports are restricted */ \
    X(rx_rate_exceeded) \
    X(rx_quota_exceeded) \
    X(rx_tun_full)              /* taken from the client, refused by the device */ \
    X(tun_lost)                 /* workers whose TUN queue is gone: the device was deleted */ \
    X(rx_acks_superseded)       /* TCP ACKs replaced by a later one: merged, not lost */ \
    X(offload_refused)          /* the kernel refused merged packets: written singly from then on */ \
    X(tx_malformed) \
    X(tx_no_session)            /* inner destination belongs to no session */ \
    X(tx_no_channel)            /* the client is away */ \
    X(tx_oversize) \
    X(tx_outside_routes)        /* as of rx_, of the packet's source */ \
    X(tx_port_refused) \
    X(tx_fragment_refused) \
    X(tx_rate_exceeded) \
    X(tx_quota_exceeded) \
    X(tx_queue_full) \
    X(tx_mailbox_full) \
    X(rx_mailbox_full)          /* datagrams for a session of another worker, whose mailbox was full */ \
    X(dtls_garbage)             /* datagrams that are not DTLS */ \
    X(dtls_hello_malformed) \
    X(dtls_hello_refused)       /* by the policy */ \
    X(dtls_hello_unknown)       /* names no session: no answer */ \
    X(dtls_hello_duplicate)     /* too soon after the one before */ \
    X(dtls_cookies_sent) \
    X(dtls_unmatched)           /* of no connection, or sealed with another key */ \
    X(dtls_clear)               /* unencrypted, for a connection that has keys: forged, or very late */ \
    X(dtls_moved)               /* a client's port changed */ \
    X(sessions_moved)           /* to the worker where their datagrams come in */ \
    X(dtls_handshakes_done) \
    X(dtls_handshakes_failed) \
    X(dtls_handshakes_timed_out) \
    X(dtls_proofs_wrong)        /* wrong proofs after a handshake with the certificate */ \
    X(dtls_proofs_missing)      /* the proof did not come in time */ \
    X(dtls_unproven)            /* records before the proof, discarded unread */ \
    X(dtls_dead)                /* no answer to DPD over DTLS */ \
    X(dtls_datagrams_sent) \
    X(dtls_datagrams_lost)      /* the socket did not take them */

enum gw_stat {
    GW_STAT_NONE = 0,           /* not counted: "no reason to drop" */
#define GW_STAT_ENUM(name) GW_STAT_##name,
    GW_STATS(GW_STAT_ENUM)
#undef GW_STAT_ENUM
    GW_STAT_COUNT
};

/* One writer per counter, any number of readers. */
static inline void gw_add(uint64_t *counter, uint64_t amount)
{
    __atomic_store_n(counter, *counter + amount, __ATOMIC_RELAXED);
}

static inline uint64_t gw_load(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
