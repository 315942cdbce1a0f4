# SPDX-License-Identifier: GPL-3.0-or-later
"""Cipher suites: the server's preference, and key exchanges over finite fields with their budget."""

from __future__ import annotations

import socket
import ssl

import pytest

from lab.timeouts import TIMEOUT
from vpn_frontend.settings import DEFAULT_CIPHERS

DHE = ("-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256")
BUDGET = 20  # GW_DHE_PER_SECOND


def test_the_list_is_that_of_the_documentation():
    assert DEFAULT_CIPHERS == (
        "TLS13-AES256-GCM-SHA384", "TLS13-AES128-GCM-SHA256", "TLS13-CHACHA20-POLY1305-SHA256",
        "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256",
        "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ciphers", "offered", "chosen"),
    [
        (DEFAULT_CIPHERS, ("-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"),
         "TLS_AES_128_GCM_SHA256"),
        (DEFAULT_CIPHERS, ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"),
         "ECDHE-RSA-AES256-GCM-SHA384"),
        (("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"), ("-tls1_2",), "ECDHE-RSA-AES128-GCM-SHA256"),
    ],
    ids=["tls13", "tls12", "configured"],
)  # fmt: skip
def test_the_server_prefers_its_own_sequence(start, rsa_pair, openssl, ciphers, offered, chosen):
    assert f"Cipher is {chosen}" in openssl(start(pair=rsa_pair, ciphers=ciphers).port, *offered)


def test_a_suite_that_is_not_configured_is_refused(start, rsa_pair, openssl):
    bench = start(pair=rsa_pair, ciphers=("TLS13-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"))
    assert "handshake failure" in openssl(bench.port, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")


@pytest.mark.parametrize(
    ("offered", "answer"),
    [
        (DHE, ("Cipher is DHE-RSA-AES256-GCM-SHA384", "Server Temp Key: DH, 2048 bits")),
        (("-tls1_3", "-groups", "ffdhe3072"), ("Cipher is TLS_AES_256_GCM_SHA384", "Server Temp Key: DH, 3072 bits")),
    ],
    ids=["tls12", "tls13"],
)
def test_a_client_without_curves_is_served(start, rsa_pair, openssl, offered, answer):
    """OpenSSL names no group of RFC 7919 for TLS 1.2: then ffdhe2048 is used."""
    printed = openssl(start(pair=rsa_pair).port, *offered)
    assert all(text in printed for text in answer)


def test_dhe_needs_an_rsa_certificate(start, openssl):
    assert "handshake failure" in openssl(start().port, *DHE)


def dhe_hello():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DHE-RSA-AES256-GCM-SHA384")
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()


def test_beyond_the_budget_dhe_is_refused_and_others_are_not(start, rsa_pair):
    bench, hello = start(pair=rsa_pair), dhe_hello()
    answers = []
    for _ in range(10 * BUDGET):
        with socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT) as raw:
            raw.sendall(hello)
            answers.append(raw.recv(1))
    refused = bench.gateway.stats()["handshakes_over_budget"]
    assert refused > 0
    assert (answers.count(b""), answers.count(b"\x16")) == (refused, len(answers) - refused)
    assert len(answers) - refused >= BUDGET - 1
    bench.connected()
