# SPDX-License-Identifier: GPL-3.0-or-later
"""``Authorization: Negotiate``: any header gives a bounded token or none, any principal a sound user or a refusal."""

import asyncio
import base64
import sys
from ipaddress import ip_address

import atheris

with atheris.instrument_imports():
    from vpn_frontend.auth.certificate.identity import MAX_NAME_BYTES
    from vpn_frontend.auth.gssapi.acceptor import MAX_ROUNDS, MAX_TOKEN, TicketAccepted, TokenWanted
    from vpn_frontend.auth.gssapi.method import GssapiMethod
    from vpn_frontend.auth.method import LoginRequest
    from vpn_frontend.auth.result import Accepted, Negotiate, Pending
    from vpn_frontend.protocol.client_offer import NEGOTIATE_FIELD, read_negotiate, read_offer
    from vpn_frontend.protocol.config_auth import parse_message
    from vpn_frontend.protocol.http import HttpConnection, HttpError
    from vpn_frontend.testing import MemoryDirectory

INIT = parse_message(b'<config-auth client="vpn" type="init"><version who="vpn">9</version></config-auth>', "")
REALM = "EXAMPLE.ORG"
LOOP = asyncio.new_event_loop()


class Acceptor:
    """Asks for another token a few times, then finds a ticket of ``principal``."""

    def __init__(self, rounds: int, principal: str) -> None:
        self.tokens: list[bytes] = []
        self._rounds, self._principal = rounds, principal

    async def accept(self, token: bytes, context: int | None = None) -> TicketAccepted | TokenWanted:
        assert (context is None) is (not self.tokens)
        self.tokens.append(token)
        if len(self.tokens) <= self._rounds:
            return TokenWanted(7, b"more")
        return TicketAccepted(self._principal, REALM, b"")


def fuzz_one(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    rounds, encoded = provider.ConsumeIntInRange(0, MAX_ROUNDS + 2), provider.ConsumeBool()
    principal, value = provider.ConsumeUnicodeNoSurrogates(80), provider.ConsumeBytes(2 * MAX_TOKEN)
    header = b"Negotiate " + base64.b64encode(value) if encoded else value
    try:
        request = HttpConnection().receive(b"POST / HTTP/1.1\r\nHost: vpn\r\nAuthorization: " + header + b"\r\n\r\n")
    except HttpError:
        return
    if request is None:
        return
    offer = read_offer(request, INIT)
    if encoded:
        assert offer.negotiate_token == value, "base64 is read as it was written"
    acceptor = Acceptor(rounds, principal)
    method = GssapiMethod(MemoryDirectory(), acceptor)
    outcome = method.begin(LoginRequest("", "", "", ip_address("192.0.2.1"), submitted=False, offer=offer))
    while isinstance(outcome, Pending):
        outcome = LOOP.run_until_complete(outcome.wait())
        if isinstance(outcome, Negotiate):
            outcome = method.answer(outcome.state, {NEGOTIATE_FIELD: read_negotiate(request)})
    assert len(acceptor.tokens) <= MAX_ROUNDS
    assert all(0 < len(token) <= MAX_TOKEN for token in acceptor.tokens)
    if isinstance(outcome, Accepted):
        name = outcome.user.name
        assert f"{name}@{REALM}" == principal
        assert name.isprintable()
        assert 0 < len(name.encode()) <= MAX_NAME_BYTES


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
