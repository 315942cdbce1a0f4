# SPDX-License-Identifier: GPL-3.0-or-later
"""A login in a window of the client's own, as AnyConnect and the webview of NetworkManager-openconnect do it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING

from lab.clients.browser import fetch
from lab.clients.cstp_client import Answer, read_answer
from lab.network import SERVER_IPV4
from lab.traffic.probes import open_tls

if TYPE_CHECKING:
    from lab.network import Host

AGENT = "User-Agent: AnyConnect Linux_64 4.10.07073"
INIT = (
    '<config-auth client="vpn" type="init"><capabilities><auth-method>single-sign-on-v2</auth-method></capabilities>'
    "</config-auth>"
)


@dataclass(frozen=True, slots=True)
class Window:
    """A login whose window has come to its end. ``page`` is what the client was told, by element."""

    page: dict[str, str]
    token: str
    error: str
    context: str  # the cookie of the login, as NAME=VALUE


def post(body: str, *headers: str, path: str = "/") -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {SERVER_IPV4}", *headers, f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


def pass_window(host: Host, provider: str, port: int, user: str, *, path: str = "/") -> Window:
    """Begins a login and follows its pages to the last one. ``provider`` is the authority in the provider's URLs."""
    with open_tls(host) as stream:
        stream.sendall(post(INIT, AGENT, path=path))
        asked = read_answer(stream)
    page = {name: unescape(value) for name, value in re.findall(r"<(sso-v2-[a-z-]+)>([^<]*)<", asked.body.decode())}
    cookies: dict[str, str] = {}
    url, last = page["sso-v2-login"], page["sso-v2-login-final"]
    with host.namespace.entered():
        while url != last:
            _, url = fetch(url, cookies, provider, f"{SERVER_IPV4}:{port}", user)
            assert url, "the window ends at another page"
        status, _ = fetch(url, cookies, provider, f"{SERVER_IPV4}:{port}", user)
    assert status == 200
    given = asked.headers["set-cookie"]
    context = next(value.partition(";")[0] for value in given if value.startswith("webvpncontext="))
    token, error = (
        cookies.get(f"{SERVER_IPV4} {page[f'sso-v2-{kind}-cookie-name']}", "") for kind in ("token", "error")
    )
    return Window(page, token, error, context)


def show_token(host: Host, window: Window, context: str) -> Answer:
    """The answer to the token, in the login that the cookie ``context`` names."""
    reply = (
        f'<config-auth client="vpn" type="auth-reply"><auth><sso-token>{window.token}</sso-token></auth></config-auth>'
    )
    with open_tls(host) as stream:
        stream.sendall(post(reply, AGENT, f"Cookie: {context}"))
        return read_answer(stream)
