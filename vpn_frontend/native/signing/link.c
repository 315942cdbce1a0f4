/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "signing/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWERS_PER_TURN 64u        /* each continues a handshake; tunnels wait no longer than for so many */

static void set_since(struct gw_signer_link *link, uint64_t since)
{
    __atomic_store_n(&link->since, since, __ATOMIC_RELAXED);
}

static int ask(struct gw_signature *signature, enum gw_sign_scheme scheme, const uint8_t *input, size_t size)
{
    struct gw_signer_link *link = signature->link;
    struct gw_signature_call *call;
    ssize_t sent;

    if (link->fd < 0)
        return -EPIPE;
    if (size > GW_SIGN_INPUT_MAX)
        return -EMSGSIZE;
    if (link->waiting >= GW_SIGN_WAITING_MAX)
        return -EBUSY;
    call = calloc(1, sizeof(*call));
    if (!call)
        return -ENOMEM;
    call->signature = signature;
    call->request.serial = ++link->serial;
    call->request.key = signature->key;
    call->request.scheme = scheme;
    call->request.size = (uint32_t)size;
    memcpy(call->request.input, input, size);
    do
        sent = send(link->fd, &call->request, GW_SIGN_REQUEST_HEAD + size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        int status = errno == EAGAIN ? -EBUSY : -errno;

        free(call);
        return status;
    }
    if (link->newest)
        link->newest->next = call;
    else
        link->oldest = call;
    link->newest = call;
    if (!link->waiting++)
        set_since(link, *link->now);
    signature->call = call;
    return -EAGAIN;
}

static bool is_same(const struct gw_sign_request *request, enum gw_sign_scheme scheme, const uint8_t *input, size_t size)
{
    return request->scheme == (uint32_t)scheme && request->size == size && !memcmp(request->input, input, size);
}

static int take(struct gw_signature_call *call, enum gw_sign_scheme scheme, const uint8_t *input, size_t size, uint8_t *out,
                uint32_t *out_size)
{
    if (!is_same(&call->request, scheme, input, size))
        return -EPROTO;
    if (call->state == GW_SIGNATURE_ASKED)
        return -EAGAIN;
    if (call->state == GW_SIGNATURE_FAILED)
        return -EIO;
    if (call->size > *out_size)
        return -EMSGSIZE;
    memcpy(out, call->bytes, call->size);
    *out_size = call->size;
    return 0;
}

int gw_signature_get(struct gw_signature *signature, enum gw_sign_scheme scheme, const uint8_t *input, size_t size, uint8_t *out,
                     uint32_t *out_size)
{
    int status = signature->failed ? -EIO
                 : signature->call ? take(signature->call, scheme, input, size, out, out_size)
                                   : ask(signature, scheme, input, size);

    if (status == -EAGAIN)
        return status;
    gw_signature_clear(signature);
    signature->failed = status != 0;
    return status;
}

void gw_signature_clear(struct gw_signature *signature)
{
    struct gw_signature_call *call = signature->call;

    if (signature->dh) {
        explicit_bzero(signature->dh, sizeof(*signature->dh));
        free(signature->dh);
        signature->dh = NULL;
    }
    signature->call = NULL;
    if (!call)
        return;
    if (call->state == GW_SIGNATURE_ASKED)
        call->signature = NULL;
    else
        free(call);
}

/* Takes the oldest question off the link, which had this outcome. The handshake goes on. */
static void settle(struct gw_signer_link *link, enum gw_signature_state state)
{
    struct gw_signature_call *call = link->oldest;
    struct gw_signature *signature = call->signature;

    link->oldest = call->next;
    if (!link->oldest)
        link->newest = NULL;
    link->waiting--;
    set_since(link, link->waiting ? *link->now : 0);
    call->state = state;
    if (signature)
        signature->on_answer(signature->owner);
    else
        free(call);
}

static void lose(struct gw_signer_link *link)
{
    close(link->fd);       /* which ends its watch */
    link->fd = -1;
    while (link->oldest)
        settle(link, GW_SIGNATURE_FAILED);
}

/* Answers come in the sequence of the questions. Anything else is no answer of ours. */
static bool is_answer(const struct gw_signer_link *link, const struct gw_sign_answer *answer, ssize_t size)
{
    return size >= (ssize_t)GW_SIGN_ANSWER_HEAD && link->oldest && answer->serial == link->oldest->request.serial &&
           answer->size <= GW_SIGNATURE_MAX && (size_t)size == GW_SIGN_ANSWER_HEAD + answer->size;
}

bool gw_signer_link_read(struct gw_signer_link *link)
{
    struct gw_sign_answer answer;

    for (uint32_t i = 0; i < ANSWERS_PER_TURN && link->fd >= 0; i++) {
        ssize_t size = recv(link->fd, &answer, sizeof(answer), MSG_DONTWAIT);

        if (size < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOMEM || errno == ENOBUFS))
            return true;            /* epoll reports it again */
        if (!is_answer(link, &answer, size)) {
            lose(link);
            return false;
        }
        memcpy(link->oldest->bytes, answer.signature, answer.size);
        link->oldest->size = answer.size;
        settle(link, answer.status || !answer.size ? GW_SIGNATURE_FAILED : GW_SIGNATURE_READY);
    }
    return true;
}

void gw_signer_link_free(struct gw_signer_link *link)
{
    while (link->oldest) {
        struct gw_signature_call *call = link->oldest;

        link->oldest = call->next;
        if (call->signature)
            call->signature->call = NULL;
        free(call);
    }
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
}
