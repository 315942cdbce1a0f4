#!/bin/sh
# Prints the prefix of a static wolfSSL fit for the gateway, building it on the first call (about a minute on two cores).
#
# The release tarball is the upstream part of Debian's source package, checked against the pinned SHA-256. It comes from the
# machine's apt archive through a separate apt configuration, so the machine's own sources stay unchanged.
#
#   OCSENTRY_WOLFSSL   a release tarball or an installed prefix to use instead
#   WOLFSSL_VERSION    another release (give WOLFSSL_SHA256 with it)
#   OCSENTRY_CACHE     where tarball and builds are kept, one folder per version and set of flags
#   WOLFSSL_EXTRA      configure switches on top (the test client of its own prefix needs some)
set -eu

version=${WOLFSSL_VERSION:-5.9.2}
sha256=${WOLFSSL_SHA256:-2f4ef3d4fd387a9b3191d36a6316d69116c46ff69bb9583b6c82b36d7b8ca114}
cache=${OCSENTRY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ocsentry}
given=${OCSENTRY_WOLFSSL:-}
extra=${WOLFSSL_EXTRA:-}

# Lean on purpose: post-handshake authentication, raw public keys and ECH, which recent CVEs were in, stay off.
switches="--enable-static --disable-shared --disable-examples --disable-crypttests
 --enable-tls13 --enable-dtls --enable-dtls13 --enable-dtls-mtu --enable-psk
 --enable-intelasm --enable-aesni --enable-sp --enable-sp-asm
 --enable-session-ticket --enable-keying-material --enable-sni --enable-alpn
 --enable-crl --enable-ocsp --enable-ocspstapling=no-multi --enable-curve25519 --enable-ed25519 --enable-mlkem --enable-pkcallbacks"
# STATIC_PSK: the only key exchange GnuTLS-built clients offer for DTLS. EXT_CACHE: resumes the session AnyConnect names.
# WINDOW_WORDS: a replay window of 2048 records; the default of 64 drops reordered traffic. SECRET_CALLBACK stays undefined.
# FFDHE_3072: beside ffdhe2048 the only group of RFC 7919 that a handshake can afford. STATIC_RSA: DTLS resumes sessions of such
# suites; no context offers their key exchange. TLS_UNIQUE: keeps the Finished message of the peer, which STRAP of older clients signs.
flags="-O3 -fPIC -DKEEP_PEER_CERT -DWOLFSSL_STATIC_PSK -DHAVE_EXT_CACHE -DWOLFSSL_DTLS_WINDOW_WORDS=64 -DWOLFSSL_HAVE_TLS_UNIQUE -DHAVE_FFDHE_3072 -DWOLFSSL_STATIC_RSA"

# TLS and DTLS 1.2 draw 8 random bytes per record for an explicit nonce that AES-GCM then replaces by its own counter (RFC 5288
# section 3): two thirds of the cost of a DTLS record. The draw is left out for AEAD suites; the generator itself is untouched.
edit='s/ret = \(wc_RNG_GenerateBlock(ssl->rng, args->iv, args->ivSz)\);/ret = ssl->specs.cipher_type == aead ? 0 : \1;/'
# A DTLS ClientHello that ends in an empty block of extensions (two zero bytes, RFC 5246 section 7.4.1.2 allows it) is answered
# with decode_error: the block is looked for only where more than its length follows. Only wolfSSL's ParseClientHello is touched.
edit_hello='/^static int ParseClientHello(/,/^}/s/if (idx < helloSz - OPAQUE16_LEN) {/if (idx + OPAQUE16_LEN <= helloSz) {/'

# Every connection holds memory that most never use. All places of one such edit change, or none does.
# The key epochs of DTLS 1.3, 1.9 KB: only DTLS allocates them, and DTLS 1.2 frees them with the other memory of the handshake.
epochs_field='    Dtls13Epoch dtls13Epochs\[DTLS13_EPOCH_SIZE\];'
epochs_first='    ssl->dtls13Epochs\[0\]\.isValid = 1;'
epochs_last='    ssl->dtls13DecryptEpoch = &ssl->dtls13Epochs\[0\];'
epochs_end='    ForceZero(ssl->dtls13Epochs, sizeof(ssl->dtls13Epochs));'
epochs_unused='            DtlsMsgPoolReset(ssl);'
epochs_size='DTLS13_EPOCH_SIZE * sizeof(Dtls13Epoch)'
epochs_free="if (ssl->dtls13Epochs != NULL) {\\
    ForceZero(ssl->dtls13Epochs, $epochs_size);\\
    XFREE(ssl->dtls13Epochs, ssl->heap, DYNAMIC_TYPE_SSL);\\
    ssl->dtls13Epochs = NULL; ssl->dtls13EncryptEpoch = NULL; ssl->dtls13DecryptEpoch = NULL;\\
    }"
edit_field="s/^$epochs_field/    Dtls13Epoch* dtls13Epochs;/"
edit_epochs="
s/^$epochs_first/    if (ssl->options.dtls) {\\
    ssl->dtls13Epochs = (Dtls13Epoch*)XMALLOC($epochs_size, ssl->heap, DYNAMIC_TYPE_SSL);\\
    if (ssl->dtls13Epochs == NULL) return MEMORY_E;\\
    XMEMSET(ssl->dtls13Epochs, 0, $epochs_size);\\
&/
s/^$epochs_last/&\\
    }/
s/^$epochs_end/    $epochs_free/
/^void FreeHandshakeResources(/,/^}/s/^$epochs_unused/&\\
            $epochs_free/"
# The peer's certificate, 1.1 KB: allocated when one came.
peer_field='    WOLFSSL_X509     peerCert;'
peer_end='    FreeX509(&ssl->peerCert);'
peer_copy='^ *\/\* free old peer cert \*\/'
peer_read='if (ssl->peerCert.issuer.sz)'
edit_peer_field="s/^$peer_field/    WOLFSSL_X509*    peerCert;/"
edit_peer="
s/^$peer_end/&\\
    XFREE(ssl->peerCert, ssl->heap, DYNAMIC_TYPE_X509);\\
    ssl->peerCert = NULL;/
s/$peer_copy/if (ssl->peerCert == NULL) {\\
    ssl->peerCert = (WOLFSSL_X509*)XMALLOC(sizeof(WOLFSSL_X509), ssl->heap, DYNAMIC_TYPE_X509);\\
    if (ssl->peerCert == NULL) ERROR_OUT(MEMORY_E, exit_ppc);\\
    InitX509(ssl->peerCert, 0, ssl->heap);\\
    }/
s/$peer_read/if (ssl->peerCert != NULL \&\& ssl->peerCert->issuer.sz)/
s/&ssl->peerCert\>/ssl->peerCert/g
s/ssl->peerCert\./ssl->peerCert->/g"
# The random generator, 0.3 KB: after the handshake only suites other than AEAD draw from it.
rng_kept='    if (ssl->options.tls1_1 == 0$'
edit_rng="/^void FreeHandshakeResources(/,/^}/s/^$rng_kept/    if (ssl->options.tls1_1 == 0 || ssl->specs.cipher_type == aead/"

# The replay windows of DTLS, 0.5 KB: only DTLS allocates them.
windows_field='    WOLFSSL_DTLS_PEERSEQ peerSeq\[WOLFSSL_DTLS_PEERSEQ_SZ\];'
windows_first='    ssl->options.dtls = ssl->version.major == DTLS_MAJOR;'
windows_end='    ForceZero(&ssl->keys, sizeof(Keys));'
windows_clear='sizeof(ssl->keys.peerSeq))'
windows_size='WOLFSSL_DTLS_PEERSEQ_SZ * sizeof(WOLFSSL_DTLS_PEERSEQ)'
edit_windows_field="s/^$windows_field/    WOLFSSL_DTLS_PEERSEQ* peerSeq;/"
edit_windows="
s/^$windows_first/&\\
    if (ssl->options.dtls) {\\
    ssl->keys.peerSeq = (WOLFSSL_DTLS_PEERSEQ*)XMALLOC($windows_size, ssl->heap, DYNAMIC_TYPE_SSL);\\
    if (ssl->keys.peerSeq == NULL) return MEMORY_E;\\
    XMEMSET(ssl->keys.peerSeq, 0, $windows_size);\\
    }/
s/^$windows_end/    XFREE(ssl->keys.peerSeq, ssl->heap, DYNAMIC_TYPE_SSL);\\
&/
s/$windows_clear/$windows_size)/"
# What a ticket is made of, 0.5 KB, and the protocols on offer: a server of TLS 1.3 needs neither after its handshake. TLS 1.2 keeps both:
# its session names the connection to the caller, and a client may ask for another handshake, which is refused.
kept_extensions='    TLSX_Remove(&ssl->extensions, TLSX_EC_POINT_FORMATS, ssl->heap);'
edit_session="/^void FreeHandshakeResources(/,/^}/s/^$kept_extensions/&\\
    if (IsAtLeastTLSv1_3(ssl->version) \&\& !ssl->options.dtls \&\& ssl->options.side == WOLFSSL_SERVER_END) {\\
        TLSX_Remove(\&ssl->extensions, TLSX_APPLICATION_LAYER_PROTOCOL, ssl->heap);\\
        if (ssl->session != NULL)\\
            wolfSSL_FreeSession(ssl->ctx, ssl->session);\\
        ssl->session = NULL;\\
    }/"

# Data in wolfSSL's buffers is wiped after each record, in steps of 8 bytes between two full memory fences. The C library's explicit_bzero
# wipes as surely, and as wide as the processor can. Short fields are wiped as before: a call costs more there.
wipe_start='    unsigned long \*zl;'
edit_wipe="/^WC_MISC_STATIC WC_INLINE void ForceZero(/,/^}/s/^$wipe_start/&\\
\\
    if (len >= 128) {\\
        explicit_bzero(mem, len);\\
        return;\\
    }/"
# Each record in sequence shifts the replay window by one bit. The steps of the release depend on each other; these do not, so they become
# vector instructions. Shifts by a word or more are left as they are.
window_steps='        for (i = 0; i < WOLFSSL_DTLS_WINDOW_WORDS; i++) {'
edit_window="/^static void _DtlsUpdateWindowGTSeq(/,/^}/s/^$window_steps/        if (idx == 0) {\\
            for (i = 1; i < WOLFSSL_DTLS_WINDOW_WORDS; i++)\\
                window[i] = (oldWindow[i] << diff) | (oldWindow[i - 1] >> (DTLS_WORD_BITS - diff));\\
            window[0] = oldWindow[0] << diff;\\
        }\\
        else\\
&/"

say() { printf 'wolfssl: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

if [ -n "$given" ] && [ -d "$given" ]; then
    [ -f "$given/include/wolfssl/options.h" ] || die "OCSENTRY_WOLFSSL=$given has no include/wolfssl/options.h"
    printf '%s\n' "$given"
    exit 0
fi

# shellcheck disable=SC2086  # both are lists of words
key=$(printf '%s ' "$version" $switches $extra $flags "$edit" "$edit_hello" "$edit_field" "$edit_epochs" \
    "$edit_peer_field" "$edit_peer" "$edit_rng" "$edit_windows_field" "$edit_windows" "$edit_session" \
    "$edit_wipe" "$edit_window" "$(uname -m)" | sha256sum | cut -c1-12)
prefix=$cache/wolfssl-$version-$key
if [ -f "$prefix/.complete" ]; then
    printf '%s\n' "$prefix"
    exit 0
fi

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9                                  # two makes at once: the second waits and finds the first one's build
if [ -f "$prefix/.complete" ]; then
    printf '%s\n' "$prefix"
    exit 0
fi
rm -rf "$cache"/.build.*                 # of builds that were killed
work=$(mktemp -d "$cache/.build.XXXXXX")
trap 'rm -rf "$work"' EXIT

fetch() {                                # fetch TARBALL: through apt, into the cache
    archive=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' |
        awk '$1 !~ /-/ { print $2; exit }')
    [ -n "$archive" ] || die "apt knows no Debian archive; run apt-get update, or set OCSENTRY_WOLFSSL to a tarball"
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
    printf 'deb-src %s sid main\n' "$archive" >"$work/apt/sources.list"
    # A mirror's index may be past its date; the tarball is held to the pinned SHA-256 whatever the index says.
    set -- -o "Dir::State::Lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" -o Acquire::Check-Valid-Until=false \
        -o Acquire::Retries=5 -o "Dir::Etc::SourceList=$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root
    apt-get "$@" -qq update >&2 || die "apt could not read the source index of $archive"
    uri=$(apt-get "$@" --print-uris source wolfssl | awk -F"'" -v f="wolfssl_$version.orig.tar.gz" '$2 ~ f "$" { print $2 }')
    [ -n "$uri" ] || die "Debian no longer carries wolfssl_$version.orig.tar.gz; set OCSENTRY_WOLFSSL to that tarball"
    (cd "$work" && /usr/lib/apt/apt-helper -o APT::Sandbox::User=root -o Acquire::Retries=5 \
        download-file "$uri" "$work/tarball" "SHA256:$sha256" >&2) ||
        die "the download of $uri failed or did not match SHA-256 $sha256"
    mv "$work/tarball" "$cache/wolfssl-$version.tar.gz"
}

matches() { printf '%s  %s\n' "$sha256" "$1" | sha256sum --check --status; }

tarball=${given:-$cache/wolfssl-$version.tar.gz}
[ -n "$given" ] || [ ! -f "$tarball" ] || matches "$tarball" || rm "$tarball"   # half-written: fetched again
[ -f "$tarball" ] || { [ -z "$given" ] || die "OCSENTRY_WOLFSSL=$given is neither a prefix nor a tarball"; fetch; }
matches "$tarball" || die "$tarball does not match SHA-256 $sha256"

say "building $version into $prefix"
mkdir "$work/src"
tar -xzf "$tarball" -C "$work/src" --strip-components=1
cd "$work/src"
sed -i "$edit" src/internal.c
grep -q 'cipher_type == aead ? 0 : wc_RNG' src/internal.c || say "release $version builds records in another way; left as it is"
sed -i "$edit_hello" src/dtls.c
grep -q 'idx + OPAQUE16_LEN <= helloSz' src/dtls.c || say "release $version reads a ClientHello in another way; left as it is"
if grep -q "^$epochs_field" wolfssl/internal.h && grep -q "^$epochs_first" src/internal.c && grep -q "^$epochs_last" src/internal.c &&
    grep -q "^$epochs_end" src/internal.c && grep -q "^$epochs_unused" src/internal.c; then
    sed -i "$edit_field" wolfssl/internal.h
    sed -i "$edit_epochs" src/internal.c
else
    say "release $version keeps the epochs of DTLS 1.3 in another way; left as it is"
fi
if grep -q "^$peer_field" wolfssl/internal.h && grep -q "^$peer_end" src/internal.c && grep -q "$peer_copy" src/internal.c &&
    grep -qF "$peer_read" src/ssl.c; then
    sed -i "$edit_peer_field" wolfssl/internal.h
    sed -i "$edit_peer" src/*.c
else
    say "release $version keeps the peer's certificate in another way; left as it is"
fi
if grep -q "^$windows_field" wolfssl/internal.h && grep -q "^$windows_first" src/internal.c && grep -q "^$windows_end" src/internal.c &&
    grep -qF "$windows_clear" src/dtls.c; then
    sed -i "$edit_windows_field" wolfssl/internal.h
    sed -i "$edit_windows" src/internal.c src/dtls.c
else
    say "release $version keeps the windows of DTLS in another way; left as it is"
fi
sed -i "$edit_session" src/internal.c
grep -q 'TLSX_Remove(&ssl->extensions, TLSX_APPLICATION_LAYER' src/internal.c || say "release $version frees extensions in another way; left as it is"
sed -i "$edit_wipe" wolfcrypt/src/misc.c
grep -q 'explicit_bzero(mem, len)' wolfcrypt/src/misc.c || say "release $version wipes in another way; left as it is"
sed -i "$edit_window" src/internal.c
grep -q 'oldWindow\[i - 1\] >>' src/internal.c || say "release $version shifts its window in another way; left as it is"
sed -i "$edit_rng" src/internal.c
grep -q 'tls1_1 == 0 || ssl->specs.cipher_type == aead' src/internal.c || say "release $version frees its generator in another way; left as it is"
{
    [ -x configure ] || ./autogen.sh
    # shellcheck disable=SC2086
    ./configure --quiet --prefix="$prefix" $switches $extra CFLAGS="$flags"
    make -s -j"$(nproc)"
    rm -rf "$prefix"
    make -s install
} >"$work/log" 2>&1 || { tail -n 40 "$work/log" >&2; die "the build failed; its last lines are above"; }
touch "$prefix/.complete"
printf '%s\n' "$prefix"
