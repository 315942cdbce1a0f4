/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A whole gateway with clients of its own, in which one allocation fails: each in turn. Nothing crashes and nothing is leaked. The
 * gateway does not open, or refuses one client; the next client is served, and every slot is free in the end.
 *
 *   test_memory_faults CERTIFICATE KEY FIRST STEP      every STEP-th allocation from FIRST on, until there are no more
 *
 * Linked with --wrap for malloc, calloc and realloc, so wolfSSL's allocations fail, too; those of the clients never do.
 */
#define WORKERS 2
#include "gateway_site.h"

#include <sanitizer/lsan_interface.h>

#define HASTE 1                     /* seconds in which the client that met the fault must be served */

static long until_fault;            /* allocations; at 1 the next one fails, at 0 or less none */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static long chosen;                 /* the allocation that fails in this round */

static void fail(const char *what)
{
    fprintf(stderr, "where allocation %ld failed: %s\n", chosen, what);
    exit(1);
}

static bool fails(void)
{
    return !exempt && __atomic_fetch_sub(&until_fault, 1, __ATOMIC_RELAXED) == 1;
}

void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : __real_calloc(count, size); }
void *__wrap_realloc(void *memory, size_t size) { return fails() ? NULL : __real_realloc(memory, size); }

/* True if there was an allocation of that number. 0: none fails. */
static bool test_fault(long number)
{
    struct site site;
    bool opened, happened;

    chosen = number;
    __atomic_store_n(&until_fault, number, __ATOMIC_RELAXED);
    opened = open_site(&site);
    if (opened)
        be_served(&site, 1, HASTE, NULL);
    happened = __atomic_exchange_n(&until_fault, 0, __ATOMIC_RELAXED) <= 0;
    if (opened ? !be_served(&site, 2, PATIENCE, NULL) : !happened)
        fail("the next client is not served");
    close_site(&site);
    if (__lsan_do_recoverable_leak_check())
        fail("a leak");
    return happened;
}

int main(int count, char **arguments)
{
    long number, step;

    assert(count == 5);
    certificate.chain = read_file(arguments[1], &certificate.chain_size);
    certificate.key = read_file(arguments[2], &certificate.key_size);
    number = atol(arguments[3]);
    step = atol(arguments[4]);
    assert(number > 0 && step > 0);
    test_fault(0);
    while (test_fault(number))
        number += step;
    fprintf(stderr, "%ld allocations\n", number);
    puts("ok");
    return 0;
}
