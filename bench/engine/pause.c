/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How long swaps delay a reader: one thread asks, another installs policies, and every answer is timed. Wall time includes
 * other processes, so the same is measured without swaps, and in the thread's own processor time. No voluntary context switch
 * of the reader shows that it never waited. With two processors the reader runs on the first and the swaps on the second.
 *
 *     pause PREFIXES SECONDS     prints one line of JSON
 */
#define _GNU_SOURCE /* RUSAGE_THREAD */
#include "core.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define LATE 10000u /* ns: the aim is that no reader is delayed by more */

struct figures {
    uint64_t answers, late_wall, late_cpu, longest_wall, longest_cpu, voluntary_switches, involuntary_switches;
};

static struct se_core *core;
static _Atomic int done;
static uint64_t swaps;

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static struct se_policy *make_policy(uint32_t prefixes)
{
    uint8_t *networks = calloc(prefixes, 16), *lengths = malloc(prefixes);
    uint32_t *values = calloc(prefixes, sizeof *values), sets[1] = {0};
    const uint8_t action = SE_REJECT, reason = SE_REASON_RULE;
    const uint32_t rule = 0;
    const uint64_t expires = SE_FOREVER;
    struct se_plan_columns plan = {
        .tables[1] = {networks, lengths, values, prefixes}, .entries = {&action, &reason, &rule, &expires, 1},
        .sets = sets, .event_count = SE_EVENT_CUSTOM, .rule_count = 1,
        .on_missing = SE_NO_ACTION, .ipv4_prefix = 32, .ipv6_prefix = 64,
    };
    struct se_policy *policy = NULL;
    struct se_fault fault;
    uint64_t state = 88172645463325252u;

    for (uint32_t i = 0; i < prefixes; i++) {
        uint32_t network = (uint32_t)draw(&state) & 0xffffff00;
        networks[16 * i + 10] = networks[16 * i + 11] = 0xff;
        for (unsigned j = 0; j < 4; j++)
            networks[16 * i + 12 + j] = (uint8_t)(network >> (24 - 8 * j));
        lengths[i] = 120;
    }
    if (se_policy_build(&plan, &policy, &fault))
        exit(1);
    free(networks), free(lengths), free(values);
    return policy;
}

/* Pins the calling thread to a processor. Fails without effect if there is no such processor. */
static void pin(int processor)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

static void *ask(void *out)
{
    const struct se_gate *gate = se_core_gate(core);
    struct se_request request = {.address[10] = 0xff, .address[11] = 0xff, .verified = 1};
    struct se_verdict verdict;
    struct figures *figures = out;
    struct rusage before, after;
    uint64_t state = 7;

    pin(0);
    getrusage(RUSAGE_THREAD, &before);
    while (!atomic_load_explicit(&done, memory_order_relaxed)) {
        uint32_t address = (uint32_t)draw(&state);
        uint64_t cpu = read_clock(CLOCK_THREAD_CPUTIME_ID), wall = read_clock(CLOCK_MONOTONIC);
        memcpy(request.address + 12, &address, 4);
        gate->decide(gate->engine, &request, &verdict);
        wall = read_clock(CLOCK_MONOTONIC) - wall;
        cpu = read_clock(CLOCK_THREAD_CPUTIME_ID) - cpu;
        figures->answers++;
        figures->late_wall += wall > LATE;
        figures->late_cpu += cpu > LATE;
        figures->longest_wall = wall > figures->longest_wall ? wall : figures->longest_wall;
        figures->longest_cpu = cpu > figures->longest_cpu ? cpu : figures->longest_cpu;
    }
    getrusage(RUSAGE_THREAD, &after);
    figures->voluntary_switches = (uint64_t)(after.ru_nvcsw - before.ru_nvcsw);
    figures->involuntary_switches = (uint64_t)(after.ru_nivcsw - before.ru_nivcsw);
    return NULL;
}

static void run(double seconds, const struct se_policy *policies[2], int swapping, struct figures *figures)
{
    uint64_t end = read_clock(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9);
    struct timespec nap = {.tv_nsec = 1000000};
    pthread_t reader;

    atomic_store(&done, 0);
    pthread_create(&reader, NULL, ask, figures);
    while (read_clock(CLOCK_MONOTONIC) < end) {
        struct se_in_force *before;
        if (swapping && !se_core_install(core, policies[++swaps % 2], &before)) {
            while (!se_in_force_is_unread(before))
                sched_yield();
            se_in_force_free(before);
        }
        nanosleep(&nap, NULL);
    }
    atomic_store(&done, 1);
    pthread_join(reader, NULL);
}

static void print(const char *name, const struct figures *f)
{
    printf("\"%s\": {\"answers\": %lu, \"over_10us_wall\": %lu, \"over_10us_cpu\": %lu, \"longest_wall_ns\": %lu, "
           "\"longest_cpu_ns\": %lu, \"voluntary_switches\": %lu, \"involuntary_switches\": %lu}",
           name, f->answers, f->late_wall, f->late_cpu, f->longest_wall, f->longest_cpu, f->voluntary_switches, f->involuntary_switches);
}

int main(int argc, char **argv)
{
    uint32_t prefixes = argc > 1 ? (uint32_t)atoi(argv[1]) : 1000000;
    double seconds = argc > 2 ? atof(argv[2]) : 2;
    const struct se_policy *policies[2] = {make_policy(prefixes), make_policy(prefixes)};
    struct figures still = {0}, swapping = {0};
    struct se_in_force *none;

    if (se_core_open(&core) || se_core_install(core, policies[0], &none))
        return 1;
    pin(1);
    run(seconds, policies, 0, &still);
    run(seconds, policies, 1, &swapping);
    printf("{\"prefixes\": %u, \"swaps\": %lu, ", prefixes, swaps);
    print("without", &still);
    printf(", ");
    print("with", &swapping);
    printf("}\n");
    return 0;
}
