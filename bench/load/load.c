/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * load [-d] [-u USER] [-p PASSWORD] [-c CERTIFICATE] [-k KEY] [-t USERS] [-i INNER] [-o PORT] [-r MBITS] MODE ADDRESS
 *      THREADS AMOUNT
 *
 *   connect    TCP connections to port 443, reset at once, for AMOUNT seconds
 *   handshake  full TLS handshakes, for AMOUNT seconds
 *   login      logins to an open tunnel, each ended with a DISCONNECT, for AMOUNT seconds
 *   hold       AMOUNT tunnels, held open until SIGTERM
 *   push       one tunnel per thread, each sending inner UDP packets to PORT of INNER, for AMOUNT seconds
 *   pull       one tunnel per thread, each requesting packets from the source on PORT of INNER, for AMOUNT seconds
 *   stall      as pull, at a rate, and never reads
 *   source     the other end of pull: answers from PORT, for AMOUNT seconds
 *   hello      DTLS 1.2 ClientHellos that name no session, as fast as possible, for AMOUNT seconds
 *
 *   -d  packets go over DTLS     -r  Mbit/s per tunnel; default: unlimited
 *   -c, -k  PEM files of a client certificate     -t  number of users, from USER and 0 on; with codes each logs in three times
 *
 * Prints JSON lines: {"open"} when tunnels are up, in push and pull {"at", "count", "bytes", "asked", "cpu"} four times a
 * second from then on, and at the end {"count", "failed", "seconds", "bytes", "asked", "p50", "p99"}; the last two are the seconds until
 * a client of connect, handshake or login was open. One thread per tunnel, with blocking calls.
 */
#define _GNU_SOURCE
#include "job.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_THREADS 256
#define TICK 0.25                       /* seconds between two lines of traffic */
#define PORT 443
#define CONCURRENT_LOGINS 8                          /* logins at once before traffic */

struct job job = { .port = 9 };

static const enum job_depth depths[] = { DEPTH_CONNECT, DEPTH_HANDSHAKE, DEPTH_TUNNEL };
static const int yes = 1, no = 0;

enum kind { CYCLES, HOLD, TRAFFIC };

static const struct mode {
    const char *name;
    void *(*body)(void *);
    const void *argument;
    enum kind kind;
} modes[] = {
    { "connect", run_cycles, &depths[0], CYCLES },
    { "handshake", run_cycles, &depths[1], CYCLES },
    { "login", run_cycles, &depths[2], CYCLES },
    { "hold", run_hold, NULL, HOLD },
    { "push", run_push, NULL, TRAFFIC },
    { "pull", run_pull, &yes, TRAFFIC },
    { "stall", run_pull, &no, TRAFFIC },
    { "source", run_source, NULL, CYCLES },
    { "hello", run_hello, NULL, CYCLES },
};

static void stop(int number)
{
    (void)number;
    atomic_store(&job.stopped, 1);
}

static double processor_time(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

static void say_open(void)
{
    printf("{\"open\": %ld, \"failed\": %ld}\n", job.opened, job.failed);
}

static void watch_traffic(double seconds)
{
    double began, tick;

    job.deadline = now() + 1e9;         /* no thread ends before the measurement starts */
    pthread_barrier_wait(&job.ready);
    began = tick = now();
    job.deadline = began + seconds;
    say_open();
    while (!over()) {
        struct timespec rest = { 0, 1000000 };

        nanosleep(&rest, NULL);
        if (now() < tick)
            continue;
        tick += TICK;
        printf("{\"at\": %.6f, \"count\": %ld, \"bytes\": %ld, \"asked\": %ld, \"cpu\": %.6f}\n", now() - began, job.count,
               job.bytes, job.asked, processor_time());
    }
}

static void wait_for_stop(void)
{
    sigset_t term;
    int number;

    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigwait(&term, &number);
}

static void run(const struct mode *mode, double amount)
{
    pthread_t threads[MAX_THREADS];
    double began = now();
    sigset_t term;
    int started = 0;

    job.deadline = mode->kind == HOLD ? began + 1e9 : began + amount;
    job.quota = (long)amount;
    if (mode->kind == HOLD) {           /* inherited by the threads: only sigwait takes the signal */
        sigemptyset(&term);
        sigaddset(&term, SIGTERM);
        pthread_sigmask(SIG_BLOCK, &term, NULL);
    } else {
        signal(SIGTERM, stop);
    }
    if (mode->kind == TRAFFIC && (sem_init(&job.logins, 0, CONCURRENT_LOGINS) ||
                                  pthread_barrier_init(&job.ready, NULL, (unsigned)job.threads + 1)))
        exit(1);
    for (; started < job.threads; started++)
        if (pthread_create(&threads[started], NULL, mode->body, (void *)(uintptr_t)mode->argument))
            exit(1);                    /* an incomplete barrier would block forever */
    if (mode->kind == TRAFFIC)
        watch_traffic(amount);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (mode->kind == HOLD) {
        say_open();
        wait_for_stop();
    }
    printf("{\"count\": %ld, \"failed\": %ld, \"seconds\": %.6f, \"bytes\": %ld, \"asked\": %ld, \"p50\": %.6f, \"p99\": %.6f}\n",
           job.count, job.failed, now() - began, job.bytes, job.asked, job_percentile(0.5), job_percentile(0.99));
}

static void raise_limits(void)
{
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static int usage(void)
{
    fprintf(stderr, "load [-d] [-u USER] [-p PASSWORD] [-c CERTIFICATE] [-k KEY] [-t USERS] [-i INNER] [-o PORT] [-r MBITS] "
                    "MODE ADDRESS THREADS AMOUNT\n");
    return 2;
}

static int read_options(int argc, char **argv)
{
    int option;

    job.target.user = job.target.password = "";
    while ((option = getopt(argc, argv, "du:p:c:k:t:i:o:r:")) != -1) {
        switch (option) {
        case 'd': job.target.dtls = 1; break;
        case 'u': job.target.user = optarg; break;
        case 'p': job.target.password = optarg; break;
        case 'c': job.target.certificate = optarg; break;
        case 'k': job.target.key = optarg; break;
        case 't': job.target.users = atol(optarg); break;
        case 'i': job.inner = inet_addr(optarg); break;
        case 'o': job.port = (uint16_t)atoi(optarg); break;
        case 'r': job.rate = atof(optarg); break;
        default: return -1;
        }
    }
    return !job.target.certificate == !job.target.key ? optind : -1;
}

int main(int argc, char **argv)
{
    int first = read_options(argc, argv);

    if (first < 0 || argc - first != 4)
        return usage();
    job.threads = atoi(argv[first + 2]);
    job.target.address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(PORT) };
    if (!inet_aton(argv[first + 1], &job.target.address.sin_addr) || job.threads < 1 || job.threads > MAX_THREADS)
        return usage();
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    raise_limits();
    wolfSSL_Init();
    if (lc_contexts(&job.contexts, &job.target))
        return 1;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(modes[i].name, argv[first])) {
            run(&modes[i], atof(argv[first + 3]));
            return 0;
        }
    return usage();
}
