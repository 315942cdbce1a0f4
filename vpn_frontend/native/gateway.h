/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The gateway: sockets, wolfSSL objects and the TUN queues, on worker threads without the GIL.
 *
 * Share-nothing: every worker owns an epoll instance, a listening socket per address (SO_REUSEPORT), a TUN queue, its
 * connections and its sessions, and a replica of the table "inner address -> session". Threads meet in two places only:
 * the mailbox of a worker (commands from Python, batches of packets and migrating connections from other workers) and the
 * queue of events to Python. Both are bounded; both wake their reader through an eventfd.
 *
 * A CONNECTION is one accepted TCP connection: handshake -> conversation (decrypted bytes go to Python, Python answers) -> the
 * TLS channel of a session -> closed. A SESSION is one client's tunnel: its inner addresses, its limits and counters,
 * and the channel it has at the moment (none while a client roams). It lives on the worker of its first connection; a later
 * connection of the same session moves to that worker.
 *
 * Python opens and configures every descriptor (listening sockets, TUN queues) and hands it over: from then on the gateway
 * closes it. Functions return 0 or a negative errno; `error` buffers receive one readable line.
 */
#ifndef VPN_FRONTEND_GATEWAY_H
#define VPN_FRONTEND_GATEWAY_H

#include <stddef.h>
#include <stdint.h>

typedef struct gw gw;

struct gw_config {
    uint32_t workers;               /* 1 to 64 */
    uint32_t max_connections;             /* accepted connections at a time; further ones are closed without a byte */
    uint32_t max_sessions;
    uint32_t handshake_timeout_ms;
    uint32_t conversation_timeout_ms; /* without a byte from the peer, before the tunnel */
    uint32_t write_timeout_ms;      /* without the peer taking a byte of what waits for it */
    uint32_t offloads;              /* enum gw_offload: what may be used where the kernel has it */
    const void *gate;               /* struct se_gate *, asked at accept before any cryptography */
};

/* Every offload is probed and left out where the kernel lacks it; without it the same bytes travel, only slower, and with ACKS fewer. */
enum gw_offload {
    GW_OFFLOAD_TSO = 1,             /* large TCP packets from the TUN queue (opened with IFF_VNET_HDR), split here */
    GW_OFFLOAD_USO = 2,             /* the same for UDP */
    GW_OFFLOAD_COALESCE = 4,        /* packets of a flow merged before they are written to the TUN queue */
    GW_OFFLOAD_UDP_GSO = 8,         /* DTLS: many datagrams in one sendmsg */
    GW_OFFLOAD_UDP_GRO = 16,        /* DTLS: many datagrams in one recvmsg */
    GW_OFFLOAD_ACKS = 32,           /* with COALESCE: of acknowledgements that came together, the last stands for all */
    GW_OFFLOAD_ALL = 63,
};

struct gw_tls {                     /* PEM in memory; a second call replaces the context for handshakes to come */
    const uint8_t *chain;  size_t chain_size;
    const uint8_t *key;    size_t key_size;
};

/* A session as Python decided it. Addresses: IPv4 as ::ffff:a.b.c.d; all zero: none of that family. */
struct gw_session_config {
    uint8_t inner4[16];
    uint8_t inner6[16];
    uint32_t mtu;                   /* largest inner packet */
    uint32_t dpd_s;                 /* probe after this silence, dead after twice it; 0: never */
    uint32_t rekey_s;               /* new keys for the TLS channel so often, where it is TLS 1.3; 0: never */
    uint32_t idle_s;                /* no DATA but ICMP for so long: GW_SESSION_IDLE; 0: never */
};

struct gw_counters {                /* inner packets and bytes as the client sees them: rx from it, tx to it */
    uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
    uint64_t rx_dropped, tx_dropped;    /* all reasons together; by reason: gw_stats */
    uint64_t last_data_ns;          /* CLOCK_MONOTONIC */
    uint64_t dtls_rx_packets, dtls_rx_bytes, dtls_tx_packets, dtls_tx_bytes;    /* what of the above went over DTLS */
};

enum gw_dtls_mode { GW_DTLS_NONE = 0, GW_DTLS_PSK = 1, GW_DTLS_RESUMPTION = 2, GW_DTLS_CERTIFICATE = 3 };

/* What a session expects of its DTLS client; see dtls_context.h. */
struct gw_dtls_config {
    uint32_t mode;                   /* enum gw_dtls_mode */
    uint8_t name[32];               /* App-ID or session id: unguessable, unique among the sessions */
    uint8_t secret[48];             /* PSK, CERTIFICATE: the first 32 bytes are the key. RESUMPTION: the master secret */
    uint8_t suite[2];               /* RESUMPTION: as in TLS's registry */
};

enum gw_event_kind {
    GW_CONNECTION_UP = 1,        /* TLS handshake done; `connection` may be answered. data: the exported keys for PSK and CERTIFICATE, 32 bytes each */
    GW_CONNECTION_DATA = 2,      /* decrypted bytes of the conversation, in order */
    GW_CONNECTION_CLOSED = 3,    /* a connection that was no channel of a session is gone; last event of it */
    GW_CHANNEL_UP = 4,     /* `connection` is now the TLS channel of `session` */
    GW_CHANNEL_DOWN = 5,   /* the session lost its last channel, see cause; the session itself lives on */
    GW_SESSION_IDLE = 6,   /* idle_s passed */
    GW_SESSION_CLOSED = 7, /* answer to gw_session_close, with the final counters; last event of it */
    GW_DTLS_UP = 8,        /* the session has a DTLS channel, or a new one: peer, tls_version (0xfefd, 0xfefc), cipher */
    GW_DTLS_DOWN = 9,      /* it has none any more; TLS goes on. GW_CAUSE_DPD, _PEER_CLOSED, _PROTOCOL, _REPLACED */
    GW_SESSION_ALIVE = 10, /* answer to gw_session_ask: the client was heard */
};

enum gw_cause {
    GW_CAUSE_NONE = 0,
    GW_CAUSE_PEER_CLOSED = 1,       /* FIN or close_notify */
    GW_CAUSE_PEER_RESET = 2,
    GW_CAUSE_PEER_DISCONNECT = 3,   /* a DISCONNECT frame: data is its payload (reason byte, text) */
    GW_CAUSE_HANDSHAKE_FAILED = 4,  /* already told to the gate */
    GW_CAUSE_TIMEOUT = 5,           /* handshake or conversation deadline */
    GW_CAUSE_DPD = 6,
    GW_CAUSE_PROTOCOL = 7,          /* bad CSTP magic, oversized frame */
    GW_CAUSE_STALLED = 8,           /* the peer stopped reading for longer than the write deadline */
    GW_CAUSE_LOCAL = 9,             /* asked for by Python */
    GW_CAUSE_REPLACED = 10,         /* another connection became the channel of the session */
};

struct gw_event {
    uint32_t kind;                  /* enum gw_event_kind */
    uint32_t cause;                 /* enum gw_cause */
    uint64_t connection;                  /* 0: none; ids are never used again */
    uint64_t session;
    uint8_t peer[16];
    uint16_t peer_port;
    uint16_t local_port;
    uint16_t tls_version;           /* 0x0303, 0x0304 */
    uint16_t resumed;
    char cipher[48];
    char server_name[256];          /* SNI, empty: none */
    struct gw_counters counters;    /* CHANNEL_DOWN, SESSION_CLOSED */
    uint32_t data_size;             /* bytes of this event behind gw_events' data pointer, in the order of the events */
    uint32_t reserved;
};

gw *gw_open(const struct gw_config *config, char *error, size_t error_size);
int gw_set_tls(gw *g, const struct gw_tls *tls, char *error, size_t error_size);
int gw_add_listener(gw *g, uint32_t worker, int fd);
int gw_set_tun(gw *g, uint32_t worker, int fd);
/* A bound, unconnected UDP socket; every worker gets one per address, in the same order. */
int gw_add_udp(gw *g, uint32_t worker, int fd);
int gw_start(gw *g, char *error, size_t error_size);
void gw_stop_accepting(gw *g);      /* drain: listening sockets closed, connections live on */
void gw_close(gw *g);               /* stops and joins the workers, closes every descriptor; not a byte is sent after it */

/* Between the two, which one thread calls, commands are taken but wake no worker: that comes at once for all of them, instead
 * of a change of threads for each. Packets that cross between workers do not wait for it. */
void gw_hold(gw *g);
void gw_release(gw *g);

int gw_event_fd(gw *g);             /* readable while events wait */
/* Up to `count` events, their payloads packed into `data`; returns how many. A payload never exceeds 16 KiB + 64. */
int gw_events(gw *g, struct gw_event *events, uint32_t count, uint8_t *data, size_t data_size);

int gw_connection_send(gw *g, uint64_t connection, const uint8_t *data, size_t size);
int gw_connection_close(gw *g, uint64_t connection);    /* what was sent before goes out first, bounded by the write deadline */

/* -EINVAL: an MTU below 576. On failure *session is 0, or as it was. */
int gw_session_open(gw *g, uint64_t connection, const struct gw_session_config *config, uint64_t *session);
/* `head` (the HTTP answer) goes out, then `connection` is the session's TLS channel; `early` are bytes that the peer sent behind
 * its CONNECT. A channel there was before is closed (GW_CAUSE_REPLACED, no CHANNEL_DOWN). */
int gw_session_attach(gw *g, uint64_t session, uint64_t connection, const uint8_t *head, size_t head_size,
                      const uint8_t *early, size_t early_size);
/* Sends `frame` (a whole CSTP DISCONNECT or TERMINATE frame, or nothing), closes the channel, frees the inner addresses. */
int gw_session_close(gw *g, uint64_t session, const uint8_t *frame, size_t frame_size);
/* The largest inner packet for the client from now on; what is larger is fragmented or answered as too big. -EINVAL: below 576. */
int gw_session_resize(gw *g, uint64_t session, uint32_t mtu);
/* Is the client there? GW_SESSION_ALIVE once it is heard, at once where that was in the last two seconds. */
int gw_session_ask(gw *g, uint64_t session);
int gw_session_counters(gw *g, uint64_t session, struct gw_counters *counters);
/* Before gw_session_attach, each time: DTLS of the session's client is expected from then on, of an older one no more. Without it
 * the session attached has no DTLS. */
int gw_session_dtls(gw *g, uint64_t session, const struct gw_dtls_config *config);
/* The suites of GW_DTLS_RESUMPTION by the names clients use, best first, until NULL; and back: -EINVAL. */
const char *gw_dtls_suite_name(uint32_t index);
int gw_dtls_suite_find(const char *name, uint8_t suite[2]);

/* The gateway's own counters as "name value" pairs in a fixed order: gw_stat_name(i) until NULL. */
const char *gw_stat_name(uint32_t index);
void gw_stats(gw *g, uint64_t *values, uint32_t count);

#endif
