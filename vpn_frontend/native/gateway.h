/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The gateway: sockets, TLS and DTLS connections and TUN queues on worker threads that run without the GIL.
 *
 * Workers share nothing. Each owns an epoll instance, a listening socket per address (SO_REUSEPORT), a TUN queue, connections,
 * sessions, and a replica of the table "inner address -> session". Threads meet at two bounded queues, each with an eventfd: the
 * mailbox of a worker (commands from Python; packets and migrating sessions from other workers) and the events to Python.
 *
 * A CONNECTION is one accepted TCP connection: handshake, then bytes exchanged with Python, then the TLS channel of a session,
 * then closed. A SESSION is one client's tunnel: inner addresses, limits, counters, and its present channel (none while the
 * client is away). It begins on the worker of its first connection; a later connection of the session moves to its worker.
 *
 * Python opens and configures every descriptor. The gateway owns it from the call that takes it. Functions return 0 or a negative
 * errno. `error` buffers receive one readable line.
 */
#ifndef VPN_FRONTEND_GATEWAY_H
#define VPN_FRONTEND_GATEWAY_H

#include <stddef.h>
#include <stdint.h>

typedef struct gw gw;
typedef struct gw_restriction gw_restriction;
typedef struct gw_budget gw_budget;
typedef struct gw_signer gw_signer;

enum gw_limit {
    GW_WORKERS_MAX = 64,
    GW_MTU_MIN = 576,               /* what every host must accept (RFC 791) */
    GW_EXPORTER_SIZE = 32,          /* bytes of each key that is exported from a TLS connection */
    GW_FINISHED_MAX = 48,           /* bytes of the peer's Finished message */
    GW_EXPORTS_SIZE = 145,          /* bytes before the certificate in the payload of GW_CONNECTION_UP: 3 keys, size and Finished */
    GW_PEER_CERTIFICATE_MAX = 16384,    /* bytes of the peer's certificate, DER */
    GW_SERVER_NAME_SIZE = 256,      /* bytes of a host name and its end (RFC 1035: 255) */
    GW_HOSTS_MAX = 64,
    GW_CERTIFICATES_MAX = 4,        /* of a host */
    GW_OCSP_MAX = 16384,            /* bytes of an OCSP response */
    GW_DHE_PER_SECOND = 20,         /* handshakes over finite fields, of all workers: the rest is refused */
    GW_BUDGETS = 2,                 /* of a session: its own, and one that it shares with others of its user */
    GW_RESTRICTION_NETWORKS_MAX = 65536,
    GW_RESTRICTION_PORTS_MAX = 256,
    GW_PROXIES_MAX = 1024,
    GW_IROUTES_MAX = 4096,          /* networks behind clients, of all sessions */
    GW_SIGNER_KEY_MAX = 16384,      /* bytes of a private key, DER */
};

/* Addresses from `first` to `last`, both included. IPv4 in mapped form. */
struct gw_address_range {
    uint8_t first[16], last[16];
};

struct gw_config {
    uint32_t workers;               /* 1 to GW_WORKERS_MAX */
    uint32_t max_connections;       /* accepted connections at a time; one source holds a 16th of them without tunnels */
    uint32_t max_sessions;
    uint32_t handshake_timeout_ms;
    uint32_t conversation_timeout_ms;   /* without a byte from the peer, before the tunnel */
    uint32_t write_timeout_ms;      /* without the peer taking a byte of the output that waits */
    uint32_t offloads;              /* enum gw_offload: what may be used where the kernel has it */
    uint32_t network4, mask4;       /* the clients' IPv4 subnet, host byte order: nothing is sent to its broadcast. 0: none */
    const void *gate;               /* struct se_gate *, asked at accept before any cryptography */
    const uint8_t *filter;          /* a seccomp program that each worker loads at its start; kept until gw_start returns */
    uint32_t filter_size;           /* bytes; 0: none */
    uint32_t proxy_count;           /* at most GW_PROXIES_MAX */
    const struct gw_address_range *proxies;     /* whose connections begin with a PROXY header; copied */
    uint32_t fips;                  /* 1: DTLS with a pre-shared key by approved suites and groups alone */
    struct gw_account *accounts;    /* max_sessions of them, zeroed, that outlive the gateway; NULL: memory of its own */
};

/* Each offload is probed, and left out where the kernel lacks it. Only speed depends on it, and with ACKS the number of ACKs. */
enum gw_offload {
    GW_OFFLOAD_TSO = 1,             /* large TCP packets from the TUN queue (opened with IFF_VNET_HDR), split here */
    GW_OFFLOAD_USO = 2,             /* the same for UDP */
    GW_OFFLOAD_COALESCE = 4,        /* packets of a flow are merged before they are written to the TUN queue */
    GW_OFFLOAD_UDP_GSO = 8,         /* DTLS: many datagrams in one sendmsg */
    GW_OFFLOAD_UDP_GRO = 16,        /* DTLS: many datagrams in one recvmsg */
    GW_OFFLOAD_ACKS = 32,           /* with COALESCE: of TCP ACKs that arrive together, only the last is written */
    GW_OFFLOAD_ALL = 63,
};

enum gw_revocation_check { GW_REVOCATION_OFF = 0, GW_REVOCATION_LEAF = 1, GW_REVOCATION_CHAIN = 2 };
enum gw_key_type { GW_KEY_RSA = 1, GW_KEY_P256 = 2, GW_KEY_P384 = 3, GW_KEY_P521 = 4, GW_KEY_ED25519 = 5 };

/* A certificate of the server: PEM in memory, and an OCSP response in DER that is stapled as it is. */
struct gw_certificate {
    const uint8_t *chain;  size_t chain_size;
    const uint8_t *key;    size_t key_size;
    const uint8_t *ocsp;   size_t ocsp_size;    /* 0: none */
    uint32_t key_type;              /* enum gw_key_type */
    uint32_t acme;                  /* 1: a challenge. wolfSSL does not know its critical extension, so the caller compares the key */
    uint64_t signer_key;            /* id of the private key in the signing process, then `key` is empty; 0: `key` has it */
};

/* A virtual host. With `client_ca` clients are asked for a certificate of these CAs; one without any is accepted, and no session
 * is resumed. With a revocation check, a certificate needs a list of its issuer that is in date and does not name it. wolfSSL loads
 * no list out of date. */
struct gw_tls_host {
    const char *name;               /* SNI in lower case; not read of the first host, which gets every other name, and none */
    const struct gw_certificate *certificates;  /* by preference: the first that the client can verify is used */
    uint32_t certificate_count;     /* 1 to GW_CERTIFICATES_MAX */
    const uint8_t *client_ca;  size_t client_ca_size;
    const uint8_t *client_crl;  size_t client_crl_size;     /* any number of lists */
    uint32_t revocation_check;      /* enum gw_revocation_check: of the client's own certificate, or of the CAs between too */
    uint32_t fips;                  /* 1: only groups and key sizes of FIPS 140-3; TLS 1.2 needs the extended master secret */
};

/* A second call of gw_set_tls replaces everything for later handshakes. Sessions of before are not resumed then. */
struct gw_tls {
    const struct gw_tls_host *hosts;
    uint32_t host_count;            /* 1 to GW_HOSTS_MAX */
    const char *ciphers;            /* wolfSSL's names with ":" between, by preference. DHE suites: with RSA keys only */
};

struct gw_counters {                /* inner packets and bytes as the client sees them: rx from it, tx to it */
    uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
    uint64_t rx_dropped, tx_dropped;    /* for any reason; gw_stats counts by reason */
    uint64_t last_data_ns;          /* CLOCK_MONOTONIC */
    uint64_t dtls_rx_packets, dtls_rx_bytes, dtls_tx_packets, dtls_tx_bytes;    /* the part that went over DTLS */
};

/* Counters of a session where they outlive the process: the caller may have mapped this memory to a file. */
struct gw_account {
    uint8_t key[16];                /* of the session, as its config has it; all zero: none */
    uint64_t ended;                 /* 1: the session was told to end, or has ended. The next session may take the account */
    struct gw_counters counters;
    uint64_t reserved[2];
};

/* Addresses: IPv4 as ::ffff:a.b.c.d; all zero: none of that family. */
struct gw_session_config {
    uint8_t inner4[16];
    uint8_t inner6[16];
    uint32_t mtu;                   /* largest inner packet */
    uint32_t dpd_s;                 /* a DPD request after this silence, dead after twice it; 0: never */
    uint32_t rekey_s;               /* between two rekeys of a TLS 1.3 channel; 0: never */
    uint32_t idle_s;                /* without DATA other than ICMP, until GW_SESSION_IDLE; 0: never */
    uint32_t iroute_count;
    uint32_t iroutes_exposed;       /* 1: other clients may reach them */
    const struct gw_address_range *iroutes;     /* networks behind the client; copied. One of another session passes to this one */
    const uint8_t *key;             /* of its account, 16 bytes; copied. NULL: all zero */
    const struct gw_counters *counters;         /* that it goes on with; copied. NULL: from 0 */
};

/* Ports of a protocol (number of the IP registry). For a protocol without ports: 0 to 65535. */
struct gw_port_range {
    uint16_t first, last;
    uint8_t protocol;
};

enum gw_port_rule {
    GW_PORTS_ANY = 0,
    GW_PORTS_ONLY = 1,              /* only what `ports` lists: any other protocol is refused, too */
    GW_PORTS_EXCEPT = 2,            /* all but what `ports` lists */
};

/* What a client may reach: destinations of its packets, and sources of packets to it. */
struct gw_restriction_config {
    const struct gw_address_range *networks;    /* IPv4 before IPv6, each ascending and disjoint */
    const struct gw_port_range *ports;
    uint32_t network_count, port_count;
    uint32_t by_network;            /* 0: any network, `networks` is ignored */
    uint32_t port_rule;             /* enum gw_port_rule */
};

/* What a session may carry. NULL: no limit. */
struct gw_session_limits {
    gw_restriction *restriction;
    gw_budget *budgets[GW_BUDGETS]; /* a packet passes if each lets it pass */
};

enum gw_dtls_mode { GW_DTLS_NONE = 0, GW_DTLS_PSK = 1, GW_DTLS_RESUMPTION = 2, GW_DTLS_CERTIFICATE = 3 };

/* The DTLS client that a session expects; see dtls/context.h. */
struct gw_dtls_config {
    uint32_t mode;                  /* enum gw_dtls_mode */
    uint8_t name[32];               /* App-ID or session id: unguessable, unique among the sessions */
    uint8_t secret[48];             /* PSK, CERTIFICATE: the first 32 bytes are the key. RESUMPTION: the master secret */
    uint8_t suite[2];               /* RESUMPTION: cipher suite number of the TLS registry */
    uint32_t host;                  /* index, set by the gateway: the host of the session's TLS connection */
};

enum gw_event_kind {
    GW_CONNECTION_UP = 1,       /* handshake done, and bytes came. data: the exports, and the peer's certificate or nothing */
    GW_CONNECTION_DATA = 2,     /* decrypted bytes before the tunnel, in order */
    GW_CONNECTION_CLOSED = 3,   /* a connection that was no channel of a session is closed; its last event. One that only shook hands
                                 * is told of if it was evicted */
    GW_CHANNEL_UP = 4,          /* `connection` is now the TLS channel of `session` */
    GW_CHANNEL_DOWN = 5,        /* the session lost its TLS channel, see cause; the session lives on */
    GW_SESSION_IDLE = 6,        /* idle_s passed */
    GW_SESSION_CLOSED = 7,      /* answer to gw_session_close, with the final counters; the session's last event */
    GW_DTLS_UP = 8,             /* the session has a DTLS channel, or another one: peer, tls_version (0xfefd, 0xfefc), cipher */
    GW_DTLS_DOWN = 9,           /* it lost it; TLS goes on. GW_CAUSE_DPD, _PEER_CLOSED, _PROTOCOL, _REPLACED */
    GW_SESSION_ALIVE = 10,      /* answer to gw_session_ask: the client was heard */
    GW_TUN_DOWN = 11,           /* a worker lost its TUN queue: the device was deleted. Once per worker, and for good */
    GW_PROXY_REFUSED = 13,      /* a proxy's connection was closed: `peer` is the proxy, data why */
    GW_QUOTA_EXCEEDED = 12,     /* a packet of the session was dropped: a quota is used up. Once until it is set again */
    GW_TUN_FAILING = 15,        /* reads of a worker's TUN queue fail, `error` says how, and are tried 10 times a second; 0: they work again */
    GW_SIGNER_DOWN = 14,        /* a worker lost the signing process: handshakes fail from now on. Once per worker, and for good */
};

enum gw_cause {
    GW_CAUSE_NONE = 0,
    GW_CAUSE_PEER_CLOSED = 1,       /* FIN or close_notify */
    GW_CAUSE_PEER_RESET = 2,
    GW_CAUSE_PEER_DISCONNECT = 3,   /* a DISCONNECT frame: data is its payload (reason byte, text) */
    GW_CAUSE_HANDSHAKE_FAILED = 4,  /* reported to the gate already */
    GW_CAUSE_TIMEOUT = 5,           /* of the handshake, or before the tunnel */
    GW_CAUSE_DPD = 6,
    GW_CAUSE_PROTOCOL = 7,          /* bad CSTP magic, oversized frame */
    GW_CAUSE_STALLED = 8,           /* the peer read nothing for longer than the write timeout */
    GW_CAUSE_LOCAL = 9,             /* closed by Python, or for lack of memory */
    GW_CAUSE_REPLACED = 10,         /* another connection became the channel of the session */
    GW_CAUSE_EVICTED = 11,          /* without a tunnel, for a newcomer: see connections/source_table.h */
};

struct gw_event {
    uint32_t kind;                  /* enum gw_event_kind */
    uint32_t cause;                 /* enum gw_cause */
    uint64_t connection;            /* 0: none; ids are never used again */
    uint64_t session;
    uint8_t peer[16];
    uint8_t local[16];              /* the address that it connected to, all zero: unknown */
    uint16_t peer_port;
    uint16_t local_port;
    uint16_t tls_version;           /* 0x0303, 0x0304 */
    uint16_t resumed;
    char cipher[48];
    char server_name[GW_SERVER_NAME_SIZE];      /* SNI in lower case, empty: none, or none that is a name */
    uint32_t host;                  /* CONNECTION_UP: index of the host whose certificate was used */
    struct gw_counters counters;    /* CHANNEL_DOWN, SESSION_CLOSED */
    uint32_t data_size;             /* bytes of this event at gw_events' data pointer, in the order of the events */
    uint32_t error;                 /* TUN_FAILING: a positive errno, or 0 */
    uint32_t frees_place;           /* CONNECTION_CLOSED: the connection counts against max_connections until this is read */
};

gw *gw_open(const struct gw_config *config, char *error, size_t error_size);
int gw_set_tls(gw *g, const struct gw_tls *tls, char *error, size_t error_size);
/* Certificates for ACME servers (RFC 8737), in place of those before: a host for each name. Only a hello whose one application
 * protocol is acme-tls/1 gets them, and its connection ends with the handshake. Without hosts: none. Hosts in use stay as they are. */
int gw_set_acme(gw *g, const struct gw_tls *tls, char *error, size_t error_size);
int gw_add_listener(gw *g, uint32_t worker, int fd);
/* One or two queues of the TUN device for each worker: with two, the second has the packets of busy sessions. */
int gw_add_tun(gw *g, uint32_t worker, int fd);
/* A bound, unconnected UDP socket. Every worker gets as many, of the same addresses in the same order. */
int gw_add_udp(gw *g, uint32_t worker, int fd);
/* A socket (SOCK_SEQPACKET) to the signing process. Needed by workers whose certificates name a signer_key. */
int gw_set_signer(gw *g, uint32_t worker, int fd);
int gw_start(gw *g, char *error, size_t error_size);
/* The caller has shut down the listening sockets, or has let them listen again: shutdown(2) and listen(2) on its own copies. */
void gw_pause_accepting(gw *g);
void gw_resume_accepting(gw *g);
void gw_stop_accepting(gw *g);      /* closes the listening sockets; connections live on */
void gw_close(gw *g);               /* stops and joins the workers, closes every descriptor; sends nothing after it */

/* Between gw_hold and gw_release commands wake no worker; gw_release wakes each once. Saves a thread switch for each command.
 * One thread calls both. Packets between workers are not delayed. */
void gw_hold(gw *g);
void gw_release(gw *g);

/* Copies how many turns the loop of each worker has made, and wakes each worker: a later call finds another number, or the
 * worker is stuck. Returns the number of workers. */
uint32_t gw_turns(gw *g, uint64_t *turns, uint32_t count);

/* Milliseconds that the oldest question to the signing process has no answer, of all workers; 0: none waits. */
uint64_t gw_signing_delay(gw *g);

int gw_event_fd(gw *g);             /* readable while events wait */
/* Copies up to `count` events, and their payloads to `data`; returns how many. A payload is at most 16 KiB + 64. */
int gw_events(gw *g, struct gw_event *events, uint32_t count, uint8_t *data, size_t data_size);

int gw_connection_send(gw *g, uint64_t connection, const uint8_t *data, size_t size);
/* Closes once all that was sent is out, within the write timeout. */
int gw_connection_close(gw *g, uint64_t connection);

/* -EINVAL: an MTU below GW_MTU_MIN. *session is 0 or unchanged on failure. */
int gw_session_open(gw *g, uint64_t connection, const struct gw_session_config *config, uint64_t *session);
/* Sends `head` (the HTTP answer), then makes `connection` the session's TLS channel. `early` are bytes that the peer sent behind
 * its CONNECT. An earlier channel is sent a DISCONNECT and closed (no GW_CHANNEL_DOWN). */
int gw_session_attach(gw *g, uint64_t session, uint64_t connection, const uint8_t *head, size_t head_size,
                      const uint8_t *early, size_t early_size);
/* Sends `frame` (a whole CSTP DISCONNECT or TERMINATE frame, or nothing), closes the channel, frees the inner addresses. */
int gw_session_close(gw *g, uint64_t session, const uint8_t *frame, size_t frame_size);
/* Sets the largest inner packet for the client. Larger ones are fragmented or answered as too big. -EINVAL: below GW_MTU_MIN. */
int gw_session_resize(gw *g, uint64_t session, uint32_t mtu);
/* Probes the client: GW_SESSION_ALIVE follows once it is heard, at once if that was within two seconds. */
int gw_session_ask(gw *g, uint64_t session);
int gw_session_counters(gw *g, uint64_t session, struct gw_counters *counters);
/* Writes two: the inner bytes from and to all clients since the gateway was made, those of ended sessions too. */
void gw_traffic(gw *g, uint64_t *carried);
/* The session expects this DTLS client, and no earlier one. To be called before each gw_session_attach: without it the attached
 * session has no DTLS. */
int gw_session_dtls(gw *g, uint64_t session, const struct gw_dtls_config *config);

/* Restrictions and budgets are counted references: the caller has one, each session another. The last release frees. They may
 * outlive the gateway. A restriction never changes. A budget is changed and read by any thread, and takes effect at once. */

/* NULL: out of memory, or a list that is too long or out of sequence. */
gw_restriction *gw_restriction_new(const struct gw_restriction_config *config);
void gw_restriction_release(gw_restriction *restriction);
/* Without limits until they are set. NULL: out of memory. */
gw_budget *gw_budget_new(void);
void gw_budget_release(gw_budget *budget);
/* Bytes of inner packets per second; 0: no limit. */
void gw_budget_set_rates(gw_budget *budget, uint64_t from_client, uint64_t to_client);
/* Bytes that may still pass, both directions together; below 0: no limit. */
void gw_budget_set_quota(gw_budget *budget, int64_t bytes);
/* Returns the bytes left: 0 if none is, -1 without a limit. */
int64_t gw_budget_quota(gw_budget *budget);
/* Sets the limits of a session, instead of earlier ones. Between gw_session_open and gw_session_attach: from its first packet on.
 * The session takes references of its own. */
int gw_session_limit(gw *g, uint64_t session, const struct gw_session_limits *limits);

/* The suite of GW_DTLS_RESUMPTION that clients call `name`; -EINVAL: unknown. */
int gw_dtls_suite_find(const char *name, uint8_t suite[2]);

/* Why wolfSSL is no FIPS 140 module in use, for the operator; NULL: it is one, and passed its tests. */
const char *gw_fips_problem(void);

/* The gateway's own counters, in a fixed order: names from gw_stat_name(0) until NULL, and their values. */
const char *gw_stat_name(uint32_t index);
void gw_stats(gw *g, uint64_t *values, uint32_t count);

/* The signing process: private keys by id, and a thread per worker in gw_signer_serve. A signer is for one such thread; the other
 * calls are for another. `error` as above. */

/* NULL: out of memory, or of random numbers. */
gw_signer *gw_signer_new(void);
/* Requires that gw_signer_serve has returned. */
void gw_signer_free(gw_signer *signer);
/* `der` is a private key of `type` (enum gw_key_type), PKCS #8 or the traditional form; copied. Replaces a key with that id. */
int gw_signer_add(gw_signer *signer, uint64_t id, uint32_t type, const uint8_t *der, size_t size, char *error, size_t error_size);
/* Frees the keys whose id is below `before`. */
void gw_signer_forget(gw_signer *signer, uint64_t before);
/* Answers requests until the other end of `fd` is closed. Returns 0 or a negative errno. The caller keeps `fd`. */
int gw_signer_serve(gw_signer *signer, int fd);

#endif
