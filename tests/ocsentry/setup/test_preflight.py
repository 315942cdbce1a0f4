# SPDX-License-Identifier: GPL-3.0-or-later
"""``serve --check``: files of the authentication methods."""

import pytest

from lab.services.kdc import Kdc
from ocsentry.configuration.model import load_config
from ocsentry.privileges.gssapi import keytab as gssapi_keytab
from ocsentry.privileges.gssapi.keytab import find_package_problem
from ocsentry.setup import preflight
from ocsentry.setup.doctor import run_checks
from ocsentry.setup.preflight import check_startup

LDAP = """
[auth]
methods = ["ldap"]
[auth.ldap]
url = "ldaps://localhost"
base = "dc=example"
bind_dn = "cn=vpn"
password_file = "secret"
"""
PAM = '[auth]\nmethods = ["pam"]\n'


def problems(folder, text):
    path = folder / "ocsentry.toml"
    path.write_text(text)
    found = check_startup(load_config(path))
    return [problem.removeprefix(f"{path}: ") for problem in found if ": auth." in problem]


def test_the_password_of_the_directory_is_there_and_not_for_every_user(tmp_path):
    secret = tmp_path / "secret"
    assert problems(tmp_path, LDAP)[0].startswith(f"auth.ldap.password_file: {secret} cannot be read")
    secret.write_text("secret\n")
    secret.chmod(0o644)
    assert problems(tmp_path, LDAP) == [f"auth.ldap.password_file: {secret}: every user may read it: chmod o-r"]
    secret.chmod(0o600)
    assert problems(tmp_path, LDAP) == []


def test_authorities_that_cannot_be_used_are_named(tmp_path):
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "ca.pem").write_text("no certificate")
    assert problems(tmp_path, LDAP + 'ca = "ca.pem"')[0].startswith(f"auth.ldap.ca: {tmp_path}/ca.pem cannot be used")


@pytest.mark.parametrize(("mode", "problem"), [(0o644, "is no program that can be run"), (0o755, "")])
def test_a_hook_that_cannot_be_run_is_named(tmp_path, mode, problem):
    (tmp_path / "hook").touch()
    (tmp_path / "hook").chmod(mode)
    path = tmp_path / "ocsentry.toml"
    path.write_text('[vpn.hooks]\ndisconnect = ["hook", "now"]\n')
    found = [line for line in check_startup(load_config(path)) if "vpn.hooks" in line]
    assert found == ([f"{path}: vpn.hooks.disconnect: {tmp_path}/hook {problem}"] if problem else [])


@pytest.mark.parametrize("exists", [False, True])
def test_a_pam_service_without_a_file_is_named(tmp_path, monkeypatch, exists):
    monkeypatch.setattr(preflight, "PAM_SERVICES", (tmp_path,))
    if exists:
        (tmp_path / "ocsentry").touch()
    expected = [] if exists else [f"auth.pam.service: {tmp_path}/ocsentry does not exist"]
    assert problems(tmp_path, PAM) == expected


@pytest.fixture(scope="module")
def keytabs(tmp_path_factory):
    kdc = Kdc(tmp_path_factory.mktemp("kdc"))
    kdc.add_service("HTTP/vpn.example.org", keytab="vpn.keytab")
    kdc.add_service("host/vpn.example.org", keytab="host.keytab")
    return kdc.folder


def gssapi(keytab):
    return f'[auth]\nmethods = ["gssapi"]\n[auth.gssapi]\nkeytab = "{keytab}"\n'


def test_a_keytab_without_the_servers_key_is_named(tmp_path, keytabs, monkeypatch):
    keytab, other = keytabs / "vpn.keytab", keytabs / "host.keytab"
    assert problems(tmp_path, gssapi(keytab)) == []
    assert problems(tmp_path, gssapi(other)) == [f"auth.gssapi.keytab: {other} has no key of HTTP/HOST (see klist -k)"]
    keytab.chmod(0o644)
    assert problems(tmp_path, gssapi(keytab)) == [f"auth.gssapi.keytab: {keytab}: every user may read it: chmod o-r"]
    keytab.chmod(0o600)
    monkeypatch.setattr(gssapi_keytab, "find_spec", lambda _: None)
    assert problems(tmp_path, gssapi(keytab)) == [find_package_problem()]


def test_the_doctor_names_the_keys_of_the_keytab(tmp_path, keytabs):
    path = tmp_path / "ocsentry.toml"
    path.write_text(gssapi(keytabs / "vpn.keytab"))
    (result,) = [one for one in run_checks(load_config(path)) if one.check == "kerberos"]
    assert (result.level, "HTTP/vpn.example.org@EXAMPLE.ORG" in result.detail) == ("ok", True)
