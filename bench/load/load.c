/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * load MODE ADDRESS PORT THREADS AMOUNT [USER PASSWORD]
 *
 *   connect    TCP connections, reset at once, for AMOUNT seconds
 *   handshake  full TLS handshakes, for AMOUNT seconds
 *   login      logins to an open tunnel, each ended with a DISCONNECT, for AMOUNT seconds
 *   hold       AMOUNT tunnels, held open until SIGTERM
 *   push       one tunnel per thread, each sending inner UDP packets to its server as fast as it goes, for AMOUNT seconds
 *   pull       one tunnel per thread, counting what comes, until SIGTERM; says the tunnels' addresses
 *   blast      UDP datagrams to port 9 of ADDRESS as fast as they go, for AMOUNT seconds: the other end of a pull
 *   hello      DTLS 1.2 ClientHellos that name no session, as fast as they go, for AMOUNT seconds
 *
 * Prints JSON lines: {"open": …} when tunnels are up, and at the end {"count", "failed", "seconds", "bytes"}. Blocking calls
 * on many threads: the kernel does the waiting, and the code stays short.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

#define MAX_THREADS 256
#define PACKET 1300                     /* bytes of one inner packet */
#define BATCH 32                        /* packets per send() */

static struct lc_target target;
static WOLFSSL_CTX *context;
static double deadline;
static long quota;                      /* tunnels to hold */
static atomic_long count, failed, bytes, taken, announced;
static atomic_int stopped;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int open_client(struct lc_client *client, int depth)
{
    int error;

    lc_init(client);
    error = lc_connect(client, &target);
    if (!error && depth > 0)
        error = lc_handshake(client, context);
    if (!error && depth > 1)
        error = lc_open_tunnel(client, &target);
    if (error) {
        if (atomic_fetch_add(&failed, 1) < 3)
            fprintf(stderr, "load: %s\n", strerror(-error));
        lc_close(client);
    }
    return error;
}

static void *run_cycles(void *argument)
{
    int depth = *(int *)argument;
    struct lc_client *client = malloc(sizeof *client);

    while (client && now() < deadline && !atomic_load(&stopped)) {
        if (open_client(client, depth))
            continue;
        if (depth > 1)
            lc_goodbye(client);
        lc_close(client);
        atomic_fetch_add(&count, 1);
    }
    free(client);
    return NULL;
}

static void *run_hold(void *argument)
{
    (void)argument;
    while (atomic_fetch_add(&taken, 1) < quota) {
        struct lc_client *client = malloc(sizeof *client);  /* lives until the process ends */

        if (!client || open_client(client, 2))
            free(client);
        else
            atomic_fetch_add(&count, 1);
    }
    return NULL;
}

static uint16_t checksum(const uint8_t *data, size_t size)
{
    uint32_t sum = 0;

    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)(data[i] << 8 | data[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* IPv4 and UDP to port 9 of the server's inner address: the first of the client's /24 or wider network. */
static void fill_packet(uint8_t *packet, uint32_t source, uint32_t destination)
{
    uint16_t sum;

    memset(packet, 0x5a, PACKET);
    memcpy(packet, (uint8_t[]){ 0x45, 0, PACKET >> 8, PACKET & 255, 0, 0, 0x40, 0, 64, 17, 0, 0 }, 12);
    memcpy(packet + 12, &source, 4);
    memcpy(packet + 16, &destination, 4);
    sum = checksum(packet, 20);
    packet[10] = (uint8_t)(sum >> 8);
    packet[11] = (uint8_t)sum;
    memcpy(packet + 20, (uint8_t[]){ 0x30, 0x39, 0, 9, (PACKET - 20) >> 8, (PACKET - 20) & 255, 0, 0 }, 8);
}

static void *run_push(void *argument)
{
    uint8_t packet[PACKET];
    struct lc_client *client = malloc(sizeof *client);
    const uint32_t *inner = argument;
    int error;

    if (!client || open_client(client, 2))
        goto out;
    fill_packet(packet, client->inner_ipv4, *inner);
    atomic_fetch_add(&announced, 1);
    do {
        error = 0;
        for (int i = 0; i < BATCH && !error; i++)
            error = lc_push_packet(client, packet, PACKET);
        if (!error)
            error = lc_flush(client);
        atomic_fetch_add(&count, BATCH);
        atomic_fetch_add(&bytes, BATCH * PACKET);
    } while (!error && now() < deadline);
    if (error)
        atomic_fetch_add(&failed, 1);
    lc_goodbye(client);
    lc_close(client);
out:
    free(client);
    return NULL;
}

static void *run_pull(void *argument)
{
    uint8_t frame[16384];
    struct lc_client *client = malloc(sizeof *client);
    struct in_addr inner;
    long got;

    (void)argument;
    if (!client || open_client(client, 2))
        goto out;
    inner.s_addr = client->inner_ipv4;
    flockfile(stdout);
    printf("{\"tunnel\": \"%s\"}\n", inet_ntoa(inner));
    funlockfile(stdout);
    while (!atomic_load(&stopped) && (got = lc_pull_packet(client, frame, sizeof frame)) >= 0) {
        atomic_fetch_add(&count, got > 0);
        atomic_fetch_add(&bytes, got);
    }
    lc_close(client);
out:
    free(client);
    return NULL;
}

/* A ClientHello in one record, with a session id of 32 bytes that no server gave out. */
static size_t fill_hello(uint8_t *datagram)
{
    static const uint8_t record[] = { 22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 90 };
    static const uint8_t message[] = { 1, 0, 0, 78, 0, 0, 0, 0, 0, 0, 0, 78, 0xfe, 0xfd };
    static const uint8_t tail[] = { 0, 0, 4, 0, 0xa8, 0, 0xff, 1, 0, 0, 0 };
    uint8_t *end = datagram;

    memcpy(end, record, sizeof record);
    end += sizeof record;
    memcpy(end, message, sizeof message);
    end += sizeof message;
    for (int i = 0; i < 32 + 1 + 32; i++)           /* random, length of the session id, session id */
        *end++ = i == 32 ? 32 : (uint8_t)rand();
    memcpy(end, tail, sizeof tail);
    return (size_t)(end + sizeof tail - datagram);
}

static void *run_blast(void *argument)
{
    static uint8_t payload[BATCH][PACKET - 28];
    struct iovec pieces[BATCH];
    struct mmsghdr batch[BATCH];
    int hello = *(int *)argument;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memset(batch, 0, sizeof batch);
    for (int i = 0; i < BATCH; i++) {
        pieces[i].iov_base = payload[i];
        pieces[i].iov_len = hello ? fill_hello(payload[i]) : sizeof payload[i];
        batch[i].msg_hdr.msg_iov = &pieces[i];
        batch[i].msg_hdr.msg_iovlen = 1;
    }
    if (fd < 0 || connect(fd, (struct sockaddr *)&target.address, sizeof target.address))
        return NULL;
    while (now() < deadline) {
        int sent = sendmmsg(fd, batch, BATCH, 0);

        if (sent > 0) {
            atomic_fetch_add(&count, sent);
            atomic_fetch_add(&bytes, (long)sent * PACKET);
        }
    }
    close(fd);
    return NULL;
}

static void stop(int signal_number)
{
    (void)signal_number;
    atomic_store(&stopped, 1);
}

static void wait_for_stop(void)
{
    sigset_t term;
    int number;

    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigwait(&term, &number);
    atomic_store(&stopped, 1);
}

int main(int argc, char **argv)
{
    pthread_t threads[MAX_THREADS];
    void *(*body)(void *) = run_cycles;
    int depth = 0, started = 0, wanted, waits = 0;
    uint32_t inner = 0;
    void *argument = &depth;
    double began = now();
    sigset_t term;

    if (argc < 6)
        return fprintf(stderr, "load MODE ADDRESS PORT THREADS AMOUNT [USER PASSWORD [INNER]]\n"), 2;
    target.address.sin_family = AF_INET;
    target.address.sin_port = htons((uint16_t)atoi(argv[3]));
    wanted = atoi(argv[4]);
    if (!inet_aton(argv[2], &target.address.sin_addr) || wanted < 1 || wanted > MAX_THREADS)
        return fprintf(stderr, "load: bad address or number of threads\n"), 2;
    target.user = argc > 7 ? argv[6] : "";
    target.password = argc > 7 ? argv[7] : "";
    if (argc > 8)
        inner = inet_addr(argv[8]);
    deadline = began + atof(argv[5]);
    if (!strcmp(argv[1], "handshake")) {
        depth = 1;
    } else if (!strcmp(argv[1], "login")) {
        depth = 2;
    } else if (!strcmp(argv[1], "hold")) {
        body = run_hold;
        quota = atol(argv[5]);
        waits = 1;
    } else if (!strcmp(argv[1], "push")) {
        body = run_push;
        argument = &inner;
    } else if (!strcmp(argv[1], "blast") || !strcmp(argv[1], "hello")) {
        body = run_blast;
        depth = argv[1][0] == 'h';      /* tells the two apart */
    } else if (!strcmp(argv[1], "pull")) {
        body = run_pull;
        waits = 1;
    } else if (strcmp(argv[1], "connect")) {
        return fprintf(stderr, "load: no mode %s\n", argv[1]), 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (waits) {                        /* threads inherit the mask: only the wait below takes the signal */
        sigemptyset(&term);
        sigaddset(&term, SIGTERM);
        pthread_sigmask(SIG_BLOCK, &term, NULL);
    } else {
        signal(SIGTERM, stop);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    wolfSSL_Init();
    context = lc_context();
    if (!context)
        return 1;
    for (; started < wanted; started++)
        if (pthread_create(&threads[started], NULL, body, argument))
            break;
    if (body == run_pull) {
        wait_for_stop();
    } else {
        for (int i = 0; i < started; i++)
            pthread_join(threads[i], NULL);
        if (waits) {
            printf("{\"open\": %ld, \"failed\": %ld, \"seconds\": %.6f}\n", count, failed, now() - began);
            wait_for_stop();
        }
    }
    printf("{\"count\": %ld, \"failed\": %ld, \"seconds\": %.6f, \"bytes\": %ld}\n", count, failed, now() - began, bytes);
    return 0;
}
