# SPDX-License-Identifier: GPL-3.0-or-later
"""Camouflage: peers that do not know the secret in the URL get the answers of a web server without a VPN.

Clients ask for ``https://host/?SECRET`` once. Later requests pass by the connection, by the cookie of a login under way
or of a session, or by the action of the form, which repeats the secret: AnyConnect forgets the query of its first URL.
"""

from __future__ import annotations

import hmac
from dataclasses import field
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.protocol.http import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Camouflage:
    """``realm`` empty: a refusal is 404, else a request for a password. ``knows_cookie`` is true for live sessions."""

    secret: str = field(repr=False)
    realm: str
    knows_cookie: Callable[[str], bool]

    def has_secret(self, query: str) -> bool:
        return hmac.compare_digest(query.encode(errors="replace"), self.secret.encode())

    def refusal(self) -> HttpResponse:
        """The answer to a peer without the secret, whatever it asks for."""
        if not self.realm:
            return HttpResponse(404, "Not Found", (("Content-Type", "text/plain"),), b"Not found\n", close=True)
        headers = (("WWW-Authenticate", f'Basic realm="{self.realm}"'), ("Content-Type", "text/plain"))
        return HttpResponse(401, "Unauthorized", headers, b"Unauthorized\n", close=True)
