# SPDX-License-Identifier: GPL-3.0-or-later
"""What the signer signs, and what it refuses."""

from __future__ import annotations

import errno
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

from tests.vpn_frontend.native.signing.conftest import ANSWER, HEAD, KEY, Signers
from vpn_frontend._gateway import ffi, lib
from vpn_frontend.gateway.certificates.server_certificate import parse_certificate

ECDSA, PKCS1, PSS, ED25519 = 1, 2, 3, 4
DIGEST = hashlib.sha256(b"a transcript").digest()
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")  # RFC 8017, section 9.2
SERIAL = 0x1122334455667788
MESSAGE_MAX = 512


@pytest.fixture(scope="module")
def signers(pairs):
    made = Signers()
    for number, kind in enumerate(("p256", "rsa", "ed25519"), start=KEY):
        made.add(parse_certificate(*pairs[kind]), number)
    yield made
    made.close()


P256, RSA, ED = KEY, KEY + 1, KEY + 2


def ask(signers, key, scheme, data, size=None):
    answered = signers.sign(HEAD.pack(SERIAL, key, scheme, len(data) if size is None else size) + data)
    serial, status, length = ANSWER.unpack(answered[: ANSWER.size])
    signature = answered[ANSWER.size :]
    assert (serial, length) == (SERIAL, len(signature))
    return status, signature


def public(pairs, kind):
    return x509.load_pem_x509_certificates(pairs[kind][0])[0].public_key()


def test_signatures_are_those_of_the_certificate_s_key(signers, pairs):
    whole = utils.Prehashed(hashes.SHA256())
    status, signature = ask(signers, P256, ECDSA, DIGEST)
    public(pairs, "p256").verify(signature, DIGEST, ec.ECDSA(whole))
    assert status == 0
    _, signature = ask(signers, RSA, PKCS1, SHA256_INFO + DIGEST)
    public(pairs, "rsa").verify(signature, DIGEST, padding.PKCS1v15(), whole)
    _, signature = ask(signers, RSA, PSS, DIGEST)
    public(pairs, "rsa").verify(signature, DIGEST, padding.PSS(padding.MGF1(hashes.SHA256()), 32), whole)
    _, signature = ask(signers, ED, ED25519, b"a message")
    public(pairs, "ed25519").verify(signature, b"a message")


@pytest.mark.parametrize(
    ("key", "scheme", "data"),
    [
        (P256, ECDSA, DIGEST[:-1]),
        (P256, ECDSA, b""),
        (P256, PSS, DIGEST),
        (P256, ED25519, DIGEST),
        (RSA, ECDSA, DIGEST),
        (RSA, PKCS1, DIGEST),
        (RSA, PKCS1, SHA256_INFO + DIGEST + b"x"),
        (RSA, PKCS1, b"\x00" + SHA256_INFO + DIGEST),
        (RSA, PKCS1, SHA256_INFO[:-1] + b"\x21" + DIGEST),
        (RSA, PSS, hashlib.sha1(b"", usedforsecurity=False).digest()),
        (ED, ED25519, b""),
        (ED, ECDSA, DIGEST),
        (P256, 0, DIGEST),
        (P256, 5, DIGEST),
    ],
    ids=[
        "short digest", "no digest", "pss with ecdsa", "ed25519 with ecdsa", "ecdsa with rsa", "raw rsa",
        "digest info and more", "more and digest info", "lying digest info", "pss of sha1", "no message",
        "ecdsa with ed25519", "no scheme",
        "unknown scheme",
    ],
)  # fmt: skip
def test_what_is_not_on_the_list_is_refused(signers, key, scheme, data):
    assert ask(signers, key, scheme, data) == (-errno.EPERM, b"")


def test_an_unknown_key_is_refused(signers):
    assert ask(signers, KEY + 9, ECDSA, DIGEST) == (-errno.ENOENT, b"")


@pytest.mark.parametrize(
    ("data", "size"),
    [(DIGEST, 31), (DIGEST, 33), (DIGEST, 2**32 - 1), (b"x" * (MESSAGE_MAX + 1), None), (b"x" * 4096, None)],
    ids=["more than named", "less than named", "size of 4 GiB", "over the bound", "far over the bound"],
)
def test_a_packet_that_lies_of_its_size_is_refused(signers, data, size):
    assert ask(signers, ED, ED25519, data, size) == (-errno.EINVAL, b"")


def test_a_packet_without_a_head_is_refused_and_the_next_is_served(signers):
    assert ANSWER.unpack(signers.sign(b"x" * (HEAD.size - 1))) == (0, -errno.EINVAL, 0)
    assert ask(signers, P256, ECDSA, DIGEST)[0] == 0


@pytest.mark.parametrize(
    ("kind", "der"), [(2, b""), (2, b"x"), (1, b"\x30\x00"), (0, b"x"), (6, b"x"), (5, b"x" * 20000)]
)
def test_what_is_no_private_key_is_refused_in_words(kind, der):
    signer, error = lib.gw_signer_new(), ffi.new("char[]", 256)
    assert lib.gw_signer_add(signer, KEY, kind, der, len(der), error, 256) == -errno.EINVAL
    assert b"private key" in ffi.string(error)
    lib.gw_signer_free(signer)


def test_a_number_that_is_given_again_is_the_new_key(pairs):
    made = Signers()
    for kind in ("rsa", "p256"):
        made.add(parse_certificate(*pairs[kind]), KEY)
    assert ask(made, KEY, ECDSA, DIGEST)[0] == 0
    made.forget(KEY + 1)
    assert ask(made, KEY, ECDSA, DIGEST)[0] == -errno.ENOENT
    made.close()
