# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that client, browser and server share in a login in the browser, and the pages as responses."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Protocol

from vpn_frontend.protocol.http import HttpResponse

if TYPE_CHECKING:
    from vpn_frontend.protocol.http_fast_path import HttpRequest

LOGIN_PATH = "/+CSCOE+/saml/sp/login"  # where the client sends the browser
FINAL_PATH = "/+CSCOE+/saml_ac_login.html"  # where an embedded browser stops
CALLBACK_PATH = "/+CSCOE+/oidc/callback"  # where the provider sends the browser back
PATHS = frozenset({LOGIN_PATH, FINAL_PATH, CALLBACK_PATH})
TOKEN_COOKIE = "acSamlv2Token"  # noqa: S105 - the name of a cookie
ERROR_COOKIE = "acSamlv2Error"
BROWSER_COOKIE = "__Host-ocsentry-browser"  # ties the way back to the browser that began
HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)


class BrowserPages(Protocol):
    async def show(self, request: HttpRequest) -> HttpResponse:
        """The response to a GET of one of ``PATHS``."""


def page(text: str, *, status: int = 200, cookies: tuple[str, ...] = ()) -> HttpResponse:
    """A page with one sentence."""
    body = f"<!doctype html><title>VPN</title><p>{escape(text)}</p>\n".encode()
    return HttpResponse(status, "OK" if status == 200 else "Bad Request", (*HEADERS, *_set(cookies)), body)


def redirect(url: str, *, cookies: tuple[str, ...] = ()) -> HttpResponse:
    return HttpResponse(302, "Found", (*HEADERS, ("Location", url), *_set(cookies)), b"")


def _set(cookies: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple(("Set-Cookie", cookie) for cookie in cookies)
