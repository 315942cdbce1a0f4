# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole login in the browser against a provider from PyPI: client, browser and server step by step."""

import base64
from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import oidc_provider_mock
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.vpn_frontend.auth.oidc.test_token_seal import open_blob
from tests.vpn_frontend.auth.scripted import outcome_of
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.oidc import browser_logins
from vpn_frontend.auth.oidc.browser_logins import BrowserLogins
from vpn_frontend.auth.oidc.client import OidcClient
from vpn_frontend.auth.oidc.identity import read_identity
from vpn_frontend.auth.oidc.method import EMBEDDED, EXTERNAL, OidcMethod
from vpn_frontend.auth.oidc.pages import OidcClaims, OidcPages
from vpn_frontend.auth.oidc.provider import OidcProvider
from vpn_frontend.auth.oidc.signing_keys import ProviderError
from vpn_frontend.auth.result import Accepted, Challenge
from vpn_frontend.ports import UserRecord
from vpn_frontend.protocol.client_offer import ClientOffer
from vpn_frontend.protocol.http_fast_path import HttpRequest
from vpn_frontend.testing import MemoryDirectory, MemoryEvents

pytestmark = pytest.mark.asyncio
KEY = ec.generate_private_key(ec.SECP256R1())
DER = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
OPENCONNECT = "Open AnyConnect VPN Agent v9.01"


@pytest.fixture(scope="module")
def issuer():
    users = [
        oidc_provider_mock.User(sub="1", claims={"preferred_username": "Alice", "groups": ["staff"]}),
        oidc_provider_mock.User(sub="2", claims={"preferred_username": "gone"}),
        oidc_provider_mock.User(sub="3", claims={"preferred_username": "a\nb"}),
    ]
    with oidc_provider_mock.run_server_in_thread(user_claims=users) as server:
        yield f"http://localhost:{server.server_port}"


class Site:
    def __init__(self, issuer, http):
        self.now = 0.0
        self.http = http
        self.events = MemoryEvents()
        self.logins = BrowserLogins(240.0)
        clock = lambda: self.now  # noqa: E731 - one for all
        self.provider = OidcProvider(issuer, OidcClient("vpn", "secret"), http, clock=clock)
        self.pages = OidcPages(self.provider, self.logins, OidcClaims(), events=self.events, clock=clock)
        directory = MemoryDirectory([UserRecord("gone", enabled=False)])
        self.method = OidcMethod(directory, self.logins, self.pages, clock=clock)
        self.cookies = {}

    def begin(self, *methods, agent=OPENCONNECT, key=DER, host="vpn.example", submitted=False, address="192.0.2.1"):
        offer = ClientOffer(frozenset(methods), False, host, b"", key)
        login = LoginRequest("", "", "", ip_address(address), agent, submitted=submitted, offer=offer)
        return self.method.begin(login)

    async def get(self, url):
        """What the browser does at a page of ours. Returns the status and where it goes next."""
        parts = urlsplit(url)
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = (("host", parts.netloc), *((("cookie", cookie),) if cookie else ()))
        response = await self.pages.show(HttpRequest("GET", parts.path, parts.query, headers, b""))
        for name, value in response.headers:
            if name == "Set-Cookie":
                pair = value.partition(";")[0].partition("=")
                self.cookies[pair[0]] = pair[2]
        return response.status, dict(response.headers).get("Location", "")

    async def approve(self, url, form):
        """What the user does at the provider. Returns where that sends the browser."""
        return (await self.http.post(url, data=form)).headers["location"]

    async def browse(self, url, sub="1"):
        """From the client's URL over the provider and back. Returns where the browser ends up."""
        status, there = await self.get(url)
        assert status == 302
        if sub is None:
            state = parse_qs(urlsplit(there).query)["state"][0]
            back = f"https://vpn.example/+CSCOE+/oidc/callback?error=access_denied&state={state}"
        else:
            back = await self.approve(there, {"sub": sub})
        assert back.startswith("https://vpn.example/+CSCOE+/oidc/callback?")
        return (await self.get(back))[1]

    async def reply(self, challenge, token):
        return await outcome_of(self.method.answer(challenge.state, {"sso-token": token}))


@pytest_asyncio.fixture
async def site(issuer):
    async with httpx.AsyncClient(follow_redirects=False) as http:
        yield Site(issuer, http)


def token_of(url):
    assert url.startswith("http://localhost:29786/api/sso/")
    assert parse_qs(urlsplit(url).query) == {"return": ["https://vpn.example/+CSCOE+/saml_ac_login.html"]}
    blob = base64.b64decode(unquote(urlsplit(url).path.rpartition("/")[2]), validate=True)
    return open_blob(blob, KEY).decode()


async def test_an_external_browser(site):
    challenge = site.begin(EMBEDDED, EXTERNAL)
    assert challenge.form.browser.external
    token = token_of(await site.browse(challenge.form.browser.login_url))
    accepted = await site.reply(challenge, token)
    assert (accepted.user.name, accepted.user.external, accepted.groups) == ("alice", True, ("staff",))
    assert (await site.reply(challenge, token)).reason == "wrong_token", "a token counts once"


async def test_a_flood_of_questions_ends_no_login_of_another_source(site, monkeypatch):
    monkeypatch.setattr(browser_logins, "MAX_LOGINS", 4)
    challenge = site.begin(EMBEDDED, EXTERNAL)
    for _ in range(8):
        site.begin(EMBEDDED, EXTERNAL, address="198.51.100.7")
    assert isinstance(
        await site.reply(challenge, token_of(await site.browse(challenge.form.browser.login_url))), Accepted
    )


async def test_an_embedded_browser(site):
    challenge = site.begin(EMBEDDED, agent="AnyConnect Windows 5.1")
    assert not challenge.form.browser.external
    final = await site.browse(challenge.form.browser.login_url)
    assert final == challenge.form.browser.final_url, "the client compares it as text"
    assert (await site.get(final))[0] == 200
    assert isinstance(await site.reply(challenge, site.cookies["acSamlv2Token"]), Accepted)


@pytest.mark.parametrize("external", [True, False])
async def test_a_user_who_denies_or_has_no_name(site, external):
    for sub in (None, "3"):
        site.cookies.clear()
        challenge = site.begin(EMBEDDED, *([EXTERNAL] if external else []))
        end = await site.browse(challenge.form.browser.login_url, sub)
        if external:  # the client has no way to hear of an error but the reply to a token
            refused = await site.reply(challenge, token_of(end))
            assert (refused.reason, refused.scored) == ("provider_refused", False)
        else:
            assert site.cookies["acSamlv2Error"] == "failed"
            assert site.cookies["acSamlv2Token"] == ""
    assert {event["what"] for event in site.events.of("backend_failed")} == {"oidc"}


async def test_a_record_of_the_directory_holds(site):
    challenge = site.begin(EMBEDDED, EXTERNAL)
    accepted = await site.reply(challenge, token_of(await site.browse(challenge.form.browser.login_url, "2")))
    assert not accepted.user.enabled


async def test_a_token_of_another_login_opens_nothing(site):
    challenge, other = site.begin(EMBEDDED, EXTERNAL), site.begin(EMBEDDED, EXTERNAL)
    token = token_of(await site.browse(challenge.form.browser.login_url))
    assert (await site.reply(other, token)).reason == "wrong_token"


async def test_another_browser_cannot_take_a_login_over(site):
    challenge = site.begin(EMBEDDED, EXTERNAL)
    url = challenge.form.browser.login_url
    _, there = await site.get(url)
    again, same = await site.get(url)
    assert (again, same) == (302, there), "a page that is loaded again"
    back = await site.approve(there, {"sub": "1"})
    mine, site.cookies = site.cookies, {}
    assert (await site.get(url))[0] == 400
    assert (await site.get(back))[0] == 400
    site.cookies = mine
    assert (await site.get(back))[0] == 302
    assert (await site.get(back))[0] == 400, "a code comes back once"


@pytest.mark.parametrize(
    "path", ["/+CSCOE+/saml/sp/login", "/+CSCOE+/saml/sp/login?ctx=x", "/+CSCOE+/oidc/callback?code=a&state=b",
             "/+CSCOE+/oidc/callback", "/+CSCOE+/saml/sp/login?" + "a=1&" * 100],
    ids=["no context", "unknown context", "unknown state", "no state", "many fields"],
)  # fmt: skip
async def test_pages_without_a_login(site, path):
    assert await site.get(f"https://vpn.example{path}") == (400, "")


@pytest.mark.parametrize(
    ("offer", "browser"),
    [
        ({"methods": []}, None),
        ({"methods": [EMBEDDED, EXTERNAL], "submitted": True}, None),
        ({"methods": [EMBEDDED, EXTERNAL], "host": ""}, None),
        ({"methods": [EXTERNAL], "key": b"junk"}, None),
        ({"methods": [EMBEDDED, EXTERNAL], "key": b"junk"}, "embedded"),
        ({"methods": [EMBEDDED, EXTERNAL], "agent": "AnyConnect"}, "embedded"),
        ({"methods": [EMBEDDED, EXTERNAL]}, "external"),
    ],
    ids=str,
)
async def test_which_browser_a_client_opens(site, offer, browser):
    outcome = site.begin(*offer.pop("methods"), **offer)
    if browser is None:
        assert (outcome.reason, outcome.scored) == ("no_browser", False)
    else:
        assert isinstance(outcome, Challenge)
        assert outcome.form.browser.external is (browser == "external")


async def test_a_provider_that_is_away(site):
    site.provider._issuer = "http://localhost:1"
    challenge = site.begin(EMBEDDED, EXTERNAL)
    _, end = await site.get(challenge.form.browser.login_url)
    assert (await site.reply(challenge, token_of(end))).reason == "provider_refused"


async def test_claims_that_name_nobody():
    wanted = OidcClaims(user="email")
    good = {"email": "a@b", "email_verified": True}
    assert read_identity({**good, "groups": "one"}, wanted).groups == ("one",)
    for change in (
        {"email_verified": False}, {"email_verified": "true"}, {"email": ""}, {"email": " a"}, {"email": "a" * 65},
        {"email": ["a"]}, {"groups": ["x"] * 65}, {"groups": {"a": 1}}, {"groups": ["a\0"]}, {"groups": [1]},
    ):  # fmt: skip
        with pytest.raises(ProviderError):
            read_identity({**good, **change}, wanted)
