# SPDX-License-Identifier: GPL-3.0-or-later
"""``[auth.radius]`` from the file to the servers that are asked."""

from __future__ import annotations

import tomllib
from ipaddress import ip_address
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from ocsentry.configuration.model import Config, LoadedConfig
from ocsentry.login_methods.context import MethodContext
from ocsentry.login_methods.radius import SecretFileError, open_radius, open_servers, read_secret
from ocsentry.privileges.helper.configured import scope_of
from vpn_frontend.settings import Endpoint
from vpn_frontend.testing import MemoryDirectory, MemoryEvents

TWO = """
[auth]
methods = ["radius"]
[auth.radius]
timeout = 9
[[auth.radius.servers]]
address = "192.0.2.1"
secret_file = "one.secret"
[[auth.radius.servers]]
address = "[2001:db8::1]:2812"
accounting = "[2001:db8::2]:1813"
secret_file = "two.secret"
require_message_authenticator = false
"""


@pytest.fixture
def load(tmp_path):
    def load(text):
        values = Config.model_validate(tomllib.loads(text), context={"base": tmp_path})
        return LoadedConfig(tmp_path / "ocsentry.toml", values)

    return load


@pytest.fixture
def context(load, tmp_path):
    (tmp_path / "one.secret").write_text("first secret\n")
    (tmp_path / "two.secret").write_text("second secret")
    helper = SimpleNamespace(read_key=lambda path, limit: path.read_bytes()[:limit])
    return MethodContext(load(TWO), MemoryDirectory(), MemoryEvents(), helper)


@pytest.mark.asyncio
async def test_servers_are_asked_as_the_file_says(context):
    targets = [server.link.target for server in open_servers(context, purpose="login")._servers]
    assert [(target.endpoint, target.secret) for target in targets] == [
        (Endpoint(ip_address("192.0.2.1"), 1812), b"first secret"),
        (Endpoint(ip_address("2001:db8::1"), 2812), b"second secret"),
    ]
    assert [target.require_message_authenticator for target in targets] == [True, False]
    assert {target.timeout for target in targets} == {9.0}
    assert "secret" not in repr(targets)
    targets = [server.link.target for server in open_servers(context, purpose="accounting")._servers]
    assert [str(target.endpoint) for target in targets] == ["192.0.2.1:1813", "[2001:db8::2]:1813"]
    async with open_radius(context) as method:
        assert method.name == "radius"


def test_the_helper_reads_the_secrets(context, tmp_path):
    files = scope_of(context.config).files
    assert files["auth.radius.servers.0"] == tmp_path / "one.secret"
    assert files["auth.radius.servers.1"] == tmp_path / "two.secret"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[auth]\nmethods = ["radius"]', "needs auth.radius.servers"),
        ("[accounting]\nradius = true", "needs auth.radius.servers"),
        ('[auth.radius]\nservers = [{address = "radius.example", secret_file = "s"}]', "ADDRESS:PORT"),
        ('[auth.radius]\nservers = [{address = "192.0.2.1"}]', "secret_file"),
        (TWO.replace("timeout = 9", "timeout = 60"), "at most 110 together"),
        (TWO.replace("timeout = 9", "timeout = 0"), "timeout"),
        (TWO.replace("[auth]", "[auth]\ntimeout = 18"), "may take 18"),
        ('[auth]\nmethods = ["password", "radius"]', "radius"),
    ],
    ids=["no servers", "accounting", "a name", "no secret", "too long", "no time", "longer than a login", "two forms"],
)
def test_wrong_configurations_are_refused(load, text, problem):
    with pytest.raises(ValidationError, match=problem):
        load(text)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"x" * 1025], ids=["empty", "blank", "two", "long"])
def test_a_file_without_one_secret_is_refused(tmp_path, content):
    path = tmp_path / "radius.secret"
    path.write_bytes(content)
    with pytest.raises(SecretFileError, match=r"radius\.secret"):
        read_secret(path, lambda path, limit: path.read_bytes()[:limit])
    with pytest.raises(SecretFileError, match="cannot be read"):
        read_secret(tmp_path / "none", lambda path, limit: path.read_bytes())
