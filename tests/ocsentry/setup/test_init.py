# SPDX-License-Identifier: GPL-3.0-or-later
"""``init``: what clients reach, and the folders, owners and modes of a system's service.

www-data stands for the service's user: it is on every Debian.
"""

from __future__ import annotations

import contextlib
import io
import os
import pwd
import stat

import pytest

from ocsentry.acme.state import AcmeFolder, AcmeState
from ocsentry.cli.app import build_app
from ocsentry.cli.invocation import run
from ocsentry.configuration.model import load_config
from ocsentry.setup import client_traffic, host_network
from ocsentry.setup.certificates import inspect_pair
from ocsentry.setup.client_traffic import ClientTraffic, host_resolvers
from ocsentry.setup.init import init_server
from ocsentry.setup.layout import Layout

USER = "www-data"
EVERYTHING = ClientTraffic(full_tunnel=True)


def mode_and_owner(path):
    facts = path.stat()
    return stat.filemode(facts.st_mode), pwd.getpwuid(facts.st_uid).pw_name, facts.st_gid


@pytest.mark.parametrize(
    ("options", "routes", "dns"),
    [
        (["--full-tunnel", "--dns", "9.9.9.9"], [], ["9.9.9.9"]),
        (["--lan", "10.0.0.0/8", "--lan", "fd12::/48"], ["192.168.99.0/24", "10.0.0.0/8", "fd12::/48"], []),
        ([], ["192.168.99.0/24"], []),
    ],
    ids=["full tunnel", "networks", "the server alone"],
)
def test_options_say_what_clients_reach(bare_command_line, monkeypatch, options, routes, dns):
    monkeypatch.setattr("ocsentry.setup.init.ipv6_is_off", lambda _: True)
    folder = bare_command_line.folder / "new"
    said = bare_command_line.json("init", "--dir", folder, *options)
    network = load_config(folder / "ocsentry.toml").vpn.network
    assert (list(map(str, network.routes)), list(map(str, network.dns))) == (routes, dns)
    assert network.ipv6_pool is None  # the host has none
    assert any("network up" in note for note in said["notes"]) is bool(options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--lan", "10.0.0.1/8"], "10.0.0.1/8 has host bits set"),
        (["--lan", "10.0.0.0/8", "--full-tunnel"], "--lan says nothing beside --full-tunnel"),
        (["--email", "ops@example.org?cc=a@example.org"], "'ops@example.org?cc=a@example.org' is no e-mail address"),
        (["--email", "ops"], "'ops' is no e-mail address"),
    ],
    ids=["host bits", "both", "a header field", "no domain"],
)
def test_options_that_cannot_be_meant_create_nothing(bare_command_line, options, said):
    folder = bare_command_line.folder / "new"
    assert said in bare_command_line.fails("init", "--dir", folder, *options)
    assert not folder.exists()


def test_the_contact_is_that_of_a_later_order(bare_command_line):
    folder = bare_command_line.folder / "new"
    said = bare_command_line.json("init", "--dir", folder, "--email", "ops@example.org")
    assert said["email"] == "ops@example.org"
    assert AcmeFolder(folder).read() == AcmeState(email="ops@example.org")
    assert stat.S_IMODE((folder / "acme").stat().st_mode) == 0o700
    other = folder.with_name("other")
    text = bare_command_line.ok("init", "--dir", other, "--name", "vpn.example.org", "--email", "ops@example.org")
    assert f"  ocsentry cert acme --name vpn.example.org --config {other}/ocsentry.toml" in text


def test_a_terminal_is_asked_for_what_no_option_says(bare_command_line, monkeypatch):
    answers = io.StringIO("vpn.example.org\nops@example.org\nn\n10.0.0.0/8, fd12::/48\n")
    answers.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", answers)
    folder = bare_command_line.folder / "new"
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert run(build_app(), ["init", "--dir", str(folder)]) == 0
    assert "E-mail address for a certificate authority" in out.getvalue()
    assert AcmeFolder(folder).read().email == "ops@example.org"
    assert "10.0.0.0/8" in map(str, load_config(folder / "ocsentry.toml").vpn.network.routes)
    facts = inspect_pair(folder / "server.crt", folder / "server.key")
    assert facts.names[0] == "vpn.example.org"


def test_resolvers_of_this_host_alone_are_not_for_clients(tmp_path):
    (tmp_path / "stub").write_text("nameserver 127.0.0.53\nnameserver fe80::1%eth0\n")
    (tmp_path / "real").write_text("search lan\nnameserver 10.0.0.53\nnameserver fd00::53\n")
    assert list(map(str, host_resolvers([tmp_path / "missing", tmp_path / "stub", tmp_path / "real"]))) == [
        "10.0.0.53",
        "fd00::53",
    ]
    assert host_resolvers([tmp_path / "stub"]) == ()
    assert client_traffic.RESOLVER_FILES[-1].name == "resolv.conf"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_services_files_have_the_owners_that_its_units_need(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(host_network, "load_rules", lambda _: done.append("rules"))
    monkeypatch.setattr(host_network, "forward", lambda _: done.append("forward"))
    other = tmp_path / "etc/ocsentry/other.pem"
    other.parent.mkdir(parents=True)
    other.write_text("a secret of the operator's")
    other.chmod(0o600)
    before = os.umask(0o077)
    try:
        made = init_server(Layout.system(tmp_path, USER), names=["vpn.example.org"], traffic=EVERYTHING)
    finally:
        os.umask(before)
    user = pwd.getpwnam(USER)
    folder, state = tmp_path / "etc/ocsentry", tmp_path / "var/lib/ocsentry"
    assert mode_and_owner(folder) == ("drwxr-x---", "root", user.pw_gid)
    assert mode_and_owner(folder / "rules") == ("drwxr-x---", "root", user.pw_gid)
    assert mode_and_owner(folder / "ocsentry.toml") == ("-rw-r-----", "root", user.pw_gid)
    assert mode_and_owner(folder / "server.key") == ("-rw-------", "root", 0)
    assert mode_and_owner(other) == ("-rw-------", "root", 0)
    assert mode_and_owner(state) == ("drwx------", USER, user.pw_gid)
    assert mode_and_owner(state / "ocsentry.db") == ("-rw-------", USER, user.pw_gid)
    values = made.config.values
    key = state / "totp.key"
    assert not key.exists() or mode_and_owner(key) == ("-rw-------", USER, user.pw_gid)
    assert values.admin.socket == tmp_path / "run/ocsentry/admin.sock"
    assert values.policy.feeds == state / "feeds"
    assert values.auth.totp.key_file == state / "totp.key"
    assert done == ["rules", "forward"]
    assert not list(folder.glob("*.db*"))
