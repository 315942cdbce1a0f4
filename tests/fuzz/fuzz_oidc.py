# SPDX-License-Identifier: GPL-3.0-or-later
"""What an identity provider and a browser send: metadata, keys, ID tokens, claims, and the query of the callback."""

import asyncio
import json
import sys

import atheris

with atheris.instrument_imports():
    import httpx

    from vpn_frontend.auth.oidc.browser_logins import BrowserLogins
    from vpn_frontend.auth.oidc.client import OidcClient
    from vpn_frontend.auth.oidc.identity import MAX_GROUPS, MAX_NAME, Identity, read_identity
    from vpn_frontend.auth.oidc.pages import OidcClaims, OidcPages
    from vpn_frontend.auth.oidc.provider import OidcProvider
    from vpn_frontend.auth.oidc.signing_keys import ProviderError
    from vpn_frontend.protocol.browser_pages import BROWSER_COOKIE, PATHS
    from vpn_frontend.protocol.http import HttpConnection, HttpError
    from vpn_frontend.testing import MemoryEvents

ISSUER = "https://idp.example"
METADATA = {"issuer": ISSUER, "authorization_endpoint": f"{ISSUER}/a", "token_endpoint": f"{ISSUER}/t"}
METADATA["jwks_uri"] = f"{ISSUER}/k"
LOOP = asyncio.new_event_loop()


def fuzz_one(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    part, rest = provider.ConsumeIntInRange(0, 4), provider.ConsumeBytes(65536)
    answers = {"/.well-known/openid-configuration": json.dumps(METADATA).encode(), "/k": b'{"keys": []}'}
    if part == 0:
        answers["/.well-known/openid-configuration"] = rest
    elif part == 1:
        answers["/k"] = rest
    elif part == 2:
        answers["/t"] = rest
    elif part == 3:
        answers["/t"] = json.dumps({"id_token": rest.decode("latin-1")}).encode()
    else:
        check_claims(rest)
    LOOP.run_until_complete(log_in(answers, rest))


def check_claims(text: bytes) -> None:
    try:
        claims = json.loads(text)
        identity = read_identity(claims, OidcClaims()) if isinstance(claims, dict) else Identity("x", ())
    except (ValueError, RecursionError, ProviderError):
        return
    assert 0 < len(identity.user) <= MAX_NAME
    assert len(identity.groups) <= MAX_GROUPS


async def log_in(answers: dict[str, bytes], text: bytes) -> None:
    """Whatever the provider says, it lets in no user: no key of its has signed anything."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=answers.get(request.url.path, b"{}"))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        logins = BrowserLogins(60.0)
        oidc = OidcProvider(ISSUER, OidcClient("vpn"), http)
        pages = OidcPages(oidc, logins, OidcClaims(), events=MemoryEvents())
        login = logins.begin("vpn", None, 0.0)
        login.browser = "b"
        query = f"state={login.state}&code=c" if len(text) % 2 else text[:512].decode("latin-1")
        for path in sorted(PATHS):
            try:
                head = f"GET {path}?{query} HTTP/1.1\r\nHost: vpn\r\nCookie: {BROWSER_COOKIE}=b\r\n\r\n".encode(
                    "latin-1"
                )
                request = HttpConnection().receive(head)
            except HttpError:
                continue
            if request is not None:
                await pages.show(request)
        assert not isinstance(login.result, Identity)


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
