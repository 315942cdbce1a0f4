# SPDX-License-Identifier: GPL-3.0-or-later
"""``[[vpn.host]]`` and ``vpn.certificates`` in the configuration file."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from ocsentry.configuration.model import ConfigError, load_config
from ocsentry.privileges.helper.configured import scope_of
from ocsentry.privileges.pam.scope import PamScope, PamService, pam_scope_of, pam_service_of
from ocsentry.privileges.server_reach import reach_of_server
from vpn_frontend.settings import CertificateFiles, SettingsPlaces

WHOLE = """
[vpn]
certificates = [{certificate = "rsa.crt", private_key = "rsa.key"}]
[[vpn.host]]
name = "Staff.example.org"
certificates = [{certificate = "staff.crt", private_key = "staff.key"}]
groups = ["staff"]
network = {ipv4_pool = "10.7.0.0/24"}
mtu = 1300
[vpn.host.auth]
methods = ["certificate"]
certificate_ca = "staff-ca.crt"
[[vpn.host]]
name = "gäste.example.org"
"""


def load(folder, text):
    path = folder / "ocsentry.toml"
    path.write_text(text)
    return load_config(path)


def test_a_host_has_what_it_sets_and_the_rest_of_the_server(tmp_path):
    vpn = load(tmp_path, WHOLE).vpn
    staff, guests = vpn.hosts
    assert (staff.name, guests.name) == ("staff.example.org", "xn--gste-loa.example.org")
    assert staff.certificates == (CertificateFiles(tmp_path / "staff.crt", tmp_path / "staff.key"),)
    assert staff.overrides == {"network": {"ipv4_pool": IPv4Network("10.7.0.0/24"), "mtu": 1300}}
    assert (staff.auth.methods, staff.auth.certificate.ca) == (("certificate",), tmp_path / "staff-ca.crt")
    assert (guests.auth.methods, guests.certificates, guests.groups) == (("password",), (), ())
    assert vpn.asks_for_certificates
    assert not vpn.auth.asks_for_certificates
    assert vpn.method_names() == ("password", "certificate")
    assert [files.certificate.name for files in vpn.own_certificates()] == ["server.crt", "rsa.crt"]
    assert vpn.more_pools() == {IPv4Network("10.7.0.0/24"): "vpn.host.staff.example.org"}


def test_the_helper_may_read_the_files_of_hosts(tmp_path):
    names = {path.name for path in scope_of(load(tmp_path, WHOLE)).files.values()}
    assert {"rsa.crt", "rsa.key", "staff.crt", "staff.key", "staff-ca.crt"} <= names


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ('name = "a b"', "'a b' is no host name"),
        ('name = ""', "'' is no host name"),
        ('name = "-"\nunknown = 1', "unknown key"),
        ('name = "a.test"\n[[vpn.host]]\nname = "A.test."', "two hosts have the name a.test"),
        ('name = "a.test"\nauth = {methods = ["certificate"]}', "vpn.host.a.test: auth.certificate.ca"),
        ('name = "a.test"\nauth = {methods = ["totp"]}', "vpn.host.a.test: totp names no user"),
        ('name = "a.test"\nauth = {methods = ["ldap"]}', "vpn.host.a.test: auth.ldap"),
        ('name = "a.test"\nnetwork = {ipv4_pool = "192.168.99.0/25"}', "overlaps with 192.168.99.0/24 of vpn.network"),
        ('name = "a.test"\nnetwork = {device = "x"}', "device"),
        ('name = "a.test"\nauth = {oath_file = "x"}', "vpn.host.a.test: auth.oath_file: its codes are asked for only"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_host_is_refused_in_words(tmp_path, host, problem):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"[[vpn.host]]\n{host}\n")
    assert problem in str(caught.value)


def test_an_unknown_cipher_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"vpn\.ciphers"):
        load(tmp_path, '[vpn]\nciphers = ["AES128-SHA"]\n')


FILES = """
[vpn]
user_config_dir = "users"
default_group_config = "group"
[auth]
ocpasswd_file = "own.passwd"
[[vpn.host]]
name = "a.example"
user_config_dir = "a-users"
auth = {ocpasswd_file = "a.passwd", oath_file = "a.oath", require = ["totp"]}
[[vpn.host]]
name = "b.example"
"""


def test_a_host_has_files_of_users_of_its_own(tmp_path):
    config = load(tmp_path, FILES)
    vpn = config.vpn
    a, b = vpn.hosts
    assert (a.auth.ocpasswd_file, a.auth.oath_file) == (tmp_path / "a.passwd", tmp_path / "a.oath")
    assert a.folders == SettingsPlaces(tmp_path / "a-users", None, None, tmp_path / "group")
    assert (b.auth.ocpasswd_file, b.folders) == (tmp_path / "own.passwd", vpn.folders)
    assert vpn.hosts_with_accounts() == (a,)
    assert {"a.passwd", "a.oath", "own.passwd"} <= {path.name for path in scope_of(config).files.values()}
    (tmp_path / "a-users").mkdir()
    assert tmp_path / "a-users" in reach_of_server(config).read


PAM = """
[vpn]
[auth]
methods = ["pam"]
[auth.pam]
service = "vpn"
[accounting]
pam = true
[[vpn.host]]
name = "a.example"
auth = {pam_service = "staff"}
[[vpn.host]]
name = "b.example"
auth = {pam_gid_min = 0}
[[vpn.host]]
name = "c.example"
"""


def test_a_host_has_a_service_of_pam_of_its_own(tmp_path):
    config = load(tmp_path, PAM)
    assert [host.name for host in config.vpn.hosts_with_accounts()] == ["a.example", "b.example"]
    services = (PamService("vpn", 1000), PamService("staff", 1000), PamService("vpn", 0))
    assert tuple(pam_service_of(config, host) for host in ("", "a.example", "b.example")) == services
    assert pam_service_of(config, "c.example") == services[0]
    scope = pam_scope_of(config)
    assert (scope.services, scope.session, scope.names) == (services, "vpn", ("vpn", "staff"))


def test_sessions_of_pam_need_no_login_by_it(tmp_path):
    config = load(tmp_path, '[vpn]\n[accounting]\npam = true\npam_service = "sessions"\n')
    assert pam_scope_of(config) == PamScope((), 240, session="sessions")
    assert pam_scope_of(load(tmp_path, "[vpn]\n")) is None


def test_the_server_needs_no_service_of_pam_for_a_host_s_logins(tmp_path):
    host = '[[vpn.host]]\nname = "a.example"\nauth = {methods = ["pam"], pam_service = "staff"}\n'
    assert pam_scope_of(load(tmp_path, host)) == PamScope((PamService("staff", 1000),), 240)
