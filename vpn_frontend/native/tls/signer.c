/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/signer.h"

#include "tls/record_pool.h"
#include "tls/refusal.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/rsa.h>

struct key {
    struct key *next;
    uint64_t id;
    uint32_t type;                  /* enum gw_key_type */
    union {
        ecc_key ecc;
        RsaKey rsa;
        ed25519_key ed25519;
    } of;
};

struct gw_signer {
    pthread_mutex_t lock;           /* of everything below */
    WC_RNG rng;
    struct key *keys;               /* owned */
};

static void free_key(struct key *key)
{
    if (key->type == GW_KEY_RSA)
        wc_FreeRsaKey(&key->of.rsa);
    else if (key->type == GW_KEY_ED25519)
        wc_ed25519_free(&key->of.ed25519);
    else
        wc_ecc_free(&key->of.ecc);
    explicit_bzero(key, sizeof(*key));
    free(key);
}

gw_signer *gw_signer_new(void)
{
    struct gw_signer *signer = calloc(1, sizeof(*signer));

    if (!signer)
        return NULL;
    gw_record_pool_init();
    if (wolfSSL_Init() != WOLFSSL_SUCCESS || wc_InitRng(&signer->rng)) {
        free(signer);
        return NULL;
    }
    pthread_mutex_init(&signer->lock, NULL);
    return signer;
}

void gw_signer_free(gw_signer *signer)
{
    if (!signer)
        return;
    while (signer->keys) {
        struct key *key = signer->keys;

        signer->keys = key->next;
        free_key(key);
    }
    wc_FreeRng(&signer->rng);
    pthread_mutex_destroy(&signer->lock);
    free(signer);
}

/* Blinding and constant time need random numbers. */
static int decode(struct gw_signer *signer, struct key *key, const uint8_t *der, word32 size)
{
    uint8_t public[ED25519_PUB_KEY_SIZE];
    word32 at = 0;
    int code;

    switch (key->type) {
    case GW_KEY_RSA:
        code = wc_InitRsaKey(&key->of.rsa, NULL);
        if (!code)
            code = wc_RsaPrivateKeyDecode(der, &at, &key->of.rsa, size);
        return code ? code : wc_RsaSetRNG(&key->of.rsa, &signer->rng);
    case GW_KEY_ED25519:
        code = wc_ed25519_init(&key->of.ed25519);
        if (!code)
            code = wc_Ed25519PrivateKeyDecode(der, &at, &key->of.ed25519, size);
        if (!code)
            code = wc_ed25519_make_public(&key->of.ed25519, public, sizeof(public));
        return code ? code : wc_ed25519_import_public(public, sizeof(public), &key->of.ed25519);
    default:
        code = wc_ecc_init(&key->of.ecc);
        if (!code)
            code = wc_EccPrivateKeyDecode(der, &at, &key->of.ecc, size);
        return code ? code : wc_ecc_set_rng(&key->of.ecc, &signer->rng);
    }
}

/* Requires the lock. */
static void forget(struct gw_signer *signer, uint64_t first, uint64_t end)
{
    struct key **place = &signer->keys;

    while (*place) {
        struct key *key = *place;

        if (key->id < first || key->id >= end) {
            place = &key->next;
            continue;
        }
        *place = key->next;
        free_key(key);
    }
}

int gw_signer_add(gw_signer *signer, uint64_t id, uint32_t type, const uint8_t *der, size_t size, char *error, size_t error_size)
{
    struct key *key;
    int code;

    if (type < GW_KEY_RSA || type > GW_KEY_ED25519 || !size || size > GW_SIGNER_KEY_MAX)
        return gw_tls_refuse(error, error_size, "no private key of a known type", 0);
    key = calloc(1, sizeof(*key));
    if (!key)
        return gw_tls_refuse(error, error_size, "no memory for a private key", 0);
    key->id = id;
    key->type = type;
    pthread_mutex_lock(&signer->lock);
    code = decode(signer, key, der, (word32)size);
    if (!code && type == GW_KEY_RSA && wc_RsaEncryptSize(&key->of.rsa) > (int)GW_SIGNATURE_MAX)
        code = RSA_BUFFER_E;
    if (!code) {
        forget(signer, id, id + 1);
        key->next = signer->keys;
        signer->keys = key;
    }
    pthread_mutex_unlock(&signer->lock);
    if (!code)
        return 0;
    free_key(key);
    return gw_tls_refuse(error, error_size, "the private key cannot be read", code);
}

void gw_signer_forget(gw_signer *signer, uint64_t before)
{
    pthread_mutex_lock(&signer->lock);
    forget(signer, 0, before);
    pthread_mutex_unlock(&signer->lock);
}

static struct key *find(const struct gw_signer *signer, uint64_t id)
{
    struct key *key = signer->keys;

    while (key && key->id != id)
        key = key->next;
    return key;
}

static bool is_digest(uint32_t size)
{
    return size == WC_SHA_DIGEST_SIZE || size == WC_SHA256_DIGEST_SIZE || size == WC_SHA384_DIGEST_SIZE ||
           size == WC_SHA512_DIGEST_SIZE;
}

/* A DigestInfo as wc_EncodeSignature writes it, and nothing else. */
static bool is_digest_info(const uint8_t *input, uint32_t size)
{
    static const struct { int hash; uint32_t digest; } kinds[] = {
        { SHAh, WC_SHA_DIGEST_SIZE }, { SHA256h, WC_SHA256_DIGEST_SIZE }, { SHA384h, WC_SHA384_DIGEST_SIZE },
        { SHA512h, WC_SHA512_DIGEST_SIZE },
    };
    uint8_t expected[GW_SIGN_INPUT_MAX];

    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        uint32_t digest = kinds[i].digest;

        if (size > digest && wc_EncodeSignature(expected, input + size - digest, digest, kinds[i].hash) == size &&
            !memcmp(expected, input, size))
            return true;
    }
    return false;
}

static bool is_allowed(const struct key *key, const struct gw_sign_request *request)
{
    switch (request->scheme) {
    case GW_SIGN_ECDSA:
        return key->type != GW_KEY_RSA && key->type != GW_KEY_ED25519 && is_digest(request->size);
    case GW_SIGN_RSA_PKCS1:
        return key->type == GW_KEY_RSA && is_digest_info(request->input, request->size);
    case GW_SIGN_RSA_PSS:
        return key->type == GW_KEY_RSA && is_digest(request->size) && request->size != WC_SHA_DIGEST_SIZE;
    case GW_SIGN_ED25519:
        return key->type == GW_KEY_ED25519 && request->size;
    default:
        return false;
    }
}

/* A signature with a computing fault would tell the key (Boneh, DeMillo, Lipton), so each is verified as wolfSSL does. */
static int sign_rsa(struct gw_signer *signer, RsaKey *key, const struct gw_sign_request *request, uint8_t *out)
{
    bool pss = request->scheme == GW_SIGN_RSA_PSS;
    enum wc_HashType hash = request->size == WC_SHA512_DIGEST_SIZE   ? WC_HASH_TYPE_SHA512
                            : request->size == WC_SHA384_DIGEST_SIZE ? WC_HASH_TYPE_SHA384
                                                                     : WC_HASH_TYPE_SHA256;
    int mgf = wc_hash2mgf(hash), size, seen;
    uint8_t copy[GW_SIGNATURE_MAX], *plain = NULL;

    size = pss ? wc_RsaPSS_Sign(request->input, request->size, out, GW_SIGNATURE_MAX, hash, mgf, key, &signer->rng)
               : wc_RsaSSL_Sign(request->input, request->size, out, GW_SIGNATURE_MAX, key, &signer->rng);
    if (size <= 0)
        return -EIO;
    memcpy(copy, out, (size_t)size);
    seen = pss ? wc_RsaPSS_VerifyInline(copy, (word32)size, &plain, hash, mgf, key)
               : wc_RsaSSL_VerifyInline(copy, (word32)size, &plain, key);
    if (seen <= 0 || !plain)
        return -EIO;
    if (pss)
        return wc_RsaPSS_CheckPadding_ex(request->input, request->size, plain, (word32)seen, hash, RSA_PSS_SALT_LEN_DEFAULT,
                                         wc_RsaEncryptSize(key) * 8)
                 ? -EIO
                 : size;
    return (uint32_t)seen == request->size && !memcmp(plain, request->input, request->size) ? size : -EIO;
}

/* Returns the size of the signature, or a negative errno. */
static int sign(struct gw_signer *signer, struct key *key, const struct gw_sign_request *request, uint8_t *out)
{
    word32 size = GW_SIGNATURE_MAX;
    int code;

    if (key->type == GW_KEY_RSA)
        return sign_rsa(signer, &key->of.rsa, request, out);
    if (key->type == GW_KEY_ED25519)
        code = wc_ed25519_sign_msg(request->input, request->size, out, &size, &key->of.ed25519);
    else
        code = wc_ecc_sign_hash(request->input, request->size, out, &size, &signer->rng, &key->of.ecc);
    return code ? -EIO : (int)size;
}

size_t gw_signer_answer(gw_signer *signer, const struct gw_sign_request *request, size_t size, struct gw_sign_answer *answer)
{
    struct key *key;
    int status;

    memset(answer, 0, GW_SIGN_ANSWER_HEAD);
    answer->status = -EINVAL;
    if (size < GW_SIGN_REQUEST_HEAD)
        return GW_SIGN_ANSWER_HEAD;
    answer->serial = request->serial;
    if (request->size > GW_SIGN_INPUT_MAX || size != GW_SIGN_REQUEST_HEAD + request->size)
        return GW_SIGN_ANSWER_HEAD;
    pthread_mutex_lock(&signer->lock);
    key = find(signer, request->key);
    status = !key ? -ENOENT : !is_allowed(key, request) ? -EPERM : sign(signer, key, request, answer->signature);
    pthread_mutex_unlock(&signer->lock);
    answer->status = status < 0 ? status : 0;
    answer->size = status < 0 ? 0 : (uint32_t)status;
    return GW_SIGN_ANSWER_HEAD + answer->size;
}

/* True if the call is to be made again: it was interrupted, or the kernel had no memory for it. */
static bool passes(int error)
{
    const struct timespec pause = { .tv_nsec = 1000000 };

    if (error == ENOBUFS || error == ENOMEM)
        nanosleep(&pause, NULL);
    return error == EINTR || error == ENOBUFS || error == ENOMEM;
}

int gw_signer_serve(gw_signer *signer, int fd)
{
    struct gw_sign_request request;
    struct gw_sign_answer answer;

    for (;;) {
        ssize_t got = recv(fd, &request, sizeof(request), MSG_TRUNC);
        size_t size;

        if (got < 0 && passes(errno))
            continue;
        if (got <= 0)
            return got ? -errno : 0;
        size = gw_signer_answer(signer, &request, (size_t)got, &answer);
        while (send(fd, &answer, size, MSG_NOSIGNAL) < 0)
            if (!passes(errno))
                return -errno;
    }
}
