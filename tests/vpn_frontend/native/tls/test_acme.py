# SPDX-License-Identifier: GPL-3.0-or-later
"""Validations by ACME servers (RFC 8737): who gets the challenge certificate, and that nothing else changes."""

from __future__ import annotations

import ssl
from dataclasses import replace

import pytest

from vpn_frontend.gateway.certificates.acme_challenges import AcmeChallenges
from vpn_frontend.gateway.certificates.server_certificate import parse_certificate
from vpn_frontend.gateway.interface import ConnectionUp, GatewayError, TlsHost

NAME = "vpn.test"
AUTHORIZATION = "token.thumbprint"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture
def challenges(bench):
    made = AcmeChallenges(bench.gateway)
    made.put(NAME, AUTHORIZATION, 0.0)
    return made


def context(*protocols, version=V13):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_alpn_protocols(protocols)
    made.minimum_version = made.maximum_version = version
    return made


def shown(client):
    return ssl.DER_cert_to_PEM_cert(client.tls.getpeercert(binary_form=True)).encode()


@pytest.mark.parametrize("version", [V12, V13])
def test_a_validation_gets_the_challenge_and_the_connection_ends(bench, challenges, ecdsa_pair, version):
    client = bench.client(server_name="VPN.test", context=context("acme-tls/1", version=version))
    assert client.tls.selected_alpn_protocol() == "acme-tls/1"
    assert shown(client) != ecdsa_pair[0]
    assert client.at_end()
    assert bench.wait_stat("acme_validations") == 1
    _, up = bench.connected()  # the first connection that Python hears of
    assert up.server_name == NAME
    assert not any(isinstance(event, ConnectionUp) for event in bench.seen)
    assert bench.gateway.stats()["handshakes_done"] == 1


@pytest.mark.parametrize(
    ("name", "protocols"),
    [
        (NAME, ["http/1.1"]),
        (NAME, ["http/1.1", "acme-tls/1"]),
        (NAME, ["acme-tls/1", "http/1.1"]),
        ("other.test", ["acme-tls/1"]),
        (None, ["acme-tls/1"]),
    ],
)
def test_everything_else_gets_the_servers_certificate(bench, challenges, ecdsa_pair, name, protocols):
    client, _ = bench.connected(server_name=name, context=context(*protocols))
    assert shown(client) == ecdsa_pair[0]
    assert client.tls.selected_alpn_protocol() != "acme-tls/1"
    client.send(b"GET / HTTP/1.1\r\n\r\n")


def test_without_a_challenge_a_validation_sees_a_server_like_any_other(bench, challenges, ecdsa_pair):
    assert challenges.remove(NAME)
    client, _ = bench.connected(server_name=NAME, context=context("acme-tls/1"))
    assert (shown(client), client.tls.selected_alpn_protocol()) == (ecdsa_pair[0], None)


def test_tickets_of_clients_outlive_a_challenge(bench, ecdsa_pair):
    """The certificates of the hosts are not touched, so clients go on resuming."""
    before, _ = bench.connected(version=V12)
    session = before.tls.session
    AcmeChallenges(bench.gateway).put(NAME, AUTHORIZATION, 0.0)
    _, up = bench.connected(version=V12, session=session, context=before.context)
    assert up.resumed


def test_a_certificate_that_cannot_be_used_changes_nothing(bench, challenges, ecdsa_pair):
    broken = TlsHost((replace(parse_certificate(*ecdsa_pair), key=b"no key"),), name="other.test")
    with pytest.raises(GatewayError, match="the private key cannot be read"):
        bench.gateway.set_acme_challenges((broken,))
    client = bench.client(server_name=NAME, context=context("acme-tls/1"))
    assert client.tls.selected_alpn_protocol() == "acme-tls/1"
