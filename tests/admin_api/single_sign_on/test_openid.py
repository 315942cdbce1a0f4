# SPDX-License-Identifier: GPL-3.0-or-later
"""Sign-ins at a provider from PyPI: what binds them to a browser, how long they wait, and who may come in."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl, urlsplit

import httpx
import oidc_provider_mock
import pytest
import pytest_asyncio

from admin_api.roles import Role
from admin_api.single_sign_on import openid
from admin_api.single_sign_on.group_roles import GroupRoles
from admin_api.single_sign_on.openid import LIFETIME, OpenIdSignOn
from admin_api.single_sign_on.sign_on import SignOnError
from vpn_frontend.auth.oidc.claims import OidcClaims
from vpn_frontend.auth.oidc.client import OidcClient
from vpn_frontend.auth.oidc.provider import OidcProvider
from vpn_frontend.testing import MemoryEvents

pytestmark = pytest.mark.asyncio
RETURN = "https://vpn.example:8443/console/sign-in/provider/return"
ROLES = GroupRoles(frozenset({"root"}), frozenset({"desk"}), frozenset())
USERS = [
    oidc_provider_mock.User(sub="ana", claims={"preferred_username": "ana", "groups": ["desk"]}),
    oidc_provider_mock.User(sub="eve", claims={"preferred_username": "eve", "groups": ["guests"]}),
    oidc_provider_mock.User(sub="odd", claims={"preferred_username": "a\nb", "groups": ["root"]}),
]


@pytest.fixture(scope="module")
def issuer():
    with oidc_provider_mock.run_server_in_thread(user_claims=USERS) as server:
        yield f"http://localhost:{server.server_port}"


class Site:
    def __init__(self, issuer: str, http: httpx.AsyncClient) -> None:
        self.now = self.ahead = 0.0
        self.http = http
        self.events = MemoryEvents()
        self.sign_on = OpenIdSignOn(
            OidcProvider(issuer, OidcClient("console", "secret"), http),
            OidcClaims(),
            ROLES,
            label="Example",
            events=self.events,
            clock=lambda: self.now,
            wall_clock=lambda: time.time() + self.ahead,
        )

    def last_error(self):
        return self.events.seen[-1][1]["error"]

    async def leave(self, browser="", *, wanted="/console/blocks", again=False, source="192.0.2.1"):
        return await self.sign_on.leave(return_url=RETURN, wanted=wanted, browser=browser, again=again, source=source)

    async def approve(self, url, sub):
        """What the person does at the provider. Returns the answer that the browser brings back."""
        back = urlsplit((await self.http.post(url, data={"sub": sub})).headers["location"])
        assert f"{back.scheme}://{back.netloc}{back.path}" == RETURN
        return dict(parse_qsl(back.query))


@pytest_asyncio.fixture
async def site(issuer):
    async with httpx.AsyncClient(follow_redirects=False) as http:
        yield Site(issuer, http)


async def test_a_person_comes_back_once(site):
    departure = await site.leave()
    answer = await site.approve(departure.url, "ana")
    signed_on = await site.sign_on.come_back(answer, departure.browser)
    assert (signed_on.person, signed_on.role, signed_on.wanted) == ("ana", Role.OPERATOR, "/console/blocks")
    with pytest.raises(SignOnError, match="has ended"):
        await site.sign_on.come_back(answer, departure.browser)


@pytest.mark.parametrize("browser", ["", "x" * 43, "\u00e9" * 43])
async def test_another_browser_ends_nothing(site, browser):
    departure = await site.leave()
    answer = await site.approve(departure.url, "ana")
    with pytest.raises(SignOnError, match="another browser"):
        await site.sign_on.come_back(answer, browser)
    assert (await site.sign_on.come_back(answer, departure.browser)).person == "ana"


async def test_two_windows_of_one_browser(site):
    first = await site.leave()
    second = await site.leave(first.browser, wanted="/console/rules")
    assert second.browser == first.browser
    for departure, wanted in ((first, "/console/blocks"), (second, "/console/rules")):
        answer = await site.approve(departure.url, "ana")
        assert (await site.sign_on.come_back(answer, first.browser)).wanted == wanted


@pytest.mark.parametrize("cookie", ["short", "x" * 44, "a b" * 15])
async def test_a_cookie_of_another_shape_is_replaced(site, cookie):
    assert (await site.leave(cookie)).browser != cookie


async def test_who_is_in_no_group_stays_out(site):
    departure = await site.leave()
    answer = await site.approve(departure.url, "eve")
    with pytest.raises(SignOnError, match="eve is in none of the groups"):
        await site.sign_on.come_back(answer, departure.browser)


async def test_a_name_that_cannot_stand_in_the_audit(site):
    departure = await site.leave()
    answer = await site.approve(departure.url, "odd")
    with pytest.raises(SignOnError, match="Example did not sign you in"):
        await site.sign_on.come_back(answer, departure.browser)
    assert "preferred_username" in site.last_error()


async def test_the_provider_refuses(site):
    departure = await site.leave()
    state = dict(parse_qsl(urlsplit(departure.url).query))["state"]
    with pytest.raises(SignOnError, match="log says why"):
        await site.sign_on.come_back({"state": state, "error": "access_denied"}, departure.browser)
    assert "access_denied" in site.last_error()


@pytest.mark.parametrize("query", [{}, {"state": ""}, {"state": "x", "code": "y"}])
async def test_an_answer_that_was_never_asked_for(site, query):
    await site.leave()
    with pytest.raises(SignOnError, match="has ended"):
        await site.sign_on.come_back(query, "x" * 43)


async def test_a_sign_in_waits_for_a_while(site):
    departure = await site.leave()
    answer = await site.approve(departure.url, "ana")
    site.now = LIFETIME
    with pytest.raises(SignOnError, match="has ended"):
        await site.sign_on.come_back(answer, departure.browser)


async def test_those_that_wait_are_bounded(site, monkeypatch):
    monkeypatch.setattr(openid, "MAX_WAITING", 3)
    first, another = await site.leave(), await site.leave(source="192.0.2.2")
    answers = [await site.approve(one.url, "ana") for one in (first, another)]
    for _ in range(9):
        await site.leave()
    with pytest.raises(SignOnError, match="has ended"):
        await site.sign_on.come_back(answers[0], first.browser)
    assert (await site.sign_on.come_back(answers[1], another.browser)).person == "ana", "those of others wait on"


async def test_once_more_needs_a_proof_of_now(site):
    departure = await site.leave(again=True)
    assert {"prompt": "login", "max_age": "0"}.items() <= dict(parse_qsl(urlsplit(departure.url).query)).items()
    answer = await site.approve(departure.url, "ana")
    assert (await site.sign_on.come_back(answer, departure.browser)).role is Role.OPERATOR
    site.ahead = 3600.0  # the provider vouches for a proof of an hour ago
    departure = await site.leave(again=True)
    answer = await site.approve(departure.url, "ana")
    with pytest.raises(SignOnError, match="did not sign you in"):
        await site.sign_on.come_back(answer, departure.browser)
    assert "auth_time" in site.last_error()


async def test_a_provider_that_is_away():
    async with httpx.AsyncClient() as http:
        site = Site("http://localhost:1", http)
        with pytest.raises(SignOnError, match="Example did not sign you in"):
            await site.leave()
