# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens that a client brings along: what is accepted, and what a hostile client or provider gets."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from tests.vpn_frontend.auth.scripted import outcome_of
from vpn_frontend.auth.bearer.method import BAD_TOKEN, MAX_TOKEN, NO_TOKEN, BearerMethod
from vpn_frontend.auth.bearer.tokens import BearerRules, BearerTokens
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.oidc.signing_keys import KEYS_PAUSE, LIFETIME, ProviderDocuments, ProviderError
from vpn_frontend.auth.result import Accepted
from vpn_frontend.protocol.client_offer import ClientOffer
from vpn_frontend.testing import MemoryDirectory

ISSUER, NOW = "https://idp.example", 1_700_000_000.0
URL = f"{ISSUER}/.well-known/openid-configuration"
RULES = BearerRules(URL, "vpn", required={"tenant": 7})
CLAIMS = {
    "iss": ISSUER, "aud": "vpn", "preferred_username": "dora", "groups": ["staff"], "tenant": 7,
    "iat": NOW, "nbf": NOW, "exp": NOW + 300,
}  # fmt: skip
RSA, EC = RSAKey.generate_key(2048, {"kid": "one"}), ECKey.generate_key("P-256", {"kid": "two"})


class Idp:
    """The provider's documents; ``asked`` are the paths of its requests."""

    def __init__(self, rules=RULES):
        self.asked = []
        self.away = False
        self.now = 0.0
        self.documents = {
            "/.well-known/openid-configuration": {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"},
            "/jwks": {"keys": [RSA.as_dict(private=False)]},
        }
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        tokens = BearerTokens(rules, ProviderDocuments(http), clock=lambda: self.now, wall_clock=lambda: NOW)
        self.method = BearerMethod(MemoryDirectory(), tokens)

    def _answer(self, request):
        self.asked.append(request.url.path)
        if self.away:
            raise httpx.ConnectTimeout("away")
        return httpx.Response(200, json=self.documents[request.url.path])

    async def log_in(self, token):
        login = LoginRequest("", "", "", ip_address("192.0.2.1"), submitted=False, offer=ClientOffer(bearer=token))
        return await outcome_of(self.method.begin(login))


@pytest.fixture
def idp():
    return Idp()


def sign(key=RSA, algorithm="RS256", header=None, **changes):
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    return jwt.encode({"alg": algorithm, "kid": key.kid, **(header or {})}, claims, key, algorithms=[algorithm])


@pytest.mark.asyncio
async def test_a_token_is_its_user_with_its_groups(idp):
    outcome = await idp.log_in(sign())
    assert isinstance(outcome, Accepted)
    assert (outcome.user.name, outcome.groups) == ("dora", ("staff",))
    assert await idp.log_in(sign(aud=["other", "vpn"], nbf=None, iat=None)) == outcome
    assert idp.asked == ["/.well-known/openid-configuration", "/jwks"], "documents are kept"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://evil.example"}, {"iss": None}, {"aud": "other"}, {"aud": None}, {"aud": ["other"]},
        {"exp": NOW - 61}, {"exp": None}, {"exp": "tomorrow"}, {"nbf": NOW + 61}, {"iat": NOW + 61}, {"iat": True},
        {"tenant": "7"}, {"tenant": 8}, {"tenant": None}, {"preferred_username": None}, {"preferred_username": ""},
        {"preferred_username": ["dora"]}, {"groups": [7]}, {"preferred_username": "x" * 65},
    ],
    ids=str,
)  # fmt: skip
async def test_a_claim_that_is_wrong_or_missing_refuses(idp, change):
    assert await idp.log_in(sign(**change)) == BAD_TOKEN


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "token",
    [
        "x", "a.b.c", "e30.e30.", sign(EC, "ES256"), sign()[:-4], sign() + "x",
        sign(OctKey.import_key("0123456789abcdef0123456789abcdef", {"kid": "one"}), "HS256"),
        "eyJhbGciOiJub25lIn0." + sign().split(".")[1] + ".", "ä" * 9, "x" * (MAX_TOKEN + 1),
    ],
    ids=range(10),
)  # fmt: skip
async def test_a_token_that_the_provider_has_not_signed_is_refused_and_counts(idp, token):
    outcome = await idp.log_in(token)
    assert outcome == BAD_TOKEN
    assert outcome.scored
    assert outcome.final


@pytest.mark.asyncio
@pytest.mark.parametrize(("kind", "accepted"), [("JWT", True), ("at+jwt", True), ("logout+jwt", False)])
async def test_a_token_of_another_type_is_none_for_logins(idp, kind, accepted):
    outcome = await idp.log_in(sign(header={"typ": kind}))
    assert isinstance(outcome, Accepted) is accepted
    assert accepted or outcome == BAD_TOKEN


@pytest.mark.asyncio
@pytest.mark.parametrize("missing", ["iat", "nbf"])
async def test_a_token_has_to_be_dated_where_that_is_wanted(idp, missing):
    assert isinstance(await idp.log_in(sign(**{missing: None})), Accepted)
    strict = Idp(replace(RULES, dated=True))
    assert await strict.log_in(sign(**{missing: None})) == BAD_TOKEN
    assert isinstance(await strict.log_in(sign()), Accepted)


@pytest.mark.asyncio
async def test_metadata_of_the_network_name_no_file_with_keys(idp):
    idp.documents["/.well-known/openid-configuration"]["jwks_uri"] = "file:///etc/keys.json"
    with pytest.raises(ProviderError, match="jwks_uri is not an https URL"):
        await idp.log_in(sign())


@pytest.mark.asyncio
async def test_keys_that_change_are_fetched_once_a_minute(idp):
    await idp.log_in(sign())
    idp.documents["/jwks"] = {"keys": [EC.as_dict(private=False)]}
    for _ in range(3):
        assert await idp.log_in(sign(EC, "ES256")) == BAD_TOKEN
    assert idp.asked.count("/jwks") == 1
    idp.now += KEYS_PAUSE
    assert isinstance(await idp.log_in(sign(EC, "ES256")), Accepted)
    assert await idp.log_in(sign()) == BAD_TOKEN
    assert idp.asked.count("/jwks") == 2


@pytest.mark.asyncio
async def test_a_key_that_the_provider_has_withdrawn_verifies_nothing_after_an_hour(idp):
    assert isinstance(await idp.log_in(sign()), Accepted)
    idp.documents["/jwks"] = {"keys": [EC.as_dict(private=False)]}
    idp.now += LIFETIME
    assert await idp.log_in(sign()) == BAD_TOKEN


@pytest.mark.asyncio
async def test_a_provider_that_is_away_holds_up_no_token_that_its_former_keys_verify(idp):
    assert isinstance(await idp.log_in(sign()), Accepted)
    idp.now, idp.away, idp.asked = LIFETIME, True, []
    for _ in range(3):
        assert isinstance(await idp.log_in(sign()), Accepted)
    assert len(idp.asked) == 2, "metadata and keys, once a minute each"
    idp.now, idp.away = LIFETIME + KEYS_PAUSE, False
    idp.documents["/jwks"] = {"keys": [EC.as_dict(private=False)]}
    assert await idp.log_in(sign()) == BAD_TOKEN
    assert isinstance(await idp.log_in(sign(EC, "ES256")), Accepted)


@pytest.mark.asyncio
@pytest.mark.parametrize(("wanted", "other"), [(1, True), (True, 1), (0, False), ("1", 1)])
async def test_a_required_claim_has_its_type_too(wanted, other):
    idp = Idp(BearerRules(URL, "vpn", required={"level": wanted}))
    assert await idp.log_in(sign(level=other)) == BAD_TOKEN
    assert isinstance(await idp.log_in(sign(level=wanted)), Accepted)


@pytest.mark.asyncio
async def test_the_issuer_may_be_named_by_the_configuration():
    idp = Idp(BearerRules(URL, "vpn", required={"iss": "urn:issuer"}))
    idp.documents["/.well-known/openid-configuration"] = {"jwks_uri": f"{ISSUER}/jwks"}
    assert isinstance(await idp.log_in(sign(iss="urn:issuer")), Accepted)
    assert await idp.log_in(sign()) == BAD_TOKEN
    silent = Idp()
    silent.documents["/.well-known/openid-configuration"] = {"jwks_uri": f"{ISSUER}/jwks"}
    assert await silent.log_in(sign(iss=None)) == BAD_TOKEN, "no issuer is no match"


@pytest.mark.asyncio
@pytest.mark.parametrize("jwks", ["http://idp.example/jwks", "file:///etc/passwd", None, 7])
async def test_keys_come_over_https_only(idp, jwks):
    idp.documents["/.well-known/openid-configuration"]["jwks_uri"] = jwks
    with pytest.raises(ProviderError, match="https"):  # the login is unavailable: its user has guessed nothing
        await idp.log_in(sign())
    assert idp.asked == ["/.well-known/openid-configuration"]


def test_without_a_token_nothing_is_asked_and_nothing_counts(idp):
    login = LoginRequest("dora", "", "", ip_address("192.0.2.1"), submitted=False)
    assert idp.method.begin(login) == NO_TOKEN
    assert not NO_TOKEN.scored
    assert idp.asked == []
    with pytest.raises(TypeError):
        idp.method.answer(None, {})
