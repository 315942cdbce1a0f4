# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of a peer before its tunnel, in pieces of any size: requests, CONNECT headers, cookies."""

import sys

import atheris

with atheris.instrument_imports():
    from vpn_frontend.protocol.browser_pages import page
    from vpn_frontend.protocol.camouflage import Camouflage
    from vpn_frontend.protocol.client_offer import MAX_HOST, MAX_KEY
    from vpn_frontend.protocol.connect_response import negotiate_mtu
    from vpn_frontend.protocol.connection import (
        CheckLogin,
        Close,
        Connection,
        LoginShape,
        OpenTunnel,
        PortalConfig,
        ShowPage,
    )
    from vpn_frontend.protocol.constants import MAX_FIELDS, MIN_MTU
    from vpn_frontend.protocol.login_attempts import LoginAttempts
    from vpn_frontend.protocol.login_form import Field, Form
    from vpn_frontend.sessions.cookies import CookieJar

PORTALS = [
    PortalConfig(LoginAttempts(240), attempts=3, groups=("staff",), certificate_sha1="", **more)
    for more in (
        {},
        {"shape": LoginShape(begins_at_init=True, form_has_code=True), "has_browser_pages": True},
        {"camouflage": Camouflage("s", "realm", lambda cookie: cookie == "c"), "has_browser_pages": True},
    )
]
CODE_FORM = Form((Field("answer"),))
JAR = CookieJar()
JAR.issue("session")


def fuzz_one(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    connection = Connection(provider.PickValueInList(PORTALS))
    while provider.remaining_bytes() and not connection.over:
        for effect in connection.receive(provider.ConsumeBytes(provider.ConsumeIntInRange(1, 4096)), 0.0):
            match effect:
                case ShowPage():
                    connection.page_shown(page("Done."))
                case CheckLogin(message, state=state, offer=offer):
                    assert len(offer.host) <= MAX_HOST
                    assert len(offer.strap_key) <= MAX_KEY
                    assert state in (None, "state")
                    assert len(message.fields) <= MAX_FIELDS
                    if provider.ConsumeBool():
                        connection.login_challenged(CODE_FORM, "state", 0.0)
                    else:
                        connection.login_refused("no", 0.0)
                case OpenTunnel(cookie, request):
                    assert JAR.find(cookie) is None
                    assert MIN_MTU <= negotiate_mtu(1400, request, outer_ipv6=False) <= 1400
                    connection.tunnel_refused()
                case Close():
                    assert connection.over


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
