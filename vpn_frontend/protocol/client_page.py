# SPDX-License-Identifier: GPL-3.0-or-later
"""The page that a browser gets at the VPN's own address: which client to install, and the address for it.

A browser asks for ``text/html``; openconnect 9.01 and AnyConnect 4.10 do not. The page names neither this program nor
its version. It loads nothing: its style and its picture stand in it.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cached_property
from html import escape

from vpn_frontend.protocol.http import HttpResponse

PATH = "/"
HTML = "text/html"
STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "code{overflow-wrap:anywhere}th{text-align:left;padding-right:1.5rem;vertical-align:top}"
    "img{background:#fff;padding:.5rem}"
)
CLIENTS = (  # system, and what to install there
    ("Windows", "Cisco Secure Client, or OpenConnect-GUI"),
    ("macOS", "Cisco Secure Client, or <code>brew install openconnect</code>"),
    ("iPhone, iPad", "Cisco Secure Client from the App Store"),
    ("Android", "Cisco Secure Client from Google Play, or OpenConnect from F-Droid"),
    ("Debian, Ubuntu", "<code>apt install openconnect network-manager-openconnect-gnome</code>"),
    ("Fedora", "<code>dnf install openconnect NetworkManager-openconnect-gnome</code>"),
)


class ClientPage:
    """``address``: what a user types into the client, a name or ``name:port``."""

    def __init__(self, address: str) -> None:
        self._address = address

    @cached_property
    def response(self) -> HttpResponse:
        """Made at the first request of a browser: the picture takes some milliseconds."""
        digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; frame-ancestors 'none'"
        headers = (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Cache-Control", "no-cache"),
            ("Content-Security-Policy", policy),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
        )
        return HttpResponse(200, "OK", headers, self._render().encode())

    def _render(self) -> str:
        import segno  # noqa: PLC0415 - a server without browsers never needs it

        address = escape(self._address)
        rows = "".join(f"<tr><th scope=row>{system}</th><td>{how}</td></tr>" for system, how in CLIENTS)
        picture = segno.make_qr(f"https://{self._address}", error="m").svg_data_uri(scale=5, light="white")
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{address}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
            f"<h1>{address}</h1><p>This is a VPN. It is used by a client, not by a browser.</p>"
            f"<h2>1. Install a client</h2><table>{rows}</table>"
            f"<h2>2. Connect to this address</h2><p><code>{address}</code></p>"
            f'<p><img src="{escape(picture)}" alt="QR code of the address" width="185" height="185"></p>'
            f"<p>On a command line: <code>openconnect {address}</code></p></html>\n"
        )


def wants_page(path: str, accept: str) -> bool:
    """True for a request of a browser for the server's own address."""
    return path == PATH and HTML in accept
