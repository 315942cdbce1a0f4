# SPDX-License-Identifier: GPL-3.0-or-later
"""Signing in at a provider: the cookies, the two steps back, and what the pages offer."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from admin_api.clock import SYSTEM_CLOCK
from admin_api.console import single_sign_on
from admin_api.console.proofs import HOLDS
from admin_api.console.sign_in import COOKIE
from admin_api.roles import Role
from admin_api.single_sign_on.sign_on import Departure, SignedOn, SignOnError
from tests.admin_api.conftest import CALLER

pytestmark = pytest.mark.asyncio
PROVIDER = "https://idp.example/authorize"


class Provider:
    """A ``SignOn`` that lets in whom ``role`` says."""

    label = "Example <ID>"

    def __init__(self) -> None:
        self.role: Role | None = Role.OPERATOR
        self.proved_at: float | None = None
        self.left: list[dict[str, object]] = []

    async def leave(self, **asked: object) -> Departure:
        self.left.append(asked)
        if self.role is None:
            raise SignOnError("The provider is away")
        return Departure(f"{PROVIDER}?state=s", "b" * 43)

    async def come_back(self, query, browser: str) -> SignedOn:
        if browser != "b" * 43 or query.get("code") != "c&d":
            raise SignOnError("This sign-in has ended")
        return SignedOn("dora", self.role, str(self.left[-1]["wanted"]), self.proved_at)


@pytest.fixture
def provider(server) -> Provider:
    made = Provider()
    object.__setattr__(server.services, "sign_on", made)  # the dataclass is frozen, and the application has it
    return made


async def test_without_a_provider_there_is_no_way_to_it(visitor):
    assert "Sign in with" not in (await visitor.get("/sign-in")).text
    for path in ("/sign-in/provider", "/sign-in/provider/finish"):
        answer = await visitor.get(path)
        assert (answer.status_code, "[admin.oidc]" in answer.text) == (404, True)


async def test_a_person_leaves_comes_back_and_is_in(server, visitor, provider):
    page = (await visitor.get("/sign-in", next="/console/blocks")).text
    assert "Sign in with Example &lt;ID&gt;" in page
    link = re.search(r'href="/console(/sign-in/provider[^"]*)"', page)[1]
    left = await visitor.client.get(f"/console{link}")
    assert (left.status_code, left.headers["location"]) == (303, f"{PROVIDER}?state=s")
    assert provider.left == [
        {
            "return_url": "https://api.test/console/sign-in/provider/return",
            "wanted": "/console/blocks",
            "browser": "",
            "again": False,
            "source": CALLER,
        }
    ]
    cookie = left.headers["set-cookie"]
    for word in (f"{single_sign_on.COOKIE}={'b' * 43}", "HttpOnly", "Secure", "Path=/", "SameSite=strict"):
        assert word in cookie
    assert "Domain" not in cookie

    back = await visitor.get("/sign-in/provider/return", code="c&d", state="s", scope="<x>")
    assert back.headers["cache-control"] == "no-store"
    assert COOKIE not in back.cookies
    url = re.search(r'content="0;url=([^"]+)"', back.text)[1].replace("&amp;", "&")
    assert parse_qs(urlsplit(url).query) == {"code": ["c&d"], "state": ["s"]}

    done = await visitor.client.get(url)
    assert (done.status_code, done.headers["location"]) == (303, "/console/blocks")
    assert visitor.client.cookies[COOKIE].startswith("ocs_")
    assert single_sign_on.COOKIE not in visitor.client.cookies
    assert "Blocks" in (await visitor.get("/blocks")).text
    assert (await visitor.get("/tokens")).status_code == 200, "an operator reads them"
    assert (await visitor.send("/tokens", name="x")).status_code == 403
    entries = (await server.client.get("/api/v1/audit")).json()["items"]
    assert any((entry["action"], entry["actor"]) == ("token_created", "dora") for entry in entries)


@pytest.mark.parametrize("wanted", ["https://evil.test/", "//evil.test/", "/console//evil.test", "/other"])
async def test_the_way_back_leads_to_no_other_site(visitor, provider, wanted):
    await visitor.client.get("/console/sign-in/provider", params={"next": wanted})
    assert provider.left[0]["wanted"] == "/console/"


async def test_what_goes_wrong_is_told_and_is_no_sign_in(visitor, provider):
    refused = await visitor.get("/sign-in/provider/finish", code="c&d", state="s")
    assert (refused.status_code, "has ended" in refused.text) == (403, True)
    provider.role = None
    away = await visitor.get("/sign-in/provider")
    assert (away.status_code, "The provider is away" in away.text) == (502, True)
    assert "One-time code" in away.text, "the other ways stay"
    assert COOKIE not in visitor.client.cookies


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://127.0.0.1:8443", "http://127.0.0.1:8443"),
        ("http://[::1]:8443", "http://[::1]:8443"),
        ("http://api.test", "https://api.test"),  # behind a proxy that speaks TLS
    ],
)
async def test_the_address_to_come_back_to(visitor, provider, base, url):
    await visitor.client.get(f"{base}/console/sign-in/provider")
    assert provider.left[0]["return_url"] == f"{url}/console/sign-in/provider/return"


async def test_a_cutting_change_offers_the_provider_again(server, signed_in, provider, monkeypatch, view):
    server.sessions.add(view())
    now = SYSTEM_CLOCK.wall()
    monkeypatch.setattr(type(server.services.clock), "wall", lambda _: now + HOLDS + timedelta(minutes=1))
    signed_in.client.headers["Referer"] = "https://api.test/console/sessions/s1?x=1"
    asked = (await signed_in.send("/sessions/s1/end", reason="Maintenance")).text
    link = re.search(r'href="(/console/sign-in/provider[^"]*again[^"]*)"', asked)[1].replace("&amp;", "&")
    await signed_in.client.get(link)
    assert (provider.left[0]["again"], provider.left[0]["wanted"]) == (True, "/console/sessions/s1")
    assert server.sessions.get("s1") is not None


@pytest.mark.parametrize(("age", "asks"), [(None, True), (3600, True), (60, False), (-3600, False)])
async def test_an_earlier_sign_in_at_the_provider_is_no_proof_for_a_cutting_change(
    server, visitor, provider, view, age, asks
):
    now = SYSTEM_CLOCK.wall().timestamp()
    provider.proved_at = None if age is None else now - age
    await visitor.get("/sign-in/provider")
    await visitor.get("/sign-in/provider/finish", code="c&d", state="s")
    server.sessions.add(view())
    answer = await visitor.send("/sessions/s1/end", reason="Maintenance")
    assert ("one_time_code_or_token" in answer.text) is asks
    assert (server.sessions.get("s1") is not None) is asks
