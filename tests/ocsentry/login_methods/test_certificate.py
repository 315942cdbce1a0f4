# SPDX-License-Identifier: GPL-3.0-or-later
"""``[auth.certificate]`` from the file to the method."""

from __future__ import annotations

import tomllib
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from lab.authority import DAY, Authority
from ocsentry.configuration.model import Config, LoadedConfig
from ocsentry.login_methods.certificate import open_certificate
from ocsentry.privileges.helper.configured import scope_of
from vpn_frontend.auth.certificate.identity import CertificateFields
from vpn_frontend.auth.certificate.method import CertificateMethod, GroupQuestion
from vpn_frontend.auth.group_logins import plan_of
from vpn_frontend.settings import CertificateSettings
from vpn_frontend.testing import MemoryDirectory
from vpn_frontend.validation import validate

ONLY = """
[auth]
methods = ["certificate"]
groups = ["ops"]
[groups.lab]
label = "The lab"
[auth.certificate]
ca = "ca.pem"
crl = "crl.pem"
user_field = "san:email"
group_field = "OU"
at_connect = "optional"
ask_group = true
"""


@pytest.fixture
def load(tmp_path):
    def load(text):
        values = Config.model_validate(tomllib.loads(text), context={"base": tmp_path})
        return LoadedConfig(tmp_path / "ocsentry.toml", values)

    return load


@pytest.mark.asyncio
async def test_the_method_of_a_file(load, tmp_path):
    config = load(ONLY)
    assert config.vpn.auth.certificate == CertificateSettings(
        tmp_path / "ca.pem", tmp_path / "crl.pem", "strict", "san:email", "OU", "optional", ask_group=True
    )
    assert {"auth.certificate.ca", "auth.certificate.crl"} <= scope_of(config).files.keys()
    async with open_certificate(SimpleNamespace(config=config, directory=MemoryDirectory())) as method:
        assert isinstance(method, CertificateMethod)
        assert method._fields == CertificateFields("san:email", "OU")
        assert method._question == GroupQuestion(frozenset({"ops", "lab"}), (("lab", "The lab"),))


@pytest.mark.parametrize(
    ("methods", "require", "asked", "needed"),
    [
        (["password"], [], False, False),
        (["certificate"], [], True, True),
        (["certificate", "password"], [], True, False),
        (["password"], ["certificate"], True, True),
    ],
    ids=["none", "alone", "either", "both"],
)
def test_when_a_certificate_is_asked_for_and_needed(load, methods, require, asked, needed):
    auth = load(f'[auth]\nmethods = {methods}\nrequire = {require}\n[auth.certificate]\nca = "ca.pem"').vpn.auth
    assert (auth.asks_for_certificates, plan_of(auth.rules).needs_certificate) == (asked, needed)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[auth]\nmethods = ["certificate"]', "auth.certificate.ca"),
        ('[auth.certificate]\nuser_field = ""', "is not one of CN"),
        ('[auth.certificate]\nuser_field = "cn"', "nor an OID"),
        ('[auth.certificate]\ngroup_field = "san:dns"', "is not one of CN"),
        ('[auth.certificate]\nat_connect = "never"', "'same' or 'optional'"),
    ],
    ids=["no CA", "no field", "case", "group", "at_connect"],
)
def test_what_is_refused(load, text, problem):
    with pytest.raises(ValidationError, match=problem):
        load(text)


def test_a_check_names_what_would_refuse_clients(load, tmp_path):
    authority = Authority(tmp_path)
    settings = load(ONLY).vpn
    problems = [text for text in validate(settings, host_networks=()) if "pem" in text]
    assert len(problems) == 1
    assert "No such file" in problems[0]
    (tmp_path / "crl.pem").write_bytes(authority.revoke(lifetime=-DAY))
    problems = [text for text in validate(settings, host_networks=()) if "pem" in text]
    assert len(problems) == 1
    assert "should have been replaced" in problems[0]
