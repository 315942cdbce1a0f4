/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A whole gateway whose TUN queue fails: each error in turn, in reads and in writes, with and without virtio headers. An error
 * that passes costs the packet that met it. EBADFD, of a device that is gone, is reported once. The tunnel outlives them all.
 *
 *   test_tun_faults CERTIFICATE KEY
 *
 * Linked with --wrap for read, write, writev and ioctl.
 */
#define WORKERS 1
#include "site_packets.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

ssize_t __real_read(int fd, void *data, size_t size);
ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __real_writev(int fd, const struct iovec *parts, int count);
int __real_ioctl(int fd, unsigned long request, ...);
ssize_t __wrap_read(int fd, void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
ssize_t __wrap_writev(int fd, const struct iovec *parts, int count);
int __wrap_ioctl(int fd, unsigned long request, ...);

static const int passing[] = { EIO, ENOBUFS, ENOMEM, EINVAL };
static int tun = -1;                /* the gateway's end; atomic, as the next three */
static int read_error, write_error; /* 0: none */
static unsigned long failures, fewest;  /* so far; those after which a fault ends by itself, 0: it does not */
static int reports, reported;       /* GW_TUN_FAILING: how often, and the last error; atomic */
static int chosen;
static int beside[2];               /* a second queue */

static void fail(const char *what)
{
    fprintf(stderr, "%s, %s virtio headers: %s\n", strerror(chosen), with_headers ? "with" : "without", what);
    exit(1);
}

static bool fails(int fd, int *error)
{
    int number = __atomic_load_n(error, __ATOMIC_SEQ_CST);

    if (!number || fd != __atomic_load_n(&tun, __ATOMIC_SEQ_CST))
        return false;
    if (__atomic_add_fetch(&failures, 1, __ATOMIC_SEQ_CST) == __atomic_load_n(&fewest, __ATOMIC_SEQ_CST))
        __atomic_store_n(error, 0, __ATOMIC_SEQ_CST);
    errno = number;
    return true;
}

ssize_t __wrap_read(int fd, void *data, size_t size) { return fails(fd, &read_error) ? -1 : __real_read(fd, data, size); }
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    return fails(fd, &write_error) ? -1 : __real_write(fd, data, size);
}
ssize_t __wrap_writev(int fd, const struct iovec *parts, int count)
{
    return fails(fd, &write_error) ? -1 : __real_writev(fd, parts, count);
}

/* A queue with virtio headers, on a socket that knows no such request. */
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (request != TUNGETIFF && request != TUNSETVNETHDRSZ && request != TUNSETOFFLOAD)
        return __real_ioctl(fd, request, argument);
    if (request == TUNGETIFF && with_headers)
        ((struct ifreq *)argument)->ifr_flags = IFF_VNET_HDR;
    return 0;
}

static bool arrives_above(const struct site *site, uint8_t mark)
{
    uint8_t got[64 + SIZE], wanted[SIZE];
    size_t header = with_headers ? GW_VNET_HEADER : 0;
    struct pollfd ready = { .fd = site->tun[0], .events = POLLIN };

    make_packet(wanted, true, mark);
    return poll(&ready, 1, PATIENCE * 1000) == 1 && recv(site->tun[0], got, sizeof(got), 0) == (ssize_t)(header + SIZE) &&
           !memcmp(got + header, wanted, SIZE);
}

static bool arrives_below(WOLFSSL *ssl, uint8_t mark)
{
    uint8_t got[8 + SIZE], wanted[SIZE];
    int have = 0;

    make_packet(wanted, false, mark);
    while (have < (int)sizeof(got)) {
        int more = wolfSSL_read(ssl, got + have, (int)sizeof(got) - have);

        if (more <= 0)
            return false;
        have += more;
    }
    return !memcmp(got + 8, wanted, SIZE);
}

/* Waits until a call has failed `times` times, then lets them succeed. */
static bool end_fault(int *error, unsigned long times)
{
    const uint64_t deadline = gw_clock_now() + PATIENCE * GW_SECOND;

    while (__atomic_load_n(&failures, __ATOMIC_SEQ_CST) < times) {
        if (gw_clock_now() > deadline)
            return false;
        usleep(1000);
    }
    __atomic_store_n(error, 0, __ATOMIC_SEQ_CST);
    return true;
}

static void begin_fault(int *error)
{
    __atomic_store_n(&failures, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(error, chosen, __ATOMIC_SEQ_CST);
}

static uint64_t count_of(const struct site *site, const char *name)
{
    uint64_t values[128];
    uint32_t index = 0;

    while (strcmp(gw_stat_name(index), name))
        index++;
    gw_stats(site->gateway, values, index + 1);
    return values[index];
}

static void note_event(const struct gw_event *event)
{
    if (event->kind != GW_TUN_FAILING)
        return;
    __atomic_store_n(&reported, (int)event->error, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&reports, 1, __ATOMIC_SEQ_CST);
}

static bool await_reports(int number, int error)
{
    const uint64_t deadline = gw_clock_now() + PATIENCE * GW_SECOND;

    while (__atomic_load_n(&reports, __ATOMIC_SEQ_CST) < number && gw_clock_now() < deadline)
        usleep(1000);
    return __atomic_load_n(&reports, __ATOMIC_SEQ_CST) == number && __atomic_load_n(&reported, __ATOMIC_SEQ_CST) == error;
}

static bool await_failures(unsigned long times)
{
    const uint64_t deadline = gw_clock_now() + PATIENCE * GW_SECOND;

    while (__atomic_load_n(&failures, __ATOMIC_SEQ_CST) < times && gw_clock_now() < deadline)
        usleep(1000);
    return __atomic_load_n(&failures, __ATOMIC_SEQ_CST) >= times;
}

/* Reads that fail again and again are told once, tried once per tick, and hold up nothing else. */
static void test_lasting_read_error(const struct site *site, WOLFSSL *ssl)
{
    uint64_t since;

    begin_fault(&read_error);
    if (!send_down(site, 6) || !await_failures(GW_TUN_FAILURES) || !await_reports(1, chosen))
        fail("reads that go on failing are not told");
    since = gw_clock_now();
    if (!await_failures(GW_TUN_FAILURES + 4) || gw_clock_now() - since < 2 * GW_TICK)
        fail("reads that go on failing are tried without a pause");
    if (!send_up(ssl, 7) || !arrives_above(site, 7))
        fail("packets of clients wait for reads that fail");
    __atomic_store_n(&read_error, 0, __ATOMIC_SEQ_CST);
    if (!arrives_below(ssl, 6) || !await_reports(2, 0))
        fail("reads do not work again");
    __atomic_store_n(&reports, 0, __ATOMIC_SEQ_CST);
}

static bool send_down_beside(uint8_t mark)
{
    uint8_t packet[SIZE];

    make_packet(packet, false, mark);
    return send(beside[0], packet, SIZE, 0) == SIZE;
}

/* Reads of one queue that fail hold up no reads of the other. */
static bool use_two_queues(const struct client *client, WOLFSSL *ssl)
{
    begin_fault(&read_error);
    if (!send_down(client->site, 6) || !await_reports(1, chosen))
        fail("reads of one queue that go on failing are not told");
    for (uint8_t mark = 7; mark < 10; mark++)
        if (!send_down_beside(mark) || !arrives_below(ssl, mark) || !await_failures(GW_TUN_FAILURES + mark))
            fail("packets of a queue wait for reads of the other that fail");
    if (__atomic_load_n(&reports, __ATOMIC_SEQ_CST) != 1)
        fail("reads of one queue end the failure of the other");
    __atomic_store_n(&read_error, 0, __ATOMIC_SEQ_CST);
    if (!arrives_below(ssl, 6) || !await_reports(2, 0))
        fail("reads of one queue do not work again");
    __atomic_store_n(&reports, 0, __ATOMIC_SEQ_CST);
    return count_of(client->site, "tun_lost") == 0;
}

static int add_queue(struct site *site, uint32_t worker)
{
    assert(!socketpair(AF_UNIX, SOCK_DGRAM, 0, beside));
    return gw_add_tun(site->gateway, worker, beside[1]);
}

static bool use_tun(const struct client *client, WOLFSSL *ssl)
{
    const struct site *site = client->site;
    bool is_lost = chosen == EBADFD;

    if (!send_up(ssl, 1) || !arrives_above(site, 1) || !send_down(site, 2) || !arrives_below(ssl, 2))
        fail("packets do not pass before the fault");
    begin_fault(&write_error);
    if (!send_up(ssl, 3) || !end_fault(&write_error, 1) || !send_up(ssl, 4) || !arrives_above(site, 4))
        fail("a write that failed stops the next ones");
    if (count_of(site, "rx_tun_full") != 1)
        fail("the lost packet is not counted");
    if (is_lost)
        return count_of(site, "tun_lost") == 1; /* and no read follows */
    __atomic_store_n(&fewest, GW_TUN_FAILURES - 1, __ATOMIC_SEQ_CST);
    begin_fault(&read_error);
    if (!send_down(site, 5) || !arrives_below(ssl, 5) || __atomic_load_n(&failures, __ATOMIC_SEQ_CST) < GW_TUN_FAILURES - 1)
        fail("a read that failed stops the next ones");
    __atomic_store_n(&fewest, 0, __ATOMIC_SEQ_CST);
    test_lasting_read_error(site, ssl);
    return count_of(site, "tun_lost") == 0;
}

static void test_error(int error, bool headers, bool (*use)(const struct client *, WOLFSSL *))
{
    struct site site;

    chosen = error;
    with_headers = headers;
    if (!open_site(&site))
        fail("the gateway does not open");
    __atomic_store_n(&tun, site.queue[0], __ATOMIC_SEQ_CST);
    if (!be_served(&site, INNER, PATIENCE, use))
        fail("the tunnel ended");
    __atomic_store_n(&tun, -1, __ATOMIC_SEQ_CST);
    close_site(&site);
}

int main(int count, char **arguments)
{
    assert(count == 3);
    see_event = note_event;
    certificate.chain = read_file(arguments[1], &certificate.chain_size);
    certificate.key = read_file(arguments[2], &certificate.key_size);
    for (int headers = 0; headers < 2; headers++) {
        for (size_t i = 0; i < sizeof(passing) / sizeof(*passing); i++)
            test_error(passing[i], headers, use_tun);
        test_error(EBADFD, headers, use_tun);
    }
    hand_over_more = add_queue;
    test_error(EIO, false, use_two_queues);
    close(beside[0]);
    puts("ok");
    return 0;
}
