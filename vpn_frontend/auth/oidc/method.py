# SPDX-License-Identifier: GPL-3.0-or-later
"""The method ``oidc``: the client opens a browser, and replies with the token that the browser brings back."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Literal

from sentry_engine.records import dataclass
from vpn_frontend.auth.external_user import find_external_user
from vpn_frontend.auth.password.source_standing import source_key
from vpn_frontend.auth.result import Accepted, Challenge, Pending, Refused
from vpn_frontend.protocol.browser_pages import FINAL_PATH, LOGIN_PATH
from vpn_frontend.protocol.client_family import ClientFamily, client_family
from vpn_frontend.protocol.client_offer import read_p256_key
from vpn_frontend.protocol.login_form import BROWSER_TOKEN, BrowserRequest, Field, FieldKind, Form

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vpn_frontend.auth.method import LoginRequest
    from vpn_frontend.auth.oidc.browser_logins import BrowserLogins
    from vpn_frontend.auth.oidc.identity import Identity
    from vpn_frontend.auth.oidc.pages import OidcPages
    from vpn_frontend.auth.result import Outcome
    from vpn_frontend.ports import UserDirectory

EMBEDDED, EXTERNAL = "single-sign-on-v2", "single-sign-on-external-browser"  # words of a client's capabilities
NO_BROWSER = "This VPN needs a login in the browser, which this client does not offer."
PROMPT = "Please complete the authentication process in the browser window."
Browser = Literal["auto", "external", "embedded"]


@dataclass(frozen=True, slots=True)
class InBrowser:
    """A login that waits for its browser."""

    context: str


class OidcMethod:
    """``browser``: which one clients are asked to open; ``auto``: openconnect an external one, others their own."""

    name = "oidc"
    backend = "identity provider"

    def __init__(
        self,
        users: UserDirectory,
        logins: BrowserLogins,
        pages: OidcPages,
        *,
        browser: Browser = "auto",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pages = pages
        self._users = users
        self._logins = logins
        self._browser = browser
        self._clock = clock

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        offer = login.offer
        recipient = read_p256_key(offer.strap_dh_key) if offer.strap_dh_key else None
        external = EXTERNAL in offer.methods and recipient is not None and self._prefers_external(login)
        if login.submitted or not offer.host or not (external or EMBEDDED in offer.methods):
            return Refused(NO_BROWSER, "no_browser", scored=False)
        waiting = self._logins.begin(
            offer.host, recipient if external else None, self._clock(), source_key(login.address)
        )
        base = f"https://{offer.host}"
        request = BrowserRequest(
            f"{base}{LOGIN_PATH}?ctx={waiting.context}&acsamlcap=v2", f"{base}{FINAL_PATH}", external
        )
        form = Form((Field(BROWSER_TOKEN, FieldKind.BROWSER),), PROMPT, browser=request)
        return Challenge(form, InBrowser(waiting.context))

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:
        if not isinstance(state, InBrowser):
            raise TypeError(f"a state of {type(state).__name__}")
        result = self._logins.redeem(state.context, fields.get(BROWSER_TOKEN, ""), self._clock())
        if result is None:
            return Refused("The login in the browser was not completed.", "wrong_token", final=True)
        if isinstance(result, str):
            return Refused(result, "provider_refused", final=True, scored=False)
        return Pending(partial(self._accept, result))

    async def _accept(self, identity: Identity) -> Outcome:
        user = await find_external_user(self._users, identity.user, identity.groups)
        return Accepted(user, user.groups)

    def _prefers_external(self, login: LoginRequest) -> bool:
        if self._browser == "auto":
            return client_family(login.user_agent) is ClientFamily.OPENCONNECT
        return self._browser == "external"
