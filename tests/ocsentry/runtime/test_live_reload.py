# SPDX-License-Identifier: GPL-3.0-or-later
"""A running server takes what can change, names what cannot, and keeps everything of a broken file as it was.

namespace: lo, the TUN device that the server makes, nothing else
"""

from __future__ import annotations

import shutil
import ssl
import subprocess

import pytest

from lab.certificates import make_certificate
from lab.namespaces import Claim, Namespace
from lab.timeouts import TIMEOUT
from ocsentry.runtime.admin.api_certificate import renew_certificate
from tests.ocsentry.command_line import CommandLine
from tests.ocsentry.served import Served, serving
from vpn_frontend.gateway.certificates.server_certificate import CertificateError

PORT = 8443


@pytest.fixture(scope="module")
def served(initialised, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reload") / "server"
    shutil.copytree(initialised, folder)
    for name in ("crt", "key"):
        shutil.copy(folder / f"server.{name}", folder / f"api.{name}")
    configuration = folder / "ocsentry.toml"
    text = configuration.read_text()
    assert "[admin]\n" in text
    configuration.write_text(text.replace("[admin]\n", '[admin]\ncertificate = "api.crt"\nprivate_key = "api.key"\n'))
    claim = Claim()
    try:
        namespace = Namespace.create(claim.name("reload")).name
        with serving(Served(CommandLine(folder), namespace)) as server:
            server.namespace = namespace
            yield server
            server.stop()
    finally:
        claim.release()


@pytest.fixture
def change(served):
    """Replaces text in the configuration; the file is as before at the end."""
    file = served.command_line.config
    before = file.read_text()

    def replace(old, new):
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    yield replace
    file.write_text(before)
    served.command_line.ok("reload")


def api_certificate(served):
    """The API's certificate, as a client of its TCP port sees it."""
    program = f"import ssl; print(ssl.get_server_certificate(('127.0.0.1', {PORT}), timeout=30))"
    command = ["ip", "netns", "exec", served.namespace, "python3", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT)
    return ssl.PEM_cert_to_DER_cert(done.stdout)


@pytest.mark.netns
def test_live_keys_are_in_force_and_others_are_named(served, change):
    cli = served.command_line
    seen = len(served.lines)
    change("[vpn.network]\n", "[vpn.network]\nmtu = 1350\n")
    change("[admin]\n", '[admin]\nhosts = ["vpn.example.org"]\n')
    (cli.folder / "ocsentry.toml").open("a").write("\n[groups.night]\nroutes = ['10.77.0.0/16']\n")
    report = cli.json("reload")
    assert report["in_force"] == ["admin.hosts", "groups.night"]
    assert report["needs_restart"] == ["vpn.network.mtu"]
    assert cli.json("group", "show", "night")["effective"]["network.routes"]["value"] == ["10.77.0.0/16"]
    assert cli.json("status")["needs_restart"] == ["vpn.network.mtu"]
    assert "restart   needed for vpn.network.mtu" in cli.ok("status")
    event = served.await_event("configuration_reloaded", seen)
    assert event["needs_restart"] == ["vpn.network.mtu"]


def login_form(served):
    """The first form, as a new connection gets it."""
    program = (
        "import ssl, urllib.request as r; print(r.urlopen('https://127.0.0.1/', timeout=30, "
        "context=ssl._create_unverified_context()).read().decode())"
    )
    command = ["ip", "netns", "exec", served.namespace, "python3", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout


@pytest.mark.netns
def test_networks_that_are_never_blocked_change_while_the_server_runs(served, change):
    cli, network = served.command_line, "198.51.100.0/24"
    change('never_block = ["127.0.0.0/8"', f'never_block = ["{network}", "127.0.0.0/8"')
    assert cli.json("reload")["in_force"] == ["policy.never_block"]
    assert "never_block exempts" in cli.fails("block", "198.51.100.7", "--ttl", "1m")
    change(f'"{network}", ', "")
    assert cli.json("reload")["in_force"] == ["policy.never_block"]
    cli.ok("block", "198.51.100.7", "--ttl", "1m")
    cli.ok("unblock", "198.51.100.7")
    assert "/policy.never_block" in cli.fails("settings", "set", f"policy.never_block={network}")


@pytest.mark.netns
def test_a_banner_before_the_login_is_shown_to_new_connections(served, change):
    assert "Closed on Friday" not in login_form(served)
    (served.command_line.folder / "ocsentry.toml").open("a").write("\n[auth]\npre_login_banner = 'Closed on Friday'\n")
    assert served.command_line.json("reload")["in_force"] == ["auth.pre_login_banner"]
    assert "Closed on Friday" in login_form(served)


@pytest.mark.netns
def test_a_broken_file_changes_nothing_and_says_so(served, change):
    cli = served.command_line
    before = cli.json("status")["policy"]["version"]
    change("[admin]\n", "[admin]\nhost = 1\n")
    error = cli.fails("reload")
    assert "admin.host: unknown key" in error
    status = cli.json("status")
    assert not status["ready"]
    assert any("admin.host: unknown key" in problem for problem in status["problems"])
    assert status["policy"]["version"] == before
    change("host = 1\n", "")
    cli.ok("reload")
    assert cli.json("status")["ready"]


@pytest.mark.netns
def test_the_certificate_of_the_api_is_read_again(served):
    cli = served.command_line
    old = api_certificate(served)
    (cli.folder / "api.crt").write_text("broken")
    assert "api.crt" in cli.fails("reload")
    assert api_certificate(served) == old
    (cli.folder / "fresh").mkdir()
    make_certificate(cli.folder / "fresh")
    for name in ("crt", "key"):
        shutil.copy(cli.folder / "fresh" / f"server.{name}", cli.folder / f"api.{name}")
    cli.ok("reload")
    assert api_certificate(served) != old


def test_a_pair_that_does_not_match_leaves_the_earlier_one(initialised, tmp_path):
    make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def read(path, limit):
        return path.read_bytes()[:limit]

    renew_certificate(context, tmp_path / "server.crt", tmp_path / "server.key", read)
    with pytest.raises(CertificateError, match="is not the key of"):
        renew_certificate(context, initialised / "server.crt", tmp_path / "server.key", read)
