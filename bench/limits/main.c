/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What no VPN server on this machine can be cheaper than: its parts, each alone, in one thread.
 *
 *   limits aes|aes-packet|sign|agree|up|down SECONDS
 *
 * aes, aes-packet: AES-256-GCM of records of 16 KB, and of 1400 bytes, as the gateway's. sign, agree: one P-256 signature; one key pair and shared secret. up: TCP's bytes become
 * UDP packets on a TUN device. down: the reverse. These two run in a network namespace of their own; what feeds and drains
 * them is another thread, whose time is not counted.
 */
#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/ecc.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RECORD 16384
#define PACKET 1400
#define READ (128 << 10)            /* of the TCP socket, as the gateway reads */
#define SEGMENT 1372                /* bytes of one inner datagram */
#define SEGMENTS 44                 /* in one write to the TUN device, or read of it */
#define HEADERS 28                  /* IPv4 and UDP */
#define PORT 4711

#ifndef UDP_GRO
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20             /* Linux 6.2 */
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

struct work {
    int tun, ours, theirs, udp;     /* ends of a TCP connection */
    uint64_t drained;               /* bytes; atomic */
};

static struct work path;
static int segments = SEGMENTS;     /* 1 before Linux 6.2, which takes no large UDP packet from a device */

static void require(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "limits: ");
    perror(what);
    exit(1);
}

static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t seal_bytes(word32 size)
{
    static Aes aes;
    static uint8_t record[RECORD], tag[16], nonce[12];
    static const uint8_t key[32] = { 1 }, head[5] = { 23, 3, 3 };
    static bool ready;

    if (!ready)
        require(wc_AesInit(&aes, NULL, INVALID_DEVID) == 0 && wc_AesGcmSetKey(&aes, key, sizeof(key)) == 0, "set a key");
    ready = true;
    nonce[11]++;
    require(wc_AesGcmEncrypt(&aes, record, record, size, nonce, sizeof(nonce), tag, sizeof(tag), head, sizeof(head)) == 0, "seal");
    return size;
}

static uint64_t seal(void)
{
    return seal_bytes(RECORD);
}

static uint64_t seal_packet(void)
{
    return seal_bytes(PACKET);
}

static WC_RNG rng;
static ecc_key own, peer;

static void make_key(ecc_key *key)
{
    require(wc_ecc_init(key) == 0 && wc_ecc_set_rng(key, &rng) == 0 && wc_ecc_make_key_ex(&rng, 32, key, ECC_SECP256R1) == 0, "make a key");
}

static uint64_t sign(void)
{
    uint8_t digest[32] = { 1 }, signature[80];
    word32 size = sizeof(signature);

    require(wc_ecc_sign_hash(digest, sizeof(digest), signature, &size, &rng, &own) == 0, "sign");
    return 0;
}

static uint64_t agree(void)
{
    ecc_key key;
    uint8_t secret[32];
    word32 size = sizeof(secret);

    make_key(&key);
    require(wc_ecc_shared_secret(&key, &peer, secret, &size) == 0, "agree");
    wc_ecc_free(&key);
    return 0;
}

static void configure(const char *name, const char *address)
{
    struct ifreq request = { 0 };
    struct sockaddr_in *field = (struct sockaddr_in *)&request.ifr_addr;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (address) {
        *field = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = inet_addr(address) };
        require(ioctl(fd, SIOCSIFADDR, &request) == 0, "set an address");
        field->sin_addr.s_addr = inet_addr("255.255.255.0");
        require(ioctl(fd, SIOCSIFNETMASK, &request) == 0, "set a mask");
    }
    require(ioctl(fd, SIOCGIFFLAGS, &request) == 0, "read flags");
    request.ifr_flags |= IFF_UP;
    require(ioctl(fd, SIOCSIFFLAGS, &request) == 0, "set a device up");
    close(fd);
}

static void open_path(struct work *work)
{
    struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(name);
    int listener, one = 1, room = 4 << 20;

    require(unshare(CLONE_NEWNET) == 0, "make a network namespace (as root)");
    configure("lo", NULL);
    work->tun = open("/dev/net/tun", O_RDWR);
    require(work->tun >= 0 && ioctl(work->tun, TUNSETIFF, &request) == 0, "open a TUN device");
    if (ioctl(work->tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6))
        segments = 1;
    configure(request.ifr_name, "10.9.0.1");
    listener = socket(AF_INET, SOCK_STREAM, 0);
    require(bind(listener, (struct sockaddr *)&name, sizeof(name)) == 0 && listen(listener, 1) == 0, "listen");
    require(getsockname(listener, (struct sockaddr *)&name, &size) == 0, "listen");
    work->theirs = socket(AF_INET, SOCK_STREAM, 0);
    require(connect(work->theirs, (struct sockaddr *)&name, sizeof(name)) == 0, "connect");
    work->ours = accept(listener, NULL, NULL);
    name = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = inet_addr("10.9.0.1") };
    work->udp = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(work->udp, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    require(bind(work->udp, (struct sockaddr *)&name, sizeof(name)) == 0, "bind");
    require(setsockopt(work->udp, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)) == 0, "UDP_GRO");
}

static void count_drained(struct work *work, ssize_t size)
{
    if (size > 0)
        __atomic_fetch_add(&work->drained, (uint64_t)size, __ATOMIC_RELAXED);
}

static void *feed_tcp(void *argument)
{
    static uint8_t data[READ];
    struct work *work = argument;

    while (send(work->theirs, data, sizeof(data), MSG_NOSIGNAL) > 0)
        continue;
    return NULL;
}

static void *drain_udp(void *argument)
{
    static uint8_t data[1 << 16];
    struct work *work = argument;

    for (;;)
        count_drained(work, recv(work->udp, data, sizeof(data), 0));
    return NULL;
}

static void *feed_tun(void *unused)
{
    static uint8_t data[SEGMENTS * SEGMENT];
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = inet_addr("10.9.0.2") };
    int segment = SEGMENT, fd = socket(AF_INET, SOCK_DGRAM, 0);

    (void)unused;
    require(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)) == 0, "UDP_SEGMENT");
    for (;;)
        sendto(fd, data, sizeof(data), 0, (struct sockaddr *)&to, sizeof(to));
    return NULL;
}

static void *drain_tcp(void *argument)
{
    static uint8_t data[READ];
    struct work *work = argument;

    for (;;)
        count_drained(work, recv(work->theirs, data, sizeof(data), 0));
    return NULL;
}

/* One read of TCP, and its bytes as packets to the device. Returns the bytes. */
static uint64_t move_up(void)
{
    static struct {
        struct virtio_net_hdr head;
        uint8_t packet[HEADERS + SEGMENTS * SEGMENT];
    } __attribute__((packed)) out;
    static uint8_t data[READ];
    ssize_t have = recv(path.ours, data, sizeof(data), 0);

    require(have > 0, "receive");
    for (ssize_t at = 0; at < have; at += segments * SEGMENT) {
        size_t size = (size_t)(have - at < segments * SEGMENT ? have - at : segments * SEGMENT), whole = HEADERS + size;
        uint8_t *p = out.packet;
        uint32_t sum = 0;

        out.head = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .hdr_len = HEADERS, .csum_start = 20, .csum_offset = 6 };
        if (size > SEGMENT) {
            out.head.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
            out.head.gso_size = SEGMENT;
        }
        memcpy(p, (uint8_t[HEADERS]){ 0x45, 0, (uint8_t)(whole >> 8), (uint8_t)whole, 0, 1, 0, 0, 64, 17, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1,
                                      PORT >> 8, PORT & 0xff, PORT >> 8, PORT & 0xff, (uint8_t)((size + 8) >> 8), (uint8_t)(size + 8) }, HEADERS);
        for (int i = 0; i < 20; i += 2)
            sum += (uint32_t)p[i] << 8 | p[i + 1];
        sum = ~((sum & 0xffff) + (sum >> 16));
        p[10] = (uint8_t)(sum >> 8);
        p[11] = (uint8_t)sum;
        memcpy(p + HEADERS, data + at, size);
        require(write(path.tun, &out, sizeof(out.head) + whole) > 0, "write to the TUN device");
    }
    return (uint64_t)have;
}

/* One read of the device, and one send. */
static uint64_t move_down(void)
{
    static uint8_t data[sizeof(struct virtio_net_hdr) + 65536];
    ssize_t have = read(path.tun, data, sizeof(data));
    size_t size = (size_t)have - sizeof(struct virtio_net_hdr);

    require(have > (ssize_t)sizeof(struct virtio_net_hdr), "read the TUN device");
    for (size_t sent = 0; sent < size;) {
        ssize_t more = send(path.ours, data + sizeof(struct virtio_net_hdr) + sent, size - sent, MSG_NOSIGNAL);

        require(more > 0, "send");
        sent += (size_t)more;
    }
    return size;
}

static const struct { const char *name; uint64_t (*act)(void); void *(*feed)(void *), *(*drain)(void *); } ways[] = {
    { "aes", seal, NULL, NULL }, { "aes-packet", seal_packet, NULL, NULL }, { "sign", sign, NULL, NULL }, { "agree", agree, NULL, NULL },
    { "up", move_up, feed_tcp, drain_udp }, { "down", move_down, feed_tun, drain_tcp },
};

int main(int count, char **arguments)
{
    uint64_t cpu, deadline, done = 0, bytes = 0;
    pthread_t thread;
    int way = 0;

    require(count == 3, "usage: limits aes|aes-packet|sign|agree|up|down SECONDS");
    while (way < 6 && strcmp(ways[way].name, arguments[1]))
        way++;
    require(way < 6, "unknown way");
    require(wc_InitRng(&rng) == 0, "random numbers");
    make_key(&own);
    make_key(&peer);
    if (ways[way].feed) {
        open_path(&path);
        require(pthread_create(&thread, NULL, ways[way].drain, &path) == 0 && pthread_create(&thread, NULL, ways[way].feed, &path) == 0, "threads");
    }
    cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    deadline = nanoseconds(CLOCK_MONOTONIC) + (uint64_t)(atof(arguments[2]) * 1e9);
    do {
        bytes += ways[way].act();
        done++;
    } while (nanoseconds(CLOCK_MONOTONIC) < deadline);
    cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
    require(!ways[way].feed || __atomic_load_n(&path.drained, __ATOMIC_RELAXED) > 0, "nothing arrived");
    printf("{\"done\": %lu, \"bytes\": %lu, \"cpu_ns\": %lu, \"drained\": %lu}\n", done, bytes, cpu, path.drained);
    _exit(fflush(stdout));              /* its threads wait for ever */
}
