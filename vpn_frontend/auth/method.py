# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of an authentication method.

A login is an exchange of rounds: ``begin`` gets the client's first request or its reply to the first form, ``answer``
the reply to each challenge. Rounds may come over different connections, so a method keeps nothing about a login
itself: its state is in the ``Challenge`` and comes back with the reply.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Protocol

from sentry_engine.records import dataclass
from vpn_frontend.protocol.client_offer import NO_OFFER, ClientOffer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.auth.result import Outcome, Pending
    from vpn_frontend.ports import UserRecord
    from vpn_frontend.settings import Address


@dataclass(slots=True)  # not frozen: one is made per request, and frozen fields are slow to set
class LoginRequest:
    """What a client presents to log in. Not authenticated, except ``user`` and ``peer_certificate``.

    Without ``submitted`` it is the client's first request, which has no user name and no fields, and ``offer`` says
    what the client can do. ``context`` is the value of the context cookie: a login keeps it over its connections.

    ``fields`` are all submitted fields, by the client's names. ``user`` is the user whom an earlier method of the same
    login has accepted. ``peer_certificate`` is the DER that TLS has verified on this connection; empty: none.
    """

    username: str
    password: str = field(repr=False)
    group: str
    address: Address
    user_agent: str = ""
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    peer_certificate: bytes = b""
    user: UserRecord | None = None
    submitted: bool = True
    offer: ClientOffer = NO_OFFER
    context: str = field(default="", repr=False)
    device_id: str = field(default="", repr=False)  # of the client's description of its machine

    def without_secrets(self) -> LoginRequest:
        """The login as it is kept between rounds. A method behind a challenge sees no password and no certificate."""
        offer = self.offer
        if offer.negotiate_token or offer.bearer:
            offer = replace(offer, negotiate_token=b"", bearer="")
        return replace(self, password="", fields={}, peer_certificate=b"", offer=offer)


class Method(Protocol):
    """One way to authenticate.

    An outcome that needs no waiting is returned at once, any other as ``Pending``. A method bounds what it starts: its
    own queue, its own deadline. An exception counts as ``Unavailable``. Each ``Refused`` counts as one failure, unless
    it is not ``scored``.
    """

    @property
    def name(self) -> str:
        """The word of ``auth.methods``."""

    @property
    def backend(self) -> str:
        """What the method asks, as ``backend_failed`` events name it."""

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        """Check what came with the first form.

        For a login that is not ``submitted`` a method that needs the form returns ``FirstForm``.
        """

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:
        """Check the reply to the challenge that had ``state``. The method picks the fields it asked for.

        Clients send ``answer`` and ``whichpin`` back as ``password``. A round of HTTP Negotiate has the token, in
        base64, as ``NEGOTIATE_FIELD``.
        """
