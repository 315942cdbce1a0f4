/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Plain UDP: the source of downloads, and the flood of ClientHellos that belong to no session.
 */
#define _GNU_SOURCE
#include "job.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PAYLOAD (PACKET - 28)
#define HELLO_MAX 256
#define WAKE_US 100000                  /* interval of checks for the end */

/* Sends `packets` datagrams in one call; the kernel or the device splits them. */
static void answer(int fd, const struct sockaddr_in *asker, size_t packets)
{
    static uint8_t payload[BATCH * PAYLOAD];
    char control[CMSG_SPACE(sizeof(uint16_t))] = { 0 };
    struct iovec piece = { payload, (packets < BATCH ? packets : BATCH) * PAYLOAD };
    struct msghdr message = {
        .msg_name = (void *)(uintptr_t)asker, .msg_namelen = sizeof *asker, .msg_iov = &piece, .msg_iovlen = 1,
        .msg_control = control, .msg_controllen = sizeof control,
    };
    struct cmsghdr *head = (struct cmsghdr *)control;
    uint16_t size = PAYLOAD;

    head->cmsg_level = SOL_UDP;
    head->cmsg_type = UDP_SEGMENT;
    head->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(head), &size, sizeof size);
    if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0) {
        atomic_fetch_add(&job.failed, 1);
        return;
    }
    atomic_fetch_add(&job.count, (long)packets);
    atomic_fetch_add(&job.bytes, (long)packets * PACKET);
}

void *run_source(void *unused)
{
    struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(job.port) }, asker;
    struct timeval timeout = { .tv_usec = WAKE_US };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), room = 4 << 20;

    (void)unused;
    if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own)) {
        perror("load: source");
        atomic_fetch_add(&job.failed, 1);
        return NULL;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    printf("{\"open\": 1}\n");
    while (!over()) {
        socklen_t size = sizeof asker;
        uint8_t packets;

        if (recvfrom(fd, &packets, 1, MSG_TRUNC, (struct sockaddr *)&asker, &size) > 0 && packets)
            answer(fd, &asker, packets);
    }
    close(fd);
    return NULL;
}

/* A ClientHello in one record, with a session id of 32 bytes that no server issued. */
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

void *run_hello(void *unused)
{
    static uint8_t hellos[BATCH][HELLO_MAX];
    struct iovec pieces[BATCH];
    struct mmsghdr batch[BATCH];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)unused;
    memset(batch, 0, sizeof batch);
    for (int i = 0; i < BATCH; i++) {
        pieces[i] = (struct iovec){ hellos[i], fill_hello(hellos[i]) };
        batch[i].msg_hdr.msg_iov = &pieces[i];
        batch[i].msg_hdr.msg_iovlen = 1;
    }
    if (fd < 0 || connect(fd, (struct sockaddr *)&job.target.address, sizeof job.target.address))
        return NULL;
    while (!over()) {
        int sent = sendmmsg(fd, batch, BATCH, 0);

        if (sent > 0)
            atomic_fetch_add(&job.count, sent);
    }
    close(fd);
    return NULL;
}
