# SPDX-License-Identifier: GPL-3.0-or-later
"""Bearer tokens of a provider whose metadata and keys are files."""

import json
import time
from ipaddress import ip_address
from types import SimpleNamespace

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from ocsentry.configuration.sections.bearer import BearerSection
from ocsentry.login_methods.bearer import FileDocuments, open_bearer
from ocsentry.user_files.file_thread import FileThread
from tests.vpn_frontend.auth.scripted import outcome_of
from vpn_frontend.auth.bearer.method import BAD_TOKEN
from vpn_frontend.auth.bearer.tokens import FILE_LIFETIME, BearerRules, BearerTokens
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.oidc.claims import file_of_url
from vpn_frontend.auth.oidc.signing_keys import ProviderError, TokenError
from vpn_frontend.auth.result import Accepted
from vpn_frontend.protocol.client_offer import ClientOffer
from vpn_frontend.testing import MemoryDirectory

KEY = RSAKey.generate_key(2048, {"kid": "one"})


def write_provider(folder, host=""):
    keys, metadata = folder / "keys.json", folder / "the metadata.json"
    keys.write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))
    metadata.write_text(json.dumps({"jwks_uri": f"file://{host}{keys}"}))
    return f"file://{host}{str(metadata).replace(' ', '%20')}"


async def log_in(url, **changes):
    required = {"iss": "idp"}
    section = BearerSection(configuration_url=url, audience="vpn", required_claims=required)
    config = SimpleNamespace(values=SimpleNamespace(auth=SimpleNamespace(bearer=section)))
    now = int(time.time())
    claims = {"iss": "idp", "aud": "vpn", "preferred_username": "dora", "exp": now + 300, **changes}
    token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, KEY)
    login = LoginRequest("", "", "", ip_address("192.0.2.1"), submitted=False, offer=ClientOffer(bearer=token))
    async with open_bearer(SimpleNamespace(config=config, directory=MemoryDirectory())) as method:
        return await outcome_of(method.begin(login))


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["", "localhost"])
async def test_metadata_and_keys_may_be_files(tmp_path, host):
    url = write_provider(tmp_path, host)
    accepted = await log_in(url)
    assert isinstance(accepted, Accepted)
    assert accepted.user.name == "dora"
    assert await log_in(url, iss="other") == BAD_TOKEN


@pytest.mark.asyncio
async def test_keys_of_a_file_are_changed_within_a_second(tmp_path):
    url, clock = write_provider(tmp_path), [0.0]
    rules, files = BearerRules(url, "vpn", required={"iss": "idp"}), FileThread()
    tokens = BearerTokens(rules, FileDocuments(files, None), clock=lambda: clock[0])
    claims = {"iss": "idp", "aud": "vpn", "preferred_username": "dora", "exp": int(time.time()) + 300}
    former = jwt.encode({"alg": "RS256", "kid": "one"}, claims, KEY)
    assert (await tokens.check(former)).user == "dora"
    other = RSAKey.generate_key(2048, {"kid": "two"})
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [other.as_dict(private=False)]}))
    clock[0] += FILE_LIFETIME
    assert (await tokens.check(jwt.encode({"alg": "RS256", "kid": "two"}, claims, other))).user == "dora"
    with pytest.raises(TokenError):
        await tokens.check(former)
    files.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), ("[]", "not a JSON object"), ("x" * (1 << 21), "larger than")]
)
async def test_a_file_that_cannot_be_used_is_no_token_s_fault(tmp_path, content, words):
    url, keys = write_provider(tmp_path), tmp_path / "keys.json"
    if content is None:
        keys.unlink()
    else:
        keys.write_text(content)
    with pytest.raises(ProviderError, match=words):
        await log_in(url)


@pytest.mark.parametrize(
    "url", ["https://a/b", "file://elsewhere/a", "file:a", "file://", "file:///a%00b", "file://user@localhost/a"]
)
def test_other_urls_are_no_file_of_this_host(url):
    assert file_of_url(url) is None
