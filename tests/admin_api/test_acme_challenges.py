# SPDX-License-Identifier: GPL-3.0-or-later
"""``/acme-challenges``."""

from __future__ import annotations

import pytest

from admin_api.http.identity import Scope
from vpn_frontend.gateway.certificates.acme_challenges import TooManyChallengesError

pytestmark = pytest.mark.asyncio

URL = "/api/v1/acme-challenges"
AUTHORIZATION = f"{'t' * 43}.{'k' * 43}"
BODY = {"name": "VPN.example.org", "key_authorization": AUTHORIZATION}


class FakeChallenges:
    def __init__(self):
        self.present = {}

    def put(self, name, key_authorization, now):
        if "full" in name:
            raise TooManyChallengesError("16 names have a challenge")
        self.present[name] = key_authorization

    def remove(self, name):
        return self.present.pop(name, None) is not None


@pytest.fixture
def challenges(services):
    made = FakeChallenges()
    object.__setattr__(services, "acme", made)
    return made


async def test_a_challenge_comes_and_goes(server, challenges):
    made = await server.client.post(URL, json=BODY)
    assert (made.status_code, made.json()["name"]) == (201, "vpn.example.org")
    assert challenges.present == {"VPN.example.org": AUTHORIZATION}
    assert (await server.client.delete(f"{URL}/VPN.example.org")).status_code == 204
    assert (await server.client.delete(f"{URL}/VPN.example.org")).status_code == 404


async def test_the_audit_names_who_and_never_the_secret(server, challenges):
    await server.client.post(URL, json=BODY)
    entries = (await server.client.get("/api/v1/audit")).json()["items"]
    entry = next(entry for entry in entries if entry["action"] == "acme_challenge_created")
    assert entry["target"] == "VPN.example.org"
    assert AUTHORIZATION not in str(entries)


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "-a.example.org"},
        {"name": "a..b"},
        {"name": "x" * 64},
        {"name": "vpn.example.org\nx"},
        {"key_authorization": "short"},
        {"key_authorization": AUTHORIZATION + "="},
        {"key_authorization": f"{'t' * 43}{'k' * 43}"},
    ],
)
async def test_what_is_no_name_or_no_authorization_is_refused(server, challenges, change):
    assert (await server.client.post(URL, json={**BODY, **change})).status_code == 422
    assert challenges.present == {}


async def test_it_needs_the_scope_of_the_settings(server, challenges):
    async with await server.client_with(Scope.SETTINGS_READ, Scope.TOKENS_WRITE) as client:
        assert (await client.post(URL, json=BODY)).status_code == 403
        assert (await client.delete(f"{URL}/vpn.example.org")).status_code == 403


async def test_a_full_table_says_so(server, challenges):
    answer = await server.client.post(URL, json={**BODY, "name": "full.example.org"})
    assert (answer.status_code, answer.json()["code"]) == (409, "table_full")


async def test_without_a_server_there_is_none(server):
    assert (await server.client.post(URL, json=BODY)).status_code == 503
