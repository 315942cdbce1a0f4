# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins that wait for a browser. Pure: a bounded table, and the values that bind its steps to each other.

The client has the ``context`` in a URL, which it opens in a browser. The browser brings ``state`` back from the
provider, with a cookie of ours: another browser cannot end what this one began. What the browser then carries to the
client is a token that counts once, within a minute, in the login of its ``context``. The server never hands a result to
the client's connection itself: who approves somebody else's login would let that client in.
"""

from __future__ import annotations

import secrets
from dataclasses import field
from hmac import compare_digest
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.fair_table import FairTable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from vpn_frontend.auth.oidc.identity import Identity

MAX_LOGINS = 4096  # the oldest of the source with the most is forgotten
TOKEN_LIFETIME = 60.0  # seconds from the browser's return to the client's reply
TOKEN_SIZE = 32  # bytes, sent in hexadecimal: openconnect takes letters and digits only


@dataclass(slots=True)
class BrowserLogin:
    """One login. ``recipient``: the key of a client that waits for an external browser; ``None``: an embedded one."""

    began: float
    host: str  # as the client and the browser name this server
    recipient: EllipticCurvePublicKey | None
    context: str = field(default_factory=lambda: secrets.token_hex(32))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))  # of PKCE (RFC 7636)
    browser: str = ""  # value of the cookie of the browser that began
    returned: bool = False  # the browser came back from the provider
    token: str = ""
    token_until: float = 0.0
    result: Identity | str = ""  # text: why it failed

    def is_browser(self, cookie: str) -> bool:
        """True if ``cookie`` is that of the browser that began."""
        return bool(self.browser) and compare_digest(self.browser.encode(), cookie.encode())

    def finish(self, result: Identity | str, now: float) -> str:
        """Note the result. Returns the token that the client gets it for."""
        self.result, self.token, self.token_until = result, secrets.token_hex(TOKEN_SIZE), now + TOKEN_LIFETIME
        return self.token


class BrowserLogins:
    """All logins that wait. Each lives for ``timeout`` seconds. ``now`` is monotonic."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._logins: FairTable[BrowserLogin] = FairTable()  # by context
        self._contexts: dict[str, str] = {}  # by state

    def __len__(self) -> int:
        return len(self._logins)

    def begin(
        self, host: str, recipient: EllipticCurvePublicKey | None, now: float, source: bytes = b""
    ) -> BrowserLogin:
        """``source``: of the client. It needs to show nothing for a login, so those of one source are bounded first."""
        login = BrowserLogin(now, host, recipient)
        while (oldest := self._logins.oldest()) is not None and now - oldest[1].began >= self._timeout:
            self._forget(oldest[0])
        self._logins.add(login.context, login, source)
        self._contexts[login.state] = login.context
        for forgotten in self._logins.shrink(MAX_LOGINS):
            del self._contexts[forgotten.state]
        return login

    def find(self, context: str, now: float) -> BrowserLogin | None:
        login = self._logins.get(context)
        return login if login is not None and now - login.began < self._timeout else None

    def find_returned(self, state: str, cookie: str, now: float) -> BrowserLogin | None:
        """The login whose browser comes back with ``state``, the first time only."""
        login = self.find(self._contexts.get(state, ""), now)
        if login is None or login.returned or not login.is_browser(cookie):
            return None
        login.returned = True
        return login

    def redeem(self, context: str, token: str, now: float) -> Identity | str | None:
        """The result for a token, which ends the login. ``None``: the token is wrong, old, or was used."""
        login = self.find(context, now)
        self._forget(context)
        if login is None or not login.token or now >= login.token_until:
            return None
        return login.result if compare_digest(login.token.encode(), token.encode()) else None

    def _forget(self, context: str) -> None:
        login = self._logins.pop(context)
        if login is not None:
            self._contexts.pop(login.state, None)
