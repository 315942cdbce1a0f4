# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of a login in the browser: to the provider, back from it, and the last one."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

import httpx

from vpn_frontend.auth.oidc.browser_logins import BrowserLogin, BrowserLogins
from vpn_frontend.auth.oidc.claims import OidcClaims
from vpn_frontend.auth.oidc.identity import Identity, read_identity
from vpn_frontend.auth.oidc.provider import OidcProvider
from vpn_frontend.auth.oidc.signing_keys import ProviderError
from vpn_frontend.auth.oidc.token_seal import seal_token
from vpn_frontend.ports import EventSink, VpnEvent
from vpn_frontend.protocol.browser_pages import (
    BROWSER_COOKIE,
    CALLBACK_PATH,
    ERROR_COOKIE,
    FINAL_PATH,
    LOGIN_PATH,
    TOKEN_COOKIE,
    page,
    redirect,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vpn_frontend.protocol.http import HttpResponse
    from vpn_frontend.protocol.http_fast_path import HttpRequest

CLIENT_URL = "http://localhost:29786/api/sso/"  # where a client waits for its external browser
MAX_FIELDS = 32  # of a query
DEADLINE = 20.0  # seconds for the provider
FAILURES = (ProviderError, httpx.HTTPError, httpx.InvalidURL, TimeoutError)
FAILED = "The login at the identity provider failed."
GONE = "This login has ended. Please start again in the VPN client."
DONE = "You are logged in. You may close this window."


class OidcPages:
    """Implements ``BrowserPages``. ``clock`` is monotonic."""

    def __init__(
        self,
        provider: OidcProvider,
        logins: BrowserLogins,
        claims: OidcClaims,
        *,
        events: EventSink,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._logins = logins
        self._claims = claims
        self._events = events
        self._clock = clock

    async def show(self, request: HttpRequest) -> HttpResponse:
        try:
            query = {name: values[0] for name, values in parse_qs(request.query, max_num_fields=MAX_FIELDS).items()}
        except ValueError:
            return page(GONE, status=400)
        cookie = request.cookie(BROWSER_COOKIE)
        if request.path == LOGIN_PATH:
            return await self._begin(query.get("ctx", ""), cookie)
        if request.path == CALLBACK_PATH:
            return await self._return(query, cookie)
        return page(DONE)

    async def _begin(self, context: str, cookie: str) -> HttpResponse:
        login = self._logins.find(context, self._clock())
        if login is None or login.returned or (login.browser and not login.is_browser(cookie)):
            return page(GONE, status=400)
        login.browser = login.browser or secrets.token_urlsafe(32)
        claims = self._claims
        try:
            async with asyncio.timeout(DEADLINE):
                url = await self._provider.authorization_url(
                    redirect_uri=_callback(login), state=login.state, nonce=login.nonce, verifier=login.verifier,
                    scopes=claims.scopes,
                )  # fmt: skip
        except FAILURES as error:
            login.returned = True
            return self._finish(login, self._report(error))
        return redirect(url, cookies=(f"{BROWSER_COOKIE}={login.browser}; Path=/; Secure; HttpOnly; SameSite=Lax",))

    async def _return(self, query: Mapping[str, str], cookie: str) -> HttpResponse:
        login = self._logins.find_returned(query.get("state", ""), cookie, self._clock())
        if login is None:
            return page(GONE, status=400)
        if "code" not in query:
            return self._finish(login, self._report(ProviderError(f"refused: {query.get('error', '')[:100]!r}")))
        try:
            async with asyncio.timeout(DEADLINE):
                claims = await self._provider.fetch_claims(
                    code=query["code"], verifier=login.verifier, redirect_uri=_callback(login), nonce=login.nonce
                )
            return self._finish(login, read_identity(claims, self._claims))
        except FAILURES as error:
            return self._finish(login, self._report(error))

    def _finish(self, login: BrowserLogin, result: Identity | str) -> HttpResponse:
        """Send the browser to its client with a token. It stands for a failure too: the client has no other way."""
        token = login.finish(result, self._clock())
        final = f"https://{login.host}{FINAL_PATH}"
        if login.recipient is not None:
            blob = base64.b64encode(seal_token(token, login.recipient)).decode()
            return redirect(f"{CLIENT_URL}{quote(blob, safe='')}?return={quote(final, safe='')}")
        if isinstance(result, str):
            return redirect(final, cookies=(f"{ERROR_COOKIE}=failed; Path=/; Secure", _cleared(TOKEN_COOKIE)))
        return redirect(final, cookies=(f"{TOKEN_COOKIE}={token}; Path=/; Secure", _cleared(ERROR_COOKIE)))

    def _report(self, error: Exception) -> str:
        self._events.emit(VpnEvent.BACKEND_FAILED, what="oidc", error=str(error) or type(error).__name__)
        return FAILED


def _callback(login: BrowserLogin) -> str:
    return f"https://{login.host}{CALLBACK_PATH}"


def _cleared(cookie: str) -> str:
    return f"{cookie}=; Path=/; Max-Age=0; Secure"
