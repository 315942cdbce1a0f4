# SPDX-License-Identifier: GPL-3.0-or-later
"""Signing in and out, and what others get."""

from __future__ import annotations

from datetime import timedelta

import pytest

from admin_api.clock import SYSTEM_CLOCK
from admin_api.console.page_list import PAGES
from admin_api.console.proofs import HOLDS
from admin_api.console.sign_in import COOKIE
from admin_api.console.sign_in import LIFETIME as SESSION_LIFETIME
from admin_api.http.identity import Scope
from admin_api.one_time_codes import LIFETIME, MAX_CODES, OneTimeCodes
from admin_api.roles import SCOPES, Role

pytestmark = pytest.mark.asyncio


async def test_a_code_signs_in_once(visitor, invite):
    code = invite()
    assert "Overview" in (await visitor.send("/sign-in", secret=code)).text
    visitor.client.cookies.clear()
    again = await visitor.send("/sign-in", secret=code)
    assert again.status_code == 401
    assert "unknown, was used" in again.text


async def test_opening_the_link_does_not_use_the_code(visitor, invite):
    code = invite()
    for _ in range(2):
        assert code in (await visitor.get("/sign-in", code=code)).text
    assert "Overview" in (await visitor.send("/sign-in", secret=code)).text


async def test_the_cookie_is_for_this_host_and_no_script(visitor, invite):
    answer = await visitor.client.post(
        "/console/sign-in", data={"secret": invite()}, headers={"Origin": "https://api.test"}
    )
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=ocs_")
    for word in ("HttpOnly", "Secure", "Path=/", "SameSite=strict"):
        assert word in cookie
    assert "Domain" not in cookie


async def test_a_token_signs_in_with_its_scopes(server, visitor):
    client = await server.client_with(Scope.STATUS_READ, Scope.SESSIONS_READ)
    token = client.headers["Authorization"].partition(" ")[2]
    assert "Overview" in (await visitor.send("/sign-in", secret=token)).text
    assert "Sessions" in (await visitor.get("/sessions")).text
    refused = await visitor.get("/users")
    assert refused.status_code == 403
    assert "users:read" in refused.text


async def test_without_a_session_every_page_leads_to_the_sign_in_and_back(visitor, invite):
    answer = await visitor.client.get("/console/blocks")
    assert answer.headers["location"] == "/console/sign-in?next=/console/blocks"
    after = await visitor.client.post(
        "/console/sign-in",
        data={"secret": invite(), "next": "/console/blocks"},
        headers={"Origin": "https://api.test"},
    )
    assert after.headers["location"] == "/console/blocks"


@pytest.mark.parametrize(
    "wanted", ["https://evil.test/", "//evil.test/", "/console/\\evil.test", "/console//evil.test"]
)
async def test_a_sign_in_leads_to_no_other_site(visitor, invite, wanted):
    answer = await visitor.client.post(
        "/console/sign-in", data={"secret": invite(), "next": wanted}, headers={"Origin": "https://api.test"}
    )
    assert answer.headers["location"] == "/console/"


@pytest.mark.parametrize("origin", ["", "null", "https://evil.test", "https://api.test:444"])
async def test_a_form_of_another_site_is_refused(server, signed_in, origin):
    answer = await signed_in.send("/blocks/new", origin=origin, address="203.0.113.7", step="block")
    assert answer.status_code == 403
    assert "another site" in answer.text
    assert list(server.services.engine.blocks()) == []


async def test_guesses_are_counted_and_end_in_a_pause(visitor):
    answers = [(await visitor.send("/sign-in", secret=f"guess {number}")).status_code for number in range(40)]
    assert answers[0] == 401
    assert answers[-1] == 429


async def test_signing_out_ends_the_token(signed_in):
    cookie = signed_in.client.cookies[COOKIE]
    assert "One-time code" in (await signed_in.send("/sign-out")).text
    signed_in.client.cookies.set(COOKIE, cookie, domain="api.test")
    assert "One-time code" in (await signed_in.get("/")).text


async def test_a_sign_in_removes_sessions_whose_time_is_over(server, visitor, invite, monkeypatch):
    await visitor.send("/sign-in", secret=invite(name="ben"))
    visitor.client.cookies.clear()
    now = SYSTEM_CLOCK.wall()
    monkeypatch.setattr(type(server.services.clock), "wall", lambda _: now + SESSION_LIFETIME)
    await visitor.send("/sign-in", secret=invite())
    names = [token["name"] for token in (await server.client.get("/api/v1/tokens")).json()["items"]]
    assert sorted(names) == ["all", "console:ana"]


async def test_every_form_of_another_site_is_refused(signed_in):
    for page in PAGES:
        if page.method == "POST":
            path = page.path.replace("{id:path}", "x").replace("{id}", "x").replace("{name}", "x")
            answer = await signed_in.send(path.replace("{address}", "192.0.2.1"), origin="https://evil.test")
            assert (answer.status_code, "another site" in answer.text) == (403, True), page.path


async def test_the_audit_names_the_person(server, signed_in):
    answer = await signed_in.send("/blocks/new", address="203.0.113.7", reason="A test", step="block")
    assert "The block is in force" in answer.text
    entries = (await server.client.get("/api/v1/audit")).json()["items"]
    assert any(entry["actor"].startswith("console:ana#") for entry in entries)


async def test_a_cutting_change_asks_again_after_a_while(server, signed_in, invite, monkeypatch, view):
    server.sessions.add(view())
    now = SYSTEM_CLOCK.wall()
    clock = type(server.services.clock)
    monkeypatch.setattr(clock, "wall", lambda _: now + HOLDS + timedelta(minutes=1))
    asked = await signed_in.send("/sessions/s1/end", reason="Maintenance")
    assert asked.status_code == 403
    assert "Confirm that it is you" in asked.text
    assert server.sessions.get("s1") is not None
    wrong = await signed_in.send("/sessions/s1/end", reason="Maintenance", one_time_code_or_token=invite(Role.VIEWER))
    assert "permits less" in wrong.text
    await signed_in.send("/sessions/s1/end", reason="Maintenance", one_time_code_or_token=invite())
    assert server.sessions.get("s1") is None
    assert "Maintenance" in server.sessions.farewells["s1"]


async def test_the_cookie_is_no_proof_and_no_token(server, signed_in, monkeypatch, view):
    """Who copies it from a browser that was left alone may not do more with it than that browser."""
    server.sessions.add(view())
    cookie = signed_in.client.cookies[COOKIE]
    as_token = await server.anonymous.get("/api/v1/sessions", headers={"Authorization": f"Bearer {cookie}"})
    assert (as_token.status_code, "session of a browser" in as_token.json()["detail"]) == (401, True)
    now = SYSTEM_CLOCK.wall()
    monkeypatch.setattr(type(server.services.clock), "wall", lambda _: now + HOLDS + timedelta(minutes=1))
    asked = await signed_in.send("/sessions/s1/end", reason="Theft", one_time_code_or_token=cookie)
    assert (asked.status_code, "session of a browser" in asked.text) == (403, True)
    assert server.sessions.get("s1") is not None
    signed_in.client.cookies.clear()
    assert (await signed_in.send("/sign-in", secret=cookie)).status_code == 401


async def test_codes_end_after_their_time_and_are_bounded():
    codes = OneTimeCodes()
    late = codes.create("ana", SCOPES[Role.VIEWER], now=0.0)
    assert codes.redeem(late, now=LIFETIME) is None
    first = codes.create("ana", SCOPES[Role.VIEWER], now=0.0)
    for _ in range(MAX_CODES):
        codes.create("ben", SCOPES[Role.VIEWER], now=0.0)
    assert codes.redeem(first, now=1.0) is None


async def test_a_sign_in_with_a_token_is_of_its_whole_name(server, visitor):
    made = await server.client.post("/api/v1/tokens", json={"name": "ana#guest", "scopes": ["audit:read"]})
    await visitor.send("/sign-in", secret=made.json()["token"])
    newest = (await server.client.get("/api/v1/audit")).json()["items"][0]
    assert (newest["action"], newest["actor"]) == ("token_created", "ana#guest")
