/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A whole gateway, with its keys in a signer, in which one system call fails: each place of the code that makes one in turn, with
 * the errors that the kernel may give there. A place that is reached after a fault only fails after it. Nothing crashes, no memory and no descriptor is leaked. The gateway does not open, or
 * the client that met the fault may be refused; a tunnel opened before it goes on, and the next client is served. A call that was
 * interrupted (EINTR) costs nothing.
 *
 *   test_call_faults CERTIFICATE KEY short|long        long: every error, the first three calls of each place
 *
 * Linked with --wrap for each of CALLS. Left out are calls that cannot fail where they are made: close, EPOLL_CTL_DEL of what is
 * watched, reads and writes of an eventfd, clock_gettime. tun/test_tun_faults.c has the faults of a TUN queue that last.
 */
#define WORKERS 2
#include "site_packets.h"

#include <dirent.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#include <semaphore.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <wolfssl/wolfcrypt/asn_public.h>

#define HASTE 1                     /* seconds in which the client that met the fault must be served */
#define OCCURRENCES 3               /* calls of one place that fail in turn */
#define SITES 128                   /* places that make calls, at most */
#define STAYING 9                   /* the name of the client that stays */
#define SIGNER_KEY 7

#define CALLS(each)                                                                                                               \
    each(ACCEPT4, "accept4", EMFILE, ENOMEM, ECONNABORTED, EPERM, EINTR)                                                          \
    each(EPOLL_CREATE1, "epoll_create1", EMFILE, ENOMEM)                                                                          \
    each(EPOLL_CTL, "epoll_ctl", ENOMEM, ENOSPC)                                                                                  \
    each(EPOLL_WAIT, "epoll_wait", EINTR)                                                                                         \
    each(EVENTFD, "eventfd", ENFILE, ENOMEM)                                                                                      \
    each(FCNTL, "fcntl", EPERM)                                                                                                   \
    each(GETRANDOM, "getrandom", ENOSYS, EAGAIN)                                                                                  \
    each(GETSOCKNAME, "getsockname", ENOBUFS)                                                                                     \
    each(IOCTL, "ioctl", EINVAL, EPERM)                                                                                           \
    each(NANOSLEEP, "nanosleep", EINTR)                                                                                           \
    each(PRCTL, "prctl", EINVAL)                                                                                                  \
    each(PTHREAD_CREATE, "pthread_create", EAGAIN)                                                                                \
    each(READ, "read", EIO, EINTR)                                                                                                \
    each(RECV, "recv", ECONNRESET, ETIMEDOUT, ENOMEM, EINTR)                                                                      \
    each(RECVMMSG, "recvmmsg", ENOMEM, ENOBUFS, EINTR)                                                                            \
    each(SEND, "send", ENOBUFS, EPIPE, EAGAIN, EINTR)                                                                             \
    each(SENDMMSG, "sendmmsg", ENOBUFS, EPERM, ENETUNREACH, EINTR)                                                                \
    each(SENDMSG, "sendmsg", EPIPE, ENOBUFS, EHOSTUNREACH, EAGAIN, EINTR)                                                         \
    each(SETSOCKOPT, "setsockopt", ENOPROTOOPT, ENOMEM)                                                                           \
    each(SHUTDOWN, "shutdown", ENOTCONN)                                                                                          \
    each(TIMERFD_CREATE, "timerfd_create", EMFILE, ENOMEM)                                                                        \
    each(TIMERFD_SETTIME, "timerfd_settime", EINVAL)                                                                              \
    each(WRITEV, "writev", EIO, ENOBUFS, EINTR)

#define NUMBER(name, ...) CALL_##name,
#define ENTRY(name, text, ...) { text, { __VA_ARGS__ } },
enum call { CALLS(NUMBER) };
static const struct { const char *name; int errors[6]; } calls[] = { CALLS(ENTRY) };

/* The `left`-th call from now on that returns to `at` fails with `error`. */
struct fault {
    void *at;                       /* NULL: none */
    int error, left;                /* left: atomic */
};

/* A place of the code that makes a call: the address to which it returns. */
struct place {
    void *at;
    enum call call;
    unsigned long round;            /* in which it was seen first */
    int count;                      /* of its calls in that round */
    struct fault after;             /* the fault of that round */
};

enum phase { OPENING, SERVING, PHASES, BETWEEN };
static const char *const phase_names[] = { "opening", "serving", "", "between faults" };

static struct place places[PHASES][SITES];
static int place_count[PHASES];
static pthread_mutex_t recording = PTHREAD_MUTEX_INITIALIZER;
static enum phase phase;
static struct fault armed[2];       /* the second follows the first */
static bool is_armed;               /* atomic */
static enum call chosen;
static unsigned long rounds, faults; /* faults: atomic */

static const char *describe(void *place)
{
    static char text[256];

    __sanitizer_symbolize_pc((char *)place - 1, "%f in %s:%l", text, sizeof(text));
    return text;
}

static void fail(const char *what)
{
    for (int i = 0; i < 2; i++)
        if (armed[i].at)
            fprintf(stderr, "%s: %s; ", describe(armed[i].at), strerror(armed[i].error));
    fprintf(stderr, "%s, %s: %s\n", calls[chosen].name, phase_names[phase], what);
    exit(1);
}

static void record(enum call call, void *at)
{
    struct place *place = places[phase], *end = place + place_count[phase];

    pthread_mutex_lock(&recording);
    while (place < end && place->at != at)
        place++;
    if (place == end) {
        assert(place_count[phase] < SITES);
        place_count[phase]++;
        *place = (struct place){ .at = at, .call = call, .round = rounds, .after = armed[0] };
    }
    place->count += place->round == rounds;
    pthread_mutex_unlock(&recording);
}

/* Returns the error with which this call has to fail, and sets errno to it; 0: it has not. */
static int fault_of(enum call call, void *at)
{
    if (exempt)
        return 0;
    if (phase < PHASES)
        record(call, at);
    if (!__atomic_load_n(&is_armed, __ATOMIC_ACQUIRE))
        return 0;
    for (int i = 0; i < 2; i++) {
        if (armed[i].at != at || (i && __atomic_load_n(&armed[0].left, __ATOMIC_ACQUIRE) > 0))
            continue;
        if (__atomic_sub_fetch(&armed[i].left, 1, __ATOMIC_ACQ_REL))
            continue;
        __atomic_add_fetch(&faults, !armed[1].at || i, __ATOMIC_RELAXED);
        errno = armed[i].error;
        return errno;
    }
    return 0;
}

#define FAULT(name) fault_of(CALL_##name, __builtin_return_address(0))
#define WRAP(type, name, number, parameters, arguments)                                                                           \
    type __real_##name parameters;                                                                                                \
    type __wrap_##name parameters;                                                                                                \
    type __wrap_##name parameters { return FAULT(number) ? -1 : __real_##name arguments; }

WRAP(int, accept4, ACCEPT4, (int fd, struct sockaddr *from, socklen_t *size, int flags), (fd, from, size, flags))
WRAP(int, epoll_create1, EPOLL_CREATE1, (int flags), (flags))
WRAP(int, epoll_wait, EPOLL_WAIT, (int fd, struct epoll_event *events, int count, int timeout), (fd, events, count, timeout))
WRAP(int, eventfd, EVENTFD, (unsigned int value, int flags), (value, flags))
WRAP(ssize_t, getrandom, GETRANDOM, (void *data, size_t size, unsigned int flags), (data, size, flags))
WRAP(int, getsockname, GETSOCKNAME, (int fd, struct sockaddr *name, socklen_t *size), (fd, name, size))
WRAP(int, nanosleep, NANOSLEEP, (const struct timespec *time, struct timespec *left), (time, left))
WRAP(ssize_t, read, READ, (int fd, void *data, size_t size), (fd, data, size))
WRAP(ssize_t, recv, RECV, (int fd, void *data, size_t size, int flags), (fd, data, size, flags))
WRAP(int, recvmmsg, RECVMMSG, (int fd, struct mmsghdr *all, unsigned int count, int flags, struct timespec *time),
     (fd, all, count, flags, time))
WRAP(ssize_t, send, SEND, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags))
WRAP(int, sendmmsg, SENDMMSG, (int fd, struct mmsghdr *all, unsigned int count, int flags), (fd, all, count, flags))
WRAP(ssize_t, sendmsg, SENDMSG, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
WRAP(int, setsockopt, SETSOCKOPT, (int fd, int level, int name, const void *value, socklen_t size), (fd, level, name, value, size))
WRAP(int, shutdown, SHUTDOWN, (int fd, int how), (fd, how))
WRAP(int, timerfd_create, TIMERFD_CREATE, (int clock, int flags), (clock, flags))
WRAP(int, timerfd_settime, TIMERFD_SETTIME,
     (int fd, int flags, const struct itimerspec *time, struct itimerspec *before), (fd, flags, time, before))
WRAP(ssize_t, writev, WRITEV, (int fd, const struct iovec *parts, int count), (fd, parts, count))

int __real_epoll_ctl(int fd, int what, int watched, struct epoll_event *event);
int __wrap_epoll_ctl(int fd, int what, int watched, struct epoll_event *event);
int __wrap_epoll_ctl(int fd, int what, int watched, struct epoll_event *event)
{
    return what != EPOLL_CTL_DEL && FAULT(EPOLL_CTL) ? -1 : __real_epoll_ctl(fd, what, watched, event);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *argument)
{
    int error = FAULT(PTHREAD_CREATE);

    return error ? error : __real_pthread_create(thread, how, run, argument);
}

int __real_fcntl(int fd, int what, ...);
int __wrap_fcntl(int fd, int what, ...);
int __wrap_fcntl(int fd, int what, ...)
{
    va_list arguments;
    long argument;

    va_start(arguments, what);
    argument = va_arg(arguments, long);
    va_end(arguments);
    return FAULT(FCNTL) ? -1 : __real_fcntl(fd, what, argument);
}

int __real_prctl(int what, ...);
int __wrap_prctl(int what, ...);
int __wrap_prctl(int what, ...)
{
    unsigned long values[4];
    va_list arguments;

    va_start(arguments, what);
    for (int i = 0; i < 4; i++)
        values[i] = va_arg(arguments, unsigned long);
    va_end(arguments);
    return FAULT(PRCTL) ? -1 : __real_prctl(what, values[0], values[1], values[2], values[3]);
}

/* A queue with virtio headers, on a socket that knows no such request. */
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    void *argument;

    (void)fd;
    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (FAULT(IOCTL))
        return -1;
    if (request == TUNGETIFF)
        ((struct ifreq *)argument)->ifr_flags = IFF_VNET_HDR;
    return 0;
}

/* The other ends of the gateway's links to its signers, each with a thread. */
static struct { gw_signer *signer; int fd; pthread_t thread; } signers[WORKERS];

static void *run_signer(void *argument)
{
    size_t worker = (size_t)argument;

    gw_signer_serve(signers[worker].signer, signers[worker].fd);
    shutdown(signers[worker].fd, SHUT_RDWR);    /* as a process that ends does */
    return NULL;
}

static int give_signer(struct site *site, uint32_t worker)
{
    int pair[2], status;

    assert(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
    status = gw_set_signer(site->gateway, worker, pair[0]);
    if (status) {
        close(pair[0]);
        close(pair[1]);
        return status;
    }
    signers[worker].fd = pair[1];
    assert(!__real_pthread_create(&signers[worker].thread, NULL, run_signer, (void *)(size_t)worker));
    return 0;
}

static void close_all(struct site *site)
{
    close_site(site);
    for (int i = 0; i < WORKERS; i++) {
        if (signers[i].fd < 0)
            continue;
        pthread_join(signers[i].thread, NULL);
        close(signers[i].fd);
        signers[i].fd = -1;
    }
}

static void make_signers(const uint8_t *pem, size_t size)
{
    uint8_t der[1024];
    char error[256];
    int length = wc_KeyPemToDer(pem, (int)size, der, sizeof(der), NULL);

    assert(length > 0);
    for (int i = 0; i < WORKERS; i++) {
        signers[i].fd = -1;
        signers[i].signer = gw_signer_new();
        assert(signers[i].signer);
        assert(!gw_signer_add(signers[i].signer, SIGNER_KEY, GW_KEY_P256, der, (size_t)length, error, sizeof(error)));
    }
}

static int count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    assert(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static sem_t may_go;                /* the client that stays */
static bool stays;                  /* atomic: it has its tunnel */

static bool stay(const struct client *client, WOLFSSL *ssl)
{
    (void)client, (void)ssl;
    __atomic_store_n(&stays, true, __ATOMIC_RELEASE);
    while (sem_wait(&may_go))
        continue;
    return true;
}

static bool is_coming(const struct site *site, const struct client *client)
{
    (void)site;
    return !__atomic_load_n(&stays, __ATOMIC_ACQUIRE) && !is_over(client);
}

/* Packets both ways and DTLS. What comes down after it is for a DTLS client that has left. */
static bool use_all(const struct client *client, WOLFSSL *ssl)
{
    return send_up(ssl, 1) && use_dtls(client) && send_down(client->site, 2);
}

static void arm(enum phase now, bool wanted)
{
    phase = now;
    __atomic_store_n(&is_armed, wanted, __ATOMIC_RELEASE);
}

/* A link that breaks takes its signer with it: the server is to be started again, and only open tunnels go on. */
static bool loses_signer(const struct fault *fault)
{
    bool breaks = fault->error == ECONNRESET || fault->error == ETIMEDOUT || fault->error == EPIPE || fault->error == EAGAIN;

    return fault->at && breaks && strstr(describe(fault->at), "gw_signer_");
}

/* After two faults more clients: one that is served by another worker shows little. */
static void serve_next(struct site *site)
{
    for (uint8_t name = 2; name < (armed[1].at ? 2 + 2 * WORKERS : 3); name++)
        if (!be_served(site, name, PATIENCE, NULL))
            fail("the next client is not served");
}

static void serve_all(struct site *site, bool lost)
{
    struct client staying = { .site = site, .name = { STAYING }, .secret = { STAYING }, .patience = PATIENCE, .use = stay };
    pthread_t thread;
    bool served, must = armed[0].error == EINTR && !armed[1].at;

    __atomic_store_n(&stays, false, __ATOMIC_RELEASE);
    thread = start_client(&staying);
    serve(site, &staying, is_coming);
    if (is_over(&staying))
        fail("the client that stays is not served");
    site->staying = 1;
    arm(SERVING, true);
    served = be_served(site, INNER, must ? PATIENCE : HASTE, use_all);
    arm(BETWEEN, false);
    if (!served && must)
        fail("the interrupted call cost a client its tunnel");
    if (!lost)
        serve_next(site);
    sem_post(&may_go);
    site->staying = 0;
    serve(site, &staying, is_there);
    serve(site, &staying, has_links);
    pthread_join(thread, NULL);
    if (!staying.served)
        fail("the tunnel from before the fault is lost");
}

static void test_round(enum phase when)
{
    bool opened, lost = loses_signer(&armed[0]) || loses_signer(&armed[1]);
    int descriptors = count_descriptors();
    struct site site;

    arm(OPENING, when == OPENING);
    opened = open_site(&site);
    arm(BETWEEN, false);
    if (!opened && (when != OPENING || armed[0].error == EINTR))
        fail("the gateway does not open");
    if (opened && when != OPENING)
        serve_all(&site, lost);
    else if (opened && !lost)
        serve_next(&site);
    close_all(&site);
    if (count_descriptors() != descriptors)
        fail("a descriptor is left");
    if (__lsan_do_recoverable_leak_check())
        fail("a leak");
    rounds++;
}

static void test_place(enum phase when, int index, bool all)
{
    const struct place *place = &places[when][index];
    const int *errors = calls[place->call].errors;
    int kinds = 0, most = !all ? 1 : place->count < OCCURRENCES ? place->count : OCCURRENCES;

    chosen = place->call;
    while (kinds < 6 && errors[kinds])
        kinds++;
    for (int number = 1; number <= most; number++)
        for (int i = 0; i < kinds; i++) {
            const struct fault last = { place->at, errors[i], number };
            struct fault first = place->after;

            if (!all && i != index % kinds)
                continue;
            first.left = 1;
            armed[0] = first.at ? first : last;
            armed[1] = first.at ? last : (struct fault){ 0 };
            test_round(when);
        }
}

int main(int count, char **arguments)
{
    size_t size;
    const uint8_t *key;
    int alone;
    bool all;

    assert(count == 4);
    all = !strcmp(arguments[3], "long");
    with_headers = true;
    exempt = true;
    certificate.chain = read_file(arguments[1], &certificate.chain_size);
    key = read_file(arguments[2], &size);
    certificate.signer_key = SIGNER_KEY;
    make_signers(key, size);
    sem_init(&may_go, 0, 0);
    hand_over_more = give_signer;
    exempt = false;
    test_round(PHASES);
    alone = place_count[OPENING] + place_count[SERVING];
    for (int when = 0; when < PHASES; when++)
        for (int i = 0; i < place_count[when]; i++)
            test_place((enum phase)when, i, all);
    fprintf(stderr, "%d places, %d more after faults; %lu rounds, %lu faults\n", alone,
            place_count[OPENING] + place_count[SERVING] - alone, rounds, faults);
    assert(alone >= 30 && faults > rounds / 2);
    for (int i = 0; i < WORKERS; i++)
        gw_signer_free(signers[i].signer);
    puts("ok");
    return 0;
}
