# SPDX-License-Identifier: GPL-3.0-or-later
"""The page that a browser gets at the VPN's own address, and who does not get it."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import pytest

from vpn_frontend.protocol.camouflage import Camouflage
from vpn_frontend.protocol.client_page import ClientPage
from vpn_frontend.protocol.connection import Connection, PortalConfig, Send
from vpn_frontend.protocol.login_attempts import LoginAttempts

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"  # Firefox 120


@pytest.fixture
def portal():
    logins = LoginAttempts(240)
    page = ClientPage("vpn.example.org")
    return PortalConfig(logins, attempts=3, groups=(), certificate_sha1="00" * 20, client_page=page)


def answer(portal, path="/", accept=BROWSER, method="GET"):
    request = f"{method} {path} HTTP/1.1\r\nHost: vpn\r\nAccept: {accept}\r\n\r\n"
    effects = Connection(portal).receive(request.encode(), 0)
    return b"".join(effect.data for effect in effects if isinstance(effect, Send)).decode()


def test_a_browser_gets_the_page_with_the_address_and_its_picture(portal):
    said = answer(portal)
    head, _, body = said.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK")
    assert "openconnect vpn.example.org" in body
    assert "data:image/svg+xml" in body
    style = re.search("<style>(.*?)</style>", body)[1]
    assert f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}" in head
    assert "ocsentry" not in said.lower()
    assert "<body" not in body
    assert not re.search(r'src="(?!data:)|href=', body)


def test_head_has_no_body(portal):
    head, _, body = answer(portal, method="HEAD").partition("\r\n\r\n")
    assert "text/html" in head
    assert body == ""


@pytest.mark.parametrize("accept", ["*/*", "", "text/xml"])
def test_a_client_gets_the_form_of_a_login(portal, accept):
    assert "config-auth" in answer(portal, accept=accept)


def test_other_paths_and_servers_without_the_page_have_none(portal):
    assert "404" in answer(portal, "/somewhere")
    assert "config-auth" in answer(replace(portal, client_page=None))


def test_a_hidden_server_shows_it_only_to_who_knows_the_secret(portal):
    hidden = replace(portal, camouflage=Camouflage("open", "", lambda _: False))
    assert "vpn.example.org" not in answer(hidden)
    assert "openconnect vpn.example.org" in answer(hidden, "/?open")


def test_an_address_is_text(portal):
    said = answer(replace(portal, client_page=ClientPage("<b>vpn</b>&")))
    assert "<b>" not in said
    assert "&lt;b&gt;vpn&lt;/b&gt;&amp;" in said
