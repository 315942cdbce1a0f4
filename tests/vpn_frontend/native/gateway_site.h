/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A whole gateway with clients of its own, for tests of what happens when something fails. Included once, by a program that
 * defines WORKERS, and fail(), which ends it.
 */
#ifndef TESTS_GATEWAY_SITE_H
#define TESTS_GATEWAY_SITE_H

#include "commands.h"
#include "dtls/udp_port.h"
#include "named_session.h"

#include <assert.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE 30                 /* seconds in which a client must be served on a loaded machine */
#define DTLS_PAUSE 30               /* ms until a flight is sent again */
#define FRAME(type, size) "STF\1\0" size type "\0"

static __thread bool exempt;        /* nothing fails in this thread: it is a client's, or does what the test does */

static void fail(const char *what);

static void accept_all(void *engine, const struct se_request *request, struct se_verdict *verdict)
{
    (void)engine;
    (void)request;
    *verdict = (struct se_verdict){ .action = SE_ACCEPT };
}

static const struct se_gate gate = { .abi = SE_GATE_ABI, .request_size = sizeof(struct se_request),
                                     .verdict_size = sizeof(struct se_verdict), .decide = accept_all };
static struct gw_certificate certificate = { .key_type = GW_KEY_P256 };
static const struct gw_tls_host host = { .certificates = &certificate, .certificate_count = 1 };
static const struct gw_tls tls = { .hosts = &host, .host_count = 1, .ciphers = "TLS13-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256" };

static const uint8_t *read_file(const char *name, size_t *size)
{
    static char memory[2][8192];
    static int used;
    FILE *file = fopen(name, "r");

    assert(file);
    *size = fread(memory[used], 1, sizeof(memory[used]), file);
    fclose(file);
    return (const uint8_t *)memory[used++];
}

/* The server's ends of its sockets, and where to reach them. */
struct site {
    gw *gateway;
    uint16_t tcp, udp;
    int tun[WORKERS];               /* our ends */
    int queue[WORKERS];             /* the gateway's */
    uint32_t staying;               /* connections of clients that stay */
};

static int bound_socket(int type, uint16_t *port)
{
    int fd = socket(AF_INET, type, 0);
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(name);
    const int on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    assert(fd >= 0 && !bind(fd, (struct sockaddr *)&name, size) && !getsockname(fd, (struct sockaddr *)&name, &size));
    assert(type != SOCK_STREAM || !listen(fd, 16));
    *port = ntohs(name.sin_port);
    return fd;
}

static int hand_over(struct site *site, uint32_t worker)
{
    int pair[2], tcp, udp, taken = 0;

    exempt = true;
    tcp = bound_socket(SOCK_STREAM, &site->tcp);
    udp = bound_socket(SOCK_DGRAM, &site->udp);
    assert(!socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    exempt = false;
    site->tun[worker] = pair[0];
    site->queue[worker] = pair[1];
    if (gw_add_tun(site->gateway, worker, pair[1]) == 0 && ++taken && gw_add_listener(site->gateway, worker, tcp) == 0 && ++taken &&
        gw_add_udp(site->gateway, worker, udp) == 0)
        return 0;
    if (taken < 1)
        close(pair[1]);
    if (taken < 2)
        close(tcp);
    close(udp);
    return -ENOMEM;
}

static int (*hand_over_more)(struct site *site, uint32_t worker); /* a test may give the gateway more; NULL: none does */

/* False: the gateway did not open, without harm. */
static bool open_site(struct site *site)
{
    const struct gw_config config = { .workers = WORKERS, .max_connections = 4, .max_sessions = 4, .handshake_timeout_ms = 30000,
                                      .conversation_timeout_ms = 30000, .write_timeout_ms = 30000, .gate = &gate };
    char error[256];

    *site = (struct site){ 0 };
    for (int i = 0; i < WORKERS; i++)
        site->tun[i] = -1;
    site->gateway = gw_open(&config, error, sizeof(error));
    if (!site->gateway || gw_set_tls(site->gateway, &tls, error, sizeof(error)))
        return false;
    for (uint32_t i = 0; i < WORKERS; i++)
        if (hand_over(site, i) || (hand_over_more && hand_over_more(site, i)))
            return false;
    return gw_start(site->gateway, error, sizeof(error)) == 0;
}

static void close_site(struct site *site)
{
    gw_close(site->gateway);
    for (int i = 0; i < WORKERS; i++)
        if (site->tun[i] >= 0)
            close(site->tun[i]);
}

/* A client that goes all the way: login, tunnel, a packet, DTLS. */
struct client {
    const struct site *site;
    uint8_t name[32], secret[48];
    int patience;                   /* seconds */
    bool served, over;              /* atomic */
    uint64_t session;               /* 0: none */
    bool (*use)(const struct client *, WOLFSSL *); /* the tunnel; NULL: opens DTLS */
};

static int connected(int type, uint16_t port, int seconds)
{
    const struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const struct timeval patience = { .tv_sec = seconds };
    int fd = socket(AF_INET, type, 0);

    assert(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert(!connect(fd, (const struct sockaddr *)&name, sizeof(name)));
    return fd;
}

static WOLFSSL *make_ssl(WOLFSSL_METHOD *method, int fd, WOLFSSL_CTX **context)
{
    WOLFSSL *ssl;

    *context = wolfSSL_CTX_new(method);
    wolfSSL_CTX_set_verify(*context, WOLFSSL_VERIFY_NONE, NULL);
    wolfSSL_CTX_DisableExtendedMasterSecret(*context);
    ssl = wolfSSL_new(*context);
    wolfSSL_set_fd(ssl, fd);
    return ssl;
}

static void drop_ssl(WOLFSSL *ssl, WOLFSSL_CTX *context, int fd)
{
    wolfSSL_free(ssl);
    wolfSSL_CTX_free(context);
    close(fd);
}

static bool exchange(WOLFSSL *ssl, const char *question, int size, const char *answer, int answer_size)
{
    char got[512];
    int have = 0;

    if (wolfSSL_write(ssl, question, size) != size)
        return false;
    while (have < answer_size) {
        int more = wolfSSL_read(ssl, got + have, (int)sizeof(got) - have);

        if (more <= 0)
            return false;
        have += more;
    }
    return !memcmp(got, answer, (size_t)answer_size);
}

static bool use_dtls(const struct client *client)
{
    static const uint8_t suite[] = { 0xc0, 0x30 };
    int fd = connected(SOCK_DGRAM, client->site->udp, client->patience);
    WOLFSSL_CTX *context;
    WOLFSSL *ssl = make_ssl(wolfDTLSv1_2_client_method(), fd, &context);
    WOLFSSL_SESSION *session = named_session(client->name, client->secret, 0xfd, suite);
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    bool served = false;
    char answer[5];
    int read = -1;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    wolfSSL_dtls_set_using_nonblock(ssl, 1);
    wolfSSL_set_session(ssl, session);
    wolfSSL_SESSION_free(session);
    for (int i = 0; i < client->patience * 1000 / (3 * DTLS_PAUSE) && !served; i++) {
        if (i && poll(&ready, 1, DTLS_PAUSE) == 0)
            wolfSSL_dtls_got_timeout(ssl);
        served = wolfSSL_connect(ssl) == WOLFSSL_SUCCESS;
    }
    served = served && wolfSSL_write(ssl, "\3ping", 5) == 5;
    /* A flight that the server sent again may come first: reading it gives nothing. */
    while (served && read < 0 && (served = poll(&ready, 1, client->patience * 1000) > 0))
        read = wolfSSL_read(ssl, answer, 5);
    served = served && read == 5 && !memcmp(answer, "\4ping", 5);
    drop_ssl(ssl, context, fd);
    return served;
}

static void *run_client(void *argument)
{
    struct client *client = argument;
    WOLFSSL_CTX *context;
    WOLFSSL *ssl;
    int fd;

    exempt = true;
    fd = connected(SOCK_STREAM, client->site->tcp, client->patience);
    ssl = make_ssl(wolfTLSv1_3_client_method(), fd, &context);
    client->served = wolfSSL_connect(ssl) == WOLFSSL_SUCCESS && exchange(ssl, "hello", 5, "HELLO", 5) &&
                     exchange(ssl, FRAME("\3", "\4") "ping", 12, FRAME("\4", "\4") "ping", 12) && (client->use ? client->use(client, ssl) : use_dtls(client)) &&
                     exchange(ssl, FRAME("\3", "\4") "pong", 12, FRAME("\4", "\4") "pong", 12);
    drop_ssl(ssl, context, fd);
    __atomic_store_n(&client->over, true, __ATOMIC_RELEASE);
    return NULL;
}

/* Limits that let everything pass. */
static int set_limits(gw *gateway, uint64_t session)
{
    const struct gw_restriction_config all = { .port_rule = GW_PORTS_EXCEPT };
    const struct gw_session_limits limits = { gw_restriction_new(&all), { gw_budget_new() } };
    int status = limits.restriction && limits.budgets[0] ? gw_session_limit(gateway, session, &limits) : -ENOMEM;

    gw_restriction_release(limits.restriction);
    gw_budget_release(limits.budgets[0]);
    return status;
}

/* The inner address is 10.0.0.x, x being the client's name. */
static void open_tunnel(gw *gateway, uint64_t connection, struct client *client)
{
    const struct gw_session_config config = { .inner4 = { [10] = 0xff, 0xff, 10, 0, 0, client->name[0] }, .mtu = 1300, .dpd_s = 30 };
    uint64_t *session = &client->session;
    struct gw_dtls_config dtls = { .mode = GW_DTLS_RESUMPTION, .suite = { 0xc0, 0x30 } };

    memcpy(dtls.name, client->name, sizeof(dtls.name));
    memcpy(dtls.secret, client->secret, sizeof(dtls.secret));
    if (gw_session_open(gateway, connection, &config, session) == 0 && set_limits(gateway, *session) == 0 &&
        gw_session_dtls(gateway, *session, &dtls) == 0 &&
        gw_session_attach(gateway, *session, connection, (const uint8_t *)"HELLO", 5, NULL, 0) == 0) {
        gw_session_resize(gateway, *session, 1280);
        gw_session_ask(gateway, *session);
    } else {
        while (gw_connection_close(gateway, connection) == -ENOMEM)
            continue;
    }
}

static bool is_over(const struct client *client)
{
    return __atomic_load_n(&client->over, __ATOMIC_ACQUIRE);
}

static void (*see_event)(const struct gw_event *event);  /* a test may look at all events; NULL: none does */

/* Handles events as the gateway's caller does, while `goes_on` is true. Connections are the client's. Its session is closed once it is
 * over, and this returns after that. */
static void serve(struct site *site, struct client *client, bool (*goes_on)(const struct site *, const struct client *))
{
    static struct gw_event events[16];
    static uint8_t data[16 * GW_EVENT_MAX_DATA];
    const uint64_t deadline = gw_clock_now() + 2 * PATIENCE * GW_SECOND;
    struct pollfd ready = { .fd = gw_event_fd(site->gateway), .events = POLLIN };

    while (goes_on(site, client) || (client->session && is_over(client))) {
        int count = poll(&ready, 1, 10) > 0 ? gw_events(site->gateway, events, 16, data, sizeof(data)) : 0;

        if (gw_clock_now() > deadline)
            fail("a client, a connection or a session does not end");
        for (int i = 0; i < count; i++) {
            if (see_event)
                see_event(&events[i]);
            if (events[i].kind == GW_CONNECTION_DATA)
                open_tunnel(site->gateway, events[i].connection, client);
            else if (events[i].kind == GW_SESSION_CLOSED && events[i].session == client->session)
                client->session = 0;
        }
        if (client->session && is_over(client))
            gw_session_close(site->gateway, client->session, NULL, 0);  /* again where memory was out */
    }
}

static bool is_there(const struct site *site, const struct client *client)
{
    (void)site;
    return !is_over(client);
}

static bool has_links(const struct site *site, const struct client *client)
{
    (void)client;
    return __atomic_load_n(&site->gateway->connections, __ATOMIC_RELAXED) > site->staying;
}

static pthread_t start_client(struct client *client)
{
    pthread_t thread;

    exempt = true;
    assert(!pthread_create(&thread, NULL, run_client, client));
    exempt = false;
    return thread;
}

static bool be_served(struct site *site, uint8_t name, int patience, bool (*use)(const struct client *, WOLFSSL *))
{
    struct client client = { .site = site, .name = { name }, .secret = { name }, .patience = patience, .use = use };
    pthread_t thread = start_client(&client);

    serve(site, &client, is_there);
    serve(site, &client, has_links);
    pthread_join(thread, NULL);
    return client.served;
}

#endif
