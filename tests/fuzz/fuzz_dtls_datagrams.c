/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fuzz-sources: vpn_frontend/native/dtls/hello.c vpn_frontend/native/dtls/cookie.c vpn_frontend/native/dtls/context.c */
/* fuzz-sources: vpn_frontend/native/dtls/client_table.c vpn_frontend/native/dtls/path_cache.c vpn_frontend/native/dtls/hmac.c */
/* fuzz-sources: vpn_frontend/native/tls/context.c vpn_frontend/native/tls/fips_limits.c vpn_frontend/native/tls/hosts.c vpn_frontend/native/tls/hello.c */
/* fuzz-sources: vpn_frontend/native/tls/signing.c vpn_frontend/native/signing/link.c */
/* fuzz-sources: vpn_frontend/native/tls/refusal.c vpn_frontend/native/tls/client_authorities.c vpn_frontend/native/tls/record_pool.c */
/*
 * What an unknown sender's datagram can reach: classification, the hello's parser, the cookie, the look-ups by name and path,
 * and for DTLS 1.3 wolfSSL's stateless half. The first byte chooses between the input as it is and a hello built around it.
 */
#include "dtls/client_table.h"
#include "dtls/context.h"
#include "dtls/path_cache.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(condition) do { if (!(condition)) abort(); } while (0)

/* A test certificate, so that ClientHellos that want one get as far as the others. */
static const char chain[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBdDCCARugAwIBAgIUNN2wBP8jDzteprCrV0IU+aHtJ1AwCgYIKoZIzj0EAwIw\n"
    "DzENMAsGA1UEAwwEZnV6ejAgFw0yNjExMjIyMjAyMjlaGA8yMTI2MTAyOTIyMDIy\n"
    "OVowDzENMAsGA1UEAwwEZnV6ejBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAhv\n"
    "+pKEqe1IdM6dex+7RLweT2w3RFD6x/yXlGT81TyL/uJ71HqKyTJDzGmji/l4dsp8\n"
    "WUYhHdGCmed3NeUrjx2jUzBRMB0GA1UdDgQWBBSc+NcdJcSVoH/cMgs+WXkO1YTr\n"
    "GjAfBgNVHSMEGDAWgBSc+NcdJcSVoH/cMgs+WXkO1YTrGjAPBgNVHRMBAf8EBTAD\n"
    "AQH/MAoGCCqGSM49BAMCA0cAMEQCIGJMeFd5FFVeWPDrObtfDE4JL89zlcku7EDt\n"
    "WSrGr5ZaAiAGXoMFoalbh3PjtZt39EOIHqXgahTBDKDcQpBYvaFj1Q==\n"
    "-----END CERTIFICATE-----\n";
static const char key[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgnetOfJdrYI1xkgz9\n"
    "563WUQv32CV8l22RjI59/S6JLWihRANCAAQIb/qShKntSHTOnXsfu0S8Hk9sN0RQ\n"
    "+sf8l5Rk/NU8i/7ie9R6iskyQ8xpo4v5eHbKfFlGIR3RgpnndzXlK48d\n"
    "-----END PRIVATE KEY-----\n";

static struct gw_tls_holder hosts;
static struct gw_dtls_contexts contexts;
static struct gw_cookies cookies;
static struct gw_client_table names;
static struct gw_path_cache paths;

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    const struct gw_certificate certificate = { .chain = (const uint8_t *)chain, .chain_size = sizeof(chain) - 1,
                                                .key = (const uint8_t *)key, .key_size = sizeof(key) - 1,
                                                .key_type = GW_KEY_P256 };
    const struct gw_tls_host host = { .certificates = &certificate, .certificate_count = 1 };
    const struct gw_tls tls = { .hosts = &host, .host_count = 1, .ciphers = "TLS13-AES128-GCM-SHA256" };
    struct gw_tls_hosts *made;
    char error[256];

    (void)count;
    (void)arguments;
    wolfSSL_Init();
    gw_tls_holder_init(&hosts);
    made = gw_tls_hosts_new(&tls, error, sizeof(error));
    CHECK(made);
    made->hosts[0].datagrams = gw_dtls_context_new(&host, error, sizeof(error));
    CHECK(made->hosts[0].datagrams);
    gw_tls_holder_set(&hosts, made);
    contexts.hosts = &hosts;
    CHECK(gw_dtls_contexts_init(&contexts, false, error, sizeof(error)) == 0);
    CHECK(gw_cookies_init(&cookies, (const uint8_t[32]) { 1 }, 5 * GW_COOKIE_PERIOD) == 0);
    CHECK(gw_client_table_init(&names, 8, 1) == 0 && gw_path_cache_init(&paths, 1, 1) == 0);
    CHECK(gw_client_table_add(&names, (const uint8_t[32]) { 0 }, 77) == 0);
    return 0;
}

static void put16(uint8_t *out, size_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

/* The headers of a whole ClientHello in front of a body, so that mutations reach what is behind them. */
static size_t wrap(uint8_t *out, const uint8_t *body, size_t size)
{
    memset(out, 0, 25);
    memcpy(out, (const uint8_t[]) { 22, 0xfe, 0xfd }, 3);
    put16(out + 11, size + 12);
    out[13] = 1;
    put16(out + 15, size);
    put16(out + 23, size);
    memcpy(out + 25, body, size);
    return size + 25;
}

static void take_hello(const uint8_t *datagram, size_t size, const struct gw_hello *hello)
{
    static const char peer[40] = "a peer";
    uint8_t reply[512], echoed[GW_COOKIE_SIZE];
    size_t reply_size = sizeof(reply);
    struct gw_hello again = *hello;
    const uint8_t *name = gw_hello_name(hello);

    CHECK(size >= GW_COOKIE_REPLY_SIZE);
    if (name)
        gw_client_table_find(&names, name);
    CHECK(!gw_cookie_check(&cookies, peer, sizeof(peer), hello));
    CHECK(gw_cookie_reply(&cookies, peer, sizeof(peer), hello, reply) == 0);
    memcpy(echoed, reply + GW_COOKIE_REPLY_SIZE - GW_COOKIE_SIZE, sizeof(echoed));
    again.cookie = echoed;
    again.cookie_size = sizeof(echoed);
    CHECK(gw_cookie_check(&cookies, peer, sizeof(peer), &again));
    if (!hello->dtls13)
        return;
    CHECK(!gw_dtls_retry13(&contexts, hello->psk ? GW_DTLS_PSK : GW_DTLS_CERTIFICATE, cookies.secrets[0], peer, sizeof(peer),
                           datagram, size, reply, &reply_size));
    CHECK(!reply_size || reply[0] == GW_DTLS_HANDSHAKE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *datagram = malloc(size + 25);
    struct gw_path path = { .socket = 1 };
    struct gw_hello hello;
    size_t length = 0;

    if (!datagram || !size || size > 4000) {
        free(datagram);
        return 0;
    }
    if (data[0] & 1) {
        length = wrap(datagram, data + 1, size - 1);
    } else {
        length = size - 1;
        memcpy(datagram, data + 1, length);
    }
    memcpy(path.peer, data, size < sizeof(path.peer) ? size : sizeof(path.peer));
    gw_path_cache_put(&paths, &path, 5, data[0]);
    CHECK(gw_path_cache_find(&paths, &path, 1) == 5);
    datagram = realloc(datagram, length ? length : 1);  /* a read past the end is seen */
    if (datagram && gw_hello_read(datagram, length, &hello) == 0)
        take_hello(datagram, length, &hello);
    free(datagram);
    return 0;
}
