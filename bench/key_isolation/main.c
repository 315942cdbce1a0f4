/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * P-256 signatures as a TLS handshake needs them: made in the calling thread, or by another process that holds the key and is
 * asked over a socket pair. One digest in flight per caller, as a worker that waits for its signature.
 *
 *   key_isolation here|process|echo SECONDS     echo: the other process answers without signing
 */
#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/ecc.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DIGEST 32
#define SIGNATURE 80
#define BATCH 32                    /* signatures between two looks at the clock */

static WC_RNG rng;
static ecc_key key;

static void require(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "key_isolation: %s\n", what);
    exit(1);
}

static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t sign(const uint8_t *digest, uint8_t *signature)
{
    word32 size = SIGNATURE;

    require(wc_ecc_sign_hash(digest, DIGEST, signature, &size, &rng, &key) == 0, "sign");
    return size;
}

static void serve(int link, bool signs)
{
    uint8_t digest[DIGEST], signature[SIGNATURE] = { 0 };

    while (recv(link, digest, sizeof(digest), 0) == DIGEST) {
        size_t size = signs ? sign(digest, signature) : 72;

        if (send(link, signature, size, 0) != (ssize_t)size)
            break;
    }
}

static void ask(int link, const uint8_t *digest, uint8_t *signature)
{
    require(send(link, digest, DIGEST, 0) == DIGEST, "send");
    require(recv(link, signature, SIGNATURE, 0) > 0, "receive");
}

int main(int count, char **arguments)
{
    uint8_t digest[DIGEST] = { [DIGEST - 1] = 1 }, signature[SIGNATURE];
    uint64_t began, cpu, deadline, done = 0, worst = 0;
    struct rusage helper = { 0 };
    int links[2] = { -1, -1 };
    bool here;
    pid_t child = 0;

    require(count == 3, "usage: key_isolation here|process|echo SECONDS");
    here = !strcmp(arguments[1], "here");
    require(wc_InitRng(&rng) == 0 && wc_ecc_init(&key) == 0 && wc_ecc_set_rng(&key, &rng) == 0 &&
            wc_ecc_make_key_ex(&rng, 32, &key, ECC_SECP256R1) == 0, "make a key");
    if (!here) {
        require(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, links) == 0, "socketpair");
        child = fork();
        require(child >= 0, "fork");
        if (!child) {
            close(links[0]);
            serve(links[1], strcmp(arguments[1], "echo") != 0);
            return 0;
        }
        close(links[1]);
    }
    began = nanoseconds(CLOCK_MONOTONIC);
    cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    deadline = began + (uint64_t)(atof(arguments[2]) * 1e9);
    for (uint64_t last = began; last < deadline;) {
        for (int i = 0; i < BATCH; i++, done++) {
            uint64_t before = nanoseconds(CLOCK_MONOTONIC);

            memcpy(digest, &done, sizeof(done));
            if (here)
                sign(digest, signature);
            else
                ask(links[0], digest, signature);
            last = nanoseconds(CLOCK_MONOTONIC);
            worst = last - before > worst ? last - before : worst;
        }
    }
    began = nanoseconds(CLOCK_MONOTONIC) - began;
    cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    if (child) {
        close(links[0]);
        require(wait4(child, NULL, 0, &helper) == child, "wait");
    }
    cpu += (uint64_t)(helper.ru_utime.tv_sec + helper.ru_stime.tv_sec) * 1000000000u +
           (uint64_t)(helper.ru_utime.tv_usec + helper.ru_stime.tv_usec) * 1000u;
    printf("{\"signatures\": %llu, \"wall_ns\": %llu, \"cpu_ns\": %llu, \"worst_ns\": %llu}\n", (unsigned long long)done,
           (unsigned long long)began, (unsigned long long)cpu, (unsigned long long)worst);
    return 0;
}
