# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers of CONNECT: numbers, names, suites, secrets and the cookie."""

import sys

import atheris

with atheris.instrument_imports():
    from vpn_frontend.protocol.auth_forms import header_text
    from vpn_frontend.protocol.connect_request import parse_tunnel_request
    from vpn_frontend.protocol.dtls_negotiation import choose_dtls
    from vpn_frontend.protocol.http_fast_path import HttpRequest
    from vpn_frontend.sessions.cookies import COOKIE_LENGTH, digest_of
    from vpn_frontend.sessions.sealed_cookies import decode

NAMES = (
    "x-cstp-base-mtu", "x-cstp-mtu", "x-cstp-hostname", "x-cstp-address-type", "x-cstp-full-ipv6-capability",
    "x-dtls-master-secret", "x-dtls-ciphersuite", "x-dtls12-ciphersuite", "x-cstp-license", "cookie", "user-agent",
    "x-anyconnect-identifier-platform", "x-anyconnect-identifier-device-uniqueid",
)  # fmt: skip


def fuzz_one(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    headers = tuple(
        (NAMES[provider.ConsumeIntInRange(0, len(NAMES) - 1)], provider.ConsumeBytes(300).decode("latin-1"))
        for _ in range(provider.ConsumeIntInRange(0, 12))
    )
    wire = HttpRequest("CONNECT", "/CSCOSSLC/tunnel", "", headers, b"")
    request = parse_tunnel_request(wire)
    for mtu in (request.base_mtu, request.mtu):
        assert mtu is None or 800 <= mtu <= 16384
    assert len(request.master_secret) in (0, 48)
    assert header_text(request.user_agent) == request.user_agent
    choose_dtls(request, bytes(32))
    cookie = wire.cookie("webvpn")
    assert digest_of(cookie) is None or len(cookie) == COOKIE_LENGTH or decode(cookie) is not None


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
