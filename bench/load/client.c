/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_S 20                   /* for one read or write */
#define MAX_FORMS 4                     /* servers ask for name and password in one form or in two */

static const char INIT[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<config-auth client=\"vpn\" type=\"init\"><version who=\"vpn\">v9.01</version>"
    "<device-id>linux-64</device-id><group-access>https://vpn.example.org</group-access></config-auth>";

static int send_all(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -errno;
        data += sent;
        size -= (size_t)sent;
    }
    return 0;
}

int lc_flush(struct lc_client *client)
{
    int error = send_all(client->fd, client->outbox, client->outbox_size);

    client->outbox_size = 0;
    return error;
}

static int tls_send(WOLFSSL *tls, char *data, int size, void *context)
{
    struct lc_client *client = context;

    (void)tls;
    if ((size_t)size > LC_OUTBOX)
        return send_all(client->fd, (uint8_t *)data, (size_t)size) ? WOLFSSL_CBIO_ERR_CONN_CLOSE : size;
    if (client->outbox_size + (size_t)size > LC_OUTBOX && lc_flush(client))
        return WOLFSSL_CBIO_ERR_CONN_CLOSE;
    memcpy(client->outbox + client->outbox_size, data, (size_t)size);
    client->outbox_size += (size_t)size;
    if (!client->gather && lc_flush(client))
        return WOLFSSL_CBIO_ERR_CONN_CLOSE;
    return size;
}

static int tls_receive(WOLFSSL *tls, char *data, int size, void *context)
{
    const struct lc_client *client = context;
    ssize_t got;

    (void)tls;
    do
        got = recv(client->fd, data, (size_t)size, 0);
    while (got < 0 && errno == EINTR);
    return got > 0 ? (int)got : WOLFSSL_CBIO_ERR_CONN_CLOSE;
}

WOLFSSL_CTX *lc_context(void)
{
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfTLSv1_3_client_method());
    int groups[] = { WOLFSSL_ECC_SECP256R1 };

    if (!context)
        return NULL;
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
    wolfSSL_CTX_set_groups(context, groups, 1);
    wolfSSL_CTX_set_cipher_list(context, "TLS13-AES256-GCM-SHA384");
    wolfSSL_CTX_SetIOSend(context, tls_send);
    wolfSSL_CTX_SetIORecv(context, tls_receive);
    return context;
}

void lc_init(struct lc_client *client)
{
    client->fd = -1;
    client->tls = NULL;
    client->inner_ipv4 = 0;
    client->outbox_size = 0;
    client->gather = 0;
    client->cookies[0] = 0;
}

int lc_connect(struct lc_client *client, const struct lc_target *target)
{
    struct timeval patience = { .tv_sec = PATIENCE_S };
    int on = 1, error;

    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        return -errno;
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (!connect(client->fd, (const struct sockaddr *)&target->address, sizeof target->address))
        return 0;
    error = -errno;
    lc_close(client);
    return error;
}

int lc_handshake(struct lc_client *client, WOLFSSL_CTX *context)
{
    client->tls = wolfSSL_new(context);
    if (!client->tls)
        return -ENOMEM;
    wolfSSL_SetIOReadCtx(client->tls, client);
    wolfSSL_SetIOWriteCtx(client->tls, client);
    if (wolfSSL_UseKeyShare(client->tls, WOLFSSL_ECC_SECP256R1) != WOLFSSL_SUCCESS)
        return -EPROTO;
    return wolfSSL_connect(client->tls) == WOLFSSL_SUCCESS ? 0 : -EPROTO;
}

static void keep_cookies(struct lc_client *client)
{
    const char *line = client->text;

    while ((line = strcasestr(line, "\nSet-Cookie: "))) {
        size_t used = strlen(client->cookies), length;

        line += sizeof "\nSet-Cookie: " - 1;
        length = strcspn(line, ";\r\n");
        if (line[length - 1] != '=' && used + length + 3 < sizeof client->cookies)
            snprintf(client->cookies + used, sizeof client->cookies - used, "%s%.*s", used ? "; " : "", (int)length, line);
    }
}

/* Reads one whole answer into client->text; its HTTP status or negative errno. */
static int read_answer(struct lc_client *client, int with_body)
{
    size_t size = 0, wanted = 0;

    while (!wanted || size < wanted) {
        char *end, *length;
        int got;

        if (size + 1 >= sizeof client->text)
            return -EMSGSIZE;
        got = wolfSSL_read(client->tls, client->text + size, (int)(sizeof client->text - 1 - size));
        if (got <= 0)
            return -ECONNRESET;
        size += (size_t)got;
        client->text[size] = 0;
        end = strstr(client->text, "\r\n\r\n");
        if (wanted || !end)
            continue;
        length = strcasestr(client->text, "\nContent-Length:");
        wanted = (size_t)(end + 4 - client->text);
        if (with_body && length && length < end)
            wanted += strtoul(length + sizeof "\nContent-Length:" - 1, NULL, 10);
    }
    keep_cookies(client);
    return size > 12 ? atoi(client->text + 9) : -EPROTO;
}

static int post(struct lc_client *client, const char *path, const char *body)
{
    char request[8192];
    int size = snprintf(request, sizeof request,
                        "POST %s HTTP/1.1\r\nHost: vpn.example.org\r\nUser-Agent: Open AnyConnect VPN Agent v9.01\r\n"
                        "%s%s%sX-Transcend-Version: 1\r\nX-Aggregate-Auth: 1\r\nContent-Type: application/xml\r\n"
                        "Content-Length: %zu\r\n\r\n%s",
                        path, client->cookies[0] ? "Cookie: " : "", client->cookies, client->cookies[0] ? "\r\n" : "",
                        strlen(body), body);

    if (size < 0 || (size_t)size >= sizeof request)
        return -EMSGSIZE;
    if (wolfSSL_write(client->tls, request, size) != size)
        return -ECONNRESET;
    return read_answer(client, 1);
}

/* Fills in the form in client->text: only what it asks for. */
static int answer_form(struct lc_client *client, const struct lc_target *target)
{
    int name = strstr(client->text, "name=\"username\"") != NULL;
    int secret = strstr(client->text, "name=\"password\"") != NULL;
    char body[1024];

    if (!name && !secret)
        return -EPROTO;
    snprintf(body, sizeof body,
             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<config-auth client=\"vpn\" type=\"auth-reply\">"
             "<version who=\"vpn\">v9.01</version><device-id>linux-64</device-id><auth>%s%s%s%s%s%s</auth></config-auth>",
             name ? "<username>" : "", name ? target->user : "", name ? "</username>" : "",
             secret ? "<password>" : "", secret ? target->password : "", secret ? "</password>" : "");
    return post(client, "/auth", body);
}

int lc_open_tunnel(struct lc_client *client, const struct lc_target *target)
{
    char request[4096];
    const char *address;
    int forms = 0, size;
    int status = post(client, "/", INIT);

    while (status == 200 && !strstr(client->text, "type=\"complete\"") && forms++ < MAX_FORMS)
        status = answer_form(client, target);
    if (status != 200 || forms > MAX_FORMS)
        return status < 0 ? status : -EACCES;
    size = snprintf(request, sizeof request,
                    "CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: vpn.example.org\r\n"
                    "User-Agent: Open AnyConnect VPN Agent v9.01\r\nCookie: %s\r\nX-CSTP-Version: 1\r\n"
                    "X-CSTP-Hostname: load\r\nX-CSTP-Base-MTU: 1500\r\nX-CSTP-MTU: 1400\r\nX-CSTP-Address-Type: IPv6,IPv4\r\n"
                    "X-CSTP-Full-IPv6-Capability: true\r\n\r\n",
                    client->cookies);
    if (size < 0 || (size_t)size >= sizeof request || wolfSSL_write(client->tls, request, size) != size)
        return -ECONNRESET;
    status = read_answer(client, 0);
    if (status != 200)
        return status < 0 ? status : -EACCES;
    address = strstr(client->text, "\nX-CSTP-Address: ");
    if (address) {
        char text[INET_ADDRSTRLEN];
        struct in_addr inner;

        snprintf(text, sizeof text, "%.*s", (int)strcspn(address + 17, "\r\n"), address + 17);
        if (inet_aton(text, &inner))
            client->inner_ipv4 = inner.s_addr;
    }
    return 0;
}

static int push_frame(struct lc_client *client, uint8_t type, const uint8_t *payload, size_t size)
{
    uint8_t frame[LC_FRAME_HEADER + 2048] = { 'S', 'T', 'F', 1, (uint8_t)(size >> 8), (uint8_t)size, type, 0 };

    if (size > 2048)
        return -EMSGSIZE;
    memcpy(frame + LC_FRAME_HEADER, payload, size);
    size += LC_FRAME_HEADER;
    return wolfSSL_write(client->tls, frame, (int)size) == (int)size ? 0 : -ECONNRESET;
}

int lc_push_packet(struct lc_client *client, const uint8_t *packet, size_t size)
{
    client->gather = 1;
    return push_frame(client, 0, packet, size);
}

long lc_pull_packet(struct lc_client *client, uint8_t *data, size_t size)
{
    int got = wolfSSL_read(client->tls, data, (int)size);

    if (got < LC_FRAME_HEADER)
        return -ECONNRESET;
    return data[6] ? 0 : got - LC_FRAME_HEADER;
}

void lc_goodbye(struct lc_client *client)
{
    static const uint8_t reason[] = "\xb0" "load is done";

    client->gather = 0;
    if (client->tls)
        push_frame(client, 5, reason, sizeof reason - 1);
}

void lc_close(struct lc_client *client)
{
    struct linger reset = { .l_onoff = 1, .l_linger = 0 };

    if (client->tls)
        wolfSSL_free(client->tls);
    client->tls = NULL;
    if (client->fd < 0)
        return;
    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(client->fd);
    client->fd = -1;
}
