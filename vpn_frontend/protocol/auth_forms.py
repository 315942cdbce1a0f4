# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server says while a client logs in: the form, the success, and the last word."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from vpn_frontend.protocol.http import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVER_VERSION = "0.1(1)"  # clients only check that there is one
XML_HEADERS = (
    # The charset is what makes group names beyond ASCII readable to AnyConnect.
    ("Content-Type", "text/xml; charset=utf-8"),
    ("X-Transcend-Version", "1"),
    ("Cache-Control", "no-store"),
)
CONTEXT_COOKIE = "webvpncontext"  # one login under way, over several connections
SESSION_COOKIE = "webvpn"  # the right to open tunnels
HINTS_COOKIE = "webvpnc"  # what AnyConnect's downloader should look at
COOKIE_ATTRIBUTES = "; Secure; HttpOnly; Path=/"
MAX_REASON = 300  # characters of a text for the user in a header
EXPIRED = "; Expires=Thu, 01 Jan 1970 00:00:00 GMT"


def login_form(
    *,
    message: str,
    error: str = "",
    groups: Sequence[str] = (),
    selected: str = "",
    context: str = "",
    action: str = "/auth",
) -> HttpResponse:
    """Ask for user name and password in one form, answered at the path ``action``; ``error`` says why again."""
    inputs = _select(groups, selected) + _INPUTS
    return _answer(_auth_request(message, error, inputs, action), _context_cookie(context))


def final_refusal(error: str) -> HttpResponse:
    """Say why there is no further try, and close: a form without inputs ends a client, and it shows the text."""
    return _answer(_auth_request("", error, ""), (), close=True)


def login_complete(*, cookie: str, certificate_sha1: str, banner: str) -> HttpResponse:
    """The login is done; ``cookie`` opens tunnels.

    ``webvpnc`` is cleared and set again, as AnyConnect expects: no profile and no update to fetch, and the SHA-1 by
    which its downloader knows this server again.
    """
    cookies = (
        ("Set-Cookie", f"{SESSION_COOKIE}={cookie}{COOKIE_ATTRIBUTES}"),
        ("Set-Cookie", f"{CONTEXT_COOKIE}={EXPIRED}{COOKIE_ATTRIBUTES}"),
        ("Set-Cookie", f"{HINTS_COOKIE}={EXPIRED}{COOKIE_ATTRIBUTES}"),
        ("Set-Cookie", f"{HINTS_COOKIE}=bu:/&p:t&iu:1/&sh:{certificate_sha1}; Path=/; Secure"),
    )
    body = (
        f'<config-auth client="vpn" type="complete" aggregate-auth-version="2">{_VERSION}'
        f"<session-token>{cookie}</session-token>"
        f'<auth id="success"><title>SSL VPN Service</title>{_element("banner", banner)}</auth>'
        f'<config client="vpn" type="private"><vpn-base-config><server-cert-hash>{certificate_sha1}'
        f"</server-cert-hash></vpn-base-config></config></config-auth>"
    )
    return _answer(body, cookies)


def logged_out() -> HttpResponse:
    """The session is gone, and with it the cookies."""
    cookies = tuple(
        ("Set-Cookie", f"{name}={EXPIRED}{COOKIE_ATTRIBUTES}")
        for name in (SESSION_COOKIE, CONTEXT_COOKIE, HINTS_COOKIE)
    )
    return _answer('<config-auth client="vpn" type="complete" aggregate-auth-version="2"></config-auth>', cookies)


def service_unavailable(reason: str, retry_after: int) -> HttpResponse:
    """503: nothing is wrong with the request. openconnect shows ``X-Reason``; ``retry_after`` is seconds."""
    reason = header_text(reason)
    headers = (("Content-Type", "text/plain"), ("X-Reason", reason), ("Retry-After", str(max(1, retry_after))))
    return HttpResponse(503, "Service Unavailable", headers, f"{reason}\n".encode(), close=True)


def header_text(text: str) -> str:
    """``text`` as it may stand in a header: printable ASCII, no line ends, bounded."""
    return "".join(character if " " <= character <= "~" else "?" for character in text[:MAX_REASON])


def _auth_request(message: str, error: str, inputs: str, action: str = "/auth") -> str:
    # The text goes into a parameter: in the element itself a client would expand every percent sign.
    shown = f'<error id="88" param1="{escape(error)}" param2="">%s</error>' if error else ""
    return (
        f'<config-auth client="vpn" type="auth-request" aggregate-auth-version="2">{_VERSION}'
        f'<auth id="main"><title>Login</title>{_element("message", message)}{shown}'
        f'<form method="post" action="{escape(action)}">{inputs}</form></auth></config-auth>'
    )


def _select(groups: Sequence[str], selected: str) -> str:
    """The choice of a group: all of them, the one chosen before at the top (AnyConnect shows the first)."""
    if not groups:
        return ""
    first = selected if selected in groups else groups[0]
    options = "".join(
        f'<option value="{escape(name)}"{_SELECTED if name == first else ""}>{escape(name)}</option>'
        for name in (first, *(group for group in groups if group != first))
    )
    return f'<select name="group_list" label="GROUP:">{options}</select>'


def _context_cookie(context: str) -> tuple[tuple[str, str], ...]:
    return (("Set-Cookie", f"{CONTEXT_COOKIE}={context}; Max-Age=240{COOKIE_ATTRIBUTES}"),) if context else ()


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>" if text else ""


def _answer(body: str, cookies: tuple[tuple[str, str], ...], *, close: bool = False) -> HttpResponse:
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'.encode()
    return HttpResponse(200, "OK", (*XML_HEADERS, *cookies), document, close)


_VERSION = f'<version who="sg">{SERVER_VERSION}</version>'
_SELECTED = ' selected="true"'
_INPUTS = (
    '<input type="text" name="username" label="Username:"/>'
    '<input type="password" name="password" label="Password:"/>'
    '<input type="submit" name="Login" value="Login"/>'
)
