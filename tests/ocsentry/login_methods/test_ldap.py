# SPDX-License-Identifier: GPL-3.0-or-later
from ipaddress import ip_address
from types import SimpleNamespace

import pytest

from lab.services.directory_server import (
    BASE,
    HOST,
    PASSWORD,
    SECURE_PORT,
    SERVICE_DN,
    SERVICE_PASSWORD,
    person,
    running,
)
from ocsentry.configuration.sections.ldap import LdapSection
from ocsentry.errors import OperatorError
from ocsentry.login_methods.context import MethodContext
from ocsentry.login_methods.ldap import open_ldap
from vpn_frontend.auth.ldap import resolver
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.result import Accepted, FirstForm
from vpn_frontend.testing import MemoryDirectory, MemoryEvents

LOGIN = LoginRequest("alice", PASSWORD, "", ip_address("192.0.2.1"))


class Files:
    """The helper's part of reading files."""

    def read_key(self, path, limit):
        return path.read_bytes()[:limit]


def context(section):
    config = SimpleNamespace(values=SimpleNamespace(auth=SimpleNamespace(ldap=section)))
    return MethodContext(config, MemoryDirectory(), MemoryEvents(), Files())


def section(folder, ca, password=SERVICE_PASSWORD):
    secret = folder / "secret"
    secret.write_text(password + "\n")
    return LdapSection(
        url=f"ldaps://{HOST}:{SECURE_PORT}", base=BASE, bind_dn=SERVICE_DN, password_file=secret, ca=ca, timeout=60
    )


@pytest.mark.asyncio
async def test_the_configured_directory_is_asked(tmp_path, monkeypatch):
    with running(tmp_path, person("alice")) as server:
        monkeypatch.setattr(resolver, "look_up", lambda host: [server.address])
        monkeypatch.setattr(resolver.Resolver.__init__, "__defaults__", (lambda host: [server.address],))
        async with open_ldap(context(section(tmp_path, server.authority))) as method:
            assert method.name == "ldap"
            assert isinstance(await method.begin(LOGIN).wait(), Accepted)
            assert method.begin(LoginRequest("", "", "", LOGIN.address, submitted=False)) == FirstForm()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("key", "text"), [("ca", ""), ("ca", "no certificate"), ("password_file", ""), ("password_file", None)]
)
async def test_files_that_cannot_be_used_are_named_with_their_key(tmp_path, key, text):
    made = section(tmp_path, None)
    file = tmp_path / "file"
    if text is not None:
        file.write_text(text)
    with pytest.raises(OperatorError, match=rf"auth\.ldap\.{key}: .*file"):
        async with open_ldap(context(made.model_copy(update={key: file}))):
            pass
