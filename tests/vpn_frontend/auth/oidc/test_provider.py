# SPDX-License-Identifier: GPL-3.0-or-later
"""A provider that is hostile, broken, or has changed its keys."""

import base64
import hmac
import json

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from vpn_frontend.auth.oidc.claims import is_secure_url
from vpn_frontend.auth.oidc.client import OidcClient, read_client_key
from vpn_frontend.auth.oidc.provider import OidcProvider
from vpn_frontend.auth.oidc.signing_keys import KEYS_PAUSE, MAX_ANSWER, ProviderError

pytestmark = pytest.mark.asyncio

ISSUER = "https://idp.example"
NOW = 1_700_000_000.0
CLAIMS = {"iss": ISSUER, "aud": "vpn", "sub": "1", "nonce": "n", "iat": NOW, "exp": NOW + 300}
VERIFIER, CHALLENGE = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
METADATA = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize?tenant=1",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/jwks",
}
RSA = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "two"})


class Idp:
    """Answers as ``documents`` say; counts its requests."""

    def __init__(self):
        self.requests = []
        self.now = 0.0
        self.token = ""
        self.documents = {
            "/.well-known/openid-configuration": METADATA,
            "/jwks": {"keys": [RSA.as_dict(private=False)]},
        }
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        self.http = http
        self.provider = self.provider_of(OidcClient("vpn", "s3cret"))

    def provider_of(self, client):
        return OidcProvider(ISSUER, client, self.http, clock=lambda: self.now, wall_clock=lambda: NOW)

    def answer(self, request):
        self.requests.append(request)
        if request.url.path == "/token":
            return httpx.Response(200, json={"id_token": self.token})
        found = self.documents[request.url.path]
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

    def asked(self, path):
        return sum(request.url.path == path for request in self.requests)

    async def claims(self, **more):
        return await self.provider.fetch_claims(
            code="c", verifier="v", redirect_uri="https://vpn/cb", nonce="n", **more
        )


@pytest.fixture
def idp():
    return Idp()


def sign(claims=CLAIMS, key=RSA, algorithm="RS256", **header):
    return jwt.encode({"alg": algorithm, "kid": key.kid, **header}, claims, key, algorithms=[algorithm])


@pytest.mark.parametrize("claim", [{}, {"auth_time": NOW - 3600}, {"auth_time": "now"}, {"auth_time": True}])
async def test_a_person_who_was_not_asked_once_more(idp, claim):
    idp.token = sign({**CLAIMS, **claim})
    assert await idp.claims()
    with pytest.raises(ProviderError, match="did not ask once more"):
        await idp.claims(proved_since=NOW - 5)


async def test_a_person_who_was_asked_once_more(idp):
    idp.token = sign({**CLAIMS, "auth_time": NOW})
    assert await idp.claims(proved_since=NOW - 5)
    url = await idp.provider.authorization_url(
        redirect_uri="https://vpn/cb", state="s", nonce="n", verifier=VERIFIER, scopes=(), again=True
    )
    assert "prompt=login&max_age=0" in url


async def test_a_code_becomes_claims(idp):
    idp.token = sign()
    assert (await idp.claims())["sub"] == "1"
    [exchange] = [request for request in idp.requests if request.url.path == "/token"]
    assert exchange.headers["authorization"].startswith("Basic ")
    assert b"code_verifier=v" in exchange.content
    assert b"s3cret" not in exchange.content
    await idp.claims()
    assert (idp.asked("/jwks"), idp.asked("/.well-known/openid-configuration")) == (1, 1), "kept"


async def test_the_url_of_the_browser(idp):
    url = httpx.URL(
        await idp.provider.authorization_url(
            redirect_uri="https://vpn/cb", state="s", nonce="n", verifier=VERIFIER, scopes=("email", "openid")
        )
    )
    assert url.params["tenant"] == "1"
    assert (url.params["scope"], url.params["code_challenge_method"]) == ("openid email", "S256")
    assert url.params["code_challenge"] == CHALLENGE, "the example of RFC 7636, appendix B"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://other"}, {"aud": "other"}, {"aud": ["vpn", "other"]}, {"azp": "other"}, {"nonce": "x"},
        {"nonce": None}, {"exp": NOW - 61}, {"exp": "never"}, {"exp": None}, {"iat": NOW + 61}, {"nbf": NOW + 61},
        {"nbf": "now"}, {"sub": ""}, {"sub": 7}, {"exp": True},
    ],
    ids=str,
)  # fmt: skip
async def test_wrong_claims(idp, change):
    idp.token = sign({**CLAIMS, **change})
    with pytest.raises(ProviderError):
        await idp.claims()


@pytest.mark.parametrize("change", [{"exp": NOW - 59}, {"iat": NOW + 59}, {"aud": ["vpn"]}, {"azp": "vpn"}], ids=str)
async def test_claims_at_their_edges(idp, change):
    idp.token = sign({**CLAIMS, **change})
    await idp.claims()


def without_signature(token):
    head = encode(b'{"alg":"none"}')
    return f"{head}.{token.split('.')[1]}."


def encode(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signed_with_the_public_key():
    """The old confusion: an HMAC whose key everybody knows."""
    head = encode(b'{"alg":"HS256","kid":"one"}')
    text = f"{head}.{encode(json.dumps(CLAIMS).encode())}"
    return f"{text}.{encode(hmac.digest(RSA.as_pem(private=False), text.encode(), 'sha256'))}"


@pytest.mark.parametrize(
    "token",
    [
        "", "x", "a.b.c", "." * 3, without_signature(sign()), sign()[:-4] + "AAAA", signed_with_the_public_key(),
        sign(key=RSAKey.generate_key(2048, {"kid": "one"})), sign(key=EC, algorithm="ES256"),
    ],
    ids=["empty", "text", "dots", "only dots", "none", "changed", "HMAC", "foreign key", "unknown key"],
)  # fmt: skip
async def test_tokens_that_the_provider_has_not_signed(idp, token):
    idp.token = token
    with pytest.raises(ProviderError):
        await idp.claims()


async def test_keys_that_change(idp):
    idp.token = sign()
    await idp.claims()
    idp.token = sign(key=EC, algorithm="ES256")
    idp.documents["/jwks"] = {"keys": [RSA.as_dict(private=False), EC.as_dict(private=False)]}
    with pytest.raises(ProviderError):
        await idp.claims()
    assert idp.asked("/jwks") == 1, "not fetched again at once"
    idp.now += KEYS_PAUSE
    await idp.claims()
    assert idp.asked("/jwks") == 2


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/.well-known/openid-configuration", {**METADATA, "issuer": "https://other"}),
        ("/.well-known/openid-configuration", {**METADATA, "token_endpoint": "http://idp.example/token"}),
        ("/.well-known/openid-configuration", {**METADATA, "jwks_uri": "file:///etc/passwd"}),
        ("/.well-known/openid-configuration", []),
        ("/.well-known/openid-configuration", httpx.Response(302, headers={"location": "https://127.0.0.1/"})),
        ("/.well-known/openid-configuration", httpx.Response(200, content=b" " * (MAX_ANSWER + 1))),
        ("/.well-known/openid-configuration", httpx.Response(200, content=b"[" * 100_000)),
        ("/jwks", {"keys": [RSA.as_dict(private=False)] * 100}),
        ("/jwks", {"keys": "none"}),
        ("/jwks", {"keys": [{"kty": "oct", "k": "AAAA", "kid": "one"}]}),
        ("/jwks", {"keys": [{"kty": "RSA", "kid": "one"}]}),
        ("/jwks", httpx.Response(500)),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_a_provider_that_is_broken_or_hostile(idp, path, document):
    idp.token = sign()
    idp.documents[path] = document
    with pytest.raises(ProviderError):
        await idp.claims()


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("https://idp", True), ("http://127.0.0.1:80/x", True), ("http://localhost", True), ("http://[::1]/", True),
        ("http://idp", False), ("https://", False), ("file:///etc/passwd", False), ("", False), ("http://[", False),
    ],
)  # fmt: skip
async def test_where_secrets_may_go(url, secure):
    assert is_secure_url(url) is secure


async def test_an_error_tells_no_secret(idp):
    idp.token = sign({**CLAIMS, "nonce": "x"})
    with pytest.raises(ProviderError) as caught:
        await idp.claims()
    assert json.dumps(str(caught.value)).find(idp.token) == -1
    assert "s3cret" not in str(caught.value)


async def test_a_client_with_a_key_sends_an_assertion_and_no_secret(idp):
    key = read_client_key(EC.as_pem(private=True))
    idp.provider = idp.provider_of(OidcClient("vpn", "", key))
    idp.token = sign()
    await idp.claims()
    [exchange] = [request for request in idp.requests if request.url.path == "/token"]
    assert "authorization" not in exchange.headers
    form = dict(httpx.QueryParams(exchange.content.decode()))
    token = jwt.decode(form["client_assertion"], EC, algorithms=["ES256"])
    assert token.claims["aud"] == METADATA["token_endpoint"]
