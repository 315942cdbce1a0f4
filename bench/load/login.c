/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "client.h"
#include "totp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_FORMS 4                     /* name and password are asked in one form or in two */
#define ANSWER_MAX 16384                /* bytes of one HTTP answer */

static const char INIT[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<config-auth client=\"vpn\" type=\"init\"><version who=\"vpn\">v9.01</version>"
    "<device-id>linux-64</device-id><group-access>https://vpn.example.org</group-access></config-auth>";

/* Any 48 bytes: servers require a secret before they offer DTLS, and do not use it with a pre-shared key. */
static const char DTLS_OFFER[] =
    "X-DTLS-Master-Secret: 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F202122232425262728292A2B2C2D2E2F\r\n"
    "X-DTLS-CipherSuite: PSK-NEGOTIATE\r\n";

static void keep_cookies(struct lc_client *client, const char *answer)
{
    const char *line = answer;

    while ((line = strcasestr(line, "\nSet-Cookie: "))) {
        size_t used = strlen(client->cookies), length;

        line += sizeof "\nSet-Cookie: " - 1;
        length = strcspn(line, ";\r\n");
        if (line[length - 1] != '=' && used + length + 3 < sizeof client->cookies)
            snprintf(client->cookies + used, sizeof client->cookies - used, "%s%.*s", used ? "; " : "", (int)length, line);
    }
}

/* Reads one whole answer. Returns its HTTP status or a negative errno. */
static int read_answer(struct lc_client *client, char answer[ANSWER_MAX], int with_body)
{
    size_t size = 0, wanted = 0;

    while (!wanted || size < wanted) {
        char *end, *length;
        int got;

        if (size + 1 >= ANSWER_MAX)
            return -EMSGSIZE;
        got = wolfSSL_read(client->tls, answer + size, (int)(ANSWER_MAX - 1 - size));
        if (got <= 0)
            return -ECONNRESET;
        size += (size_t)got;
        answer[size] = 0;
        end = strstr(answer, "\r\n\r\n");
        if (wanted || !end)
            continue;
        length = strcasestr(answer, "\nContent-Length:");
        wanted = (size_t)(end + 4 - answer);
        if (with_body && length && length < end)
            wanted += strtoul(length + sizeof "\nContent-Length:" - 1, NULL, 10);
    }
    keep_cookies(client, answer);
    return size > 12 ? atoi(answer + 9) : -EPROTO;
}

static int post(struct lc_client *client, const char *path, const char *body, char answer[ANSWER_MAX])
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
    return read_answer(client, answer, 1);
}

/* Fills in the fields of the form in the current answer. */
static int answer_form(struct lc_client *client, const struct lc_target *target, char answer[ANSWER_MAX])
{
    int name = strstr(answer, "name=\"username\"") != NULL;
    int secret = strstr(answer, "name=\"password\"") != NULL;
    int coded = strstr(answer, "name=\"secondary_password\"") != NULL;
    char body[1024], user[64], code[LC_CODE] = "";

    if (!name && !secret && !coded)
        return -EPROTO;
    if (coded && (!target->users || lc_totp(client->login / target->users % LC_CODES - 1, code)))
        return -EPROTO;
    snprintf(user, sizeof user, "%s", target->user);
    if (target->users)
        snprintf(user, sizeof user, "%s%ld", target->user, client->login % target->users);
    snprintf(body, sizeof body,
             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<config-auth client=\"vpn\" type=\"auth-reply\">"
             "<version who=\"vpn\">v9.01</version><device-id>linux-64</device-id><auth>%s%s%s%s%s%s%s%s%s</auth></config-auth>",
             name ? "<username>" : "", name ? user : "", name ? "</username>" : "",
             secret ? "<password>" : "", secret ? target->password : "", secret ? "</password>" : "",
             coded ? "<secondary_password>" : "", code, coded ? "</secondary_password>" : "");
    return post(client, "/auth", body, answer);
}

static void take_parameters(struct lc_client *client, const char *answer)
{
    const char *address = strstr(answer, "\nX-CSTP-Address: "), *name = strstr(answer, "\nX-DTLS-App-ID: ");

    if (address) {
        char text[INET_ADDRSTRLEN];
        struct in_addr inner;

        snprintf(text, sizeof text, "%.*s", (int)strcspn(address + 17, "\r\n"), address + 17);
        if (inet_aton(text, &inner))
            client->inner_ipv4 = inner.s_addr;
    }
    if (name && strspn(name + 16, "0123456789abcdefABCDEF") == 2 * LC_NAME) {
        client->offered_dtls = 1;
        for (int i = 0; i < LC_NAME; i++)
            sscanf(name + 16 + 2 * i, "%2hhx", &client->app_id[i]);
    }
}

static int ask_for_tunnel(struct lc_client *client, const struct lc_target *target, char answer[ANSWER_MAX])
{
    char request[4096];
    int status, size = snprintf(request, sizeof request,
                                "CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: vpn.example.org\r\n"
                                "User-Agent: Open AnyConnect VPN Agent v9.01\r\nCookie: %s\r\nX-CSTP-Version: 1\r\n"
                                "X-CSTP-Hostname: load\r\nX-CSTP-Base-MTU: 1500\r\nX-CSTP-MTU: 1400\r\n"
                                "X-CSTP-Address-Type: IPv6,IPv4\r\nX-CSTP-Full-IPv6-Capability: true\r\n%s\r\n",
                                client->cookies, target->dtls ? DTLS_OFFER : "");

    if (size < 0 || (size_t)size >= sizeof request || wolfSSL_write(client->tls, request, size) != size)
        return -ECONNRESET;
    status = read_answer(client, answer, 0);
    if (status != 200)
        return status < 0 ? status : -EACCES;
    take_parameters(client, answer);
    return 0;
}

int lc_open_tunnel(struct lc_client *client, const struct lc_target *target)
{
    char answer[ANSWER_MAX];
    int forms = 0;
    int status = post(client, "/", INIT, answer);

    while (status == 200 && !strstr(answer, "type=\"complete\"") && forms++ < MAX_FORMS)
        status = answer_form(client, target, answer);
    if (status != 200 || forms > MAX_FORMS)
        return status < 0 ? status : -EACCES;
    return ask_for_tunnel(client, target, answer);
}
