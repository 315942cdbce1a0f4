# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of root look with the eyes of the server's user, and what they write is readable for it.

www-data stands for the server's user: it is on every Debian, and the only one in its group.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from ocsentry.cli.commands import service
from ocsentry.configuration.model import load_config
from ocsentry.configuration.policy_files import load_policy
from ocsentry.privileges import access
from ocsentry.setup import doctor, service_user
from ocsentry.setup.checks import files
from ocsentry.setup.preflight import check_startup
from ocsentry.setup.service_user import ServiceUser
from tests.ocsentry.command_line import CommandLine

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
USER = "www-data"
STARTER = Path(service_user.__file__).parents[1] / "starter"
FEED = {"id": "drop", "url": "https://lists.example.org/drop.txt"}


@pytest.fixture
def by_the_book(initialised, monkeypatch):
    """A server by docs/operations.md: files of root and the user's group, the unit, a key for root alone."""
    user = pwd.getpwnam(USER)
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        Path(top).chmod(0o755)
        folder = Path(top) / "server"
        shutil.copytree(initialised, folder)
        folder.chmod(0o770)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 0, user.pw_gid)
        os.chown(folder / "ocsentry.db", user.pw_uid, user.pw_gid)
        units = Path(top) / "units"
        units.mkdir()
        for unit in STARTER.glob("*.service"):  # as the package installs them: some name the configuration, too
            text = unit.read_text().replace("/etc/ocsentry/ocsentry.toml", str(folder / "ocsentry.toml"))
            (units / unit.name).write_text(text.replace("User=ocsentry", f"User={USER}"))
        monkeypatch.setattr(service_user, "UNIT_FOLDERS", (units,))
        # The interpreter of the tests may lie where the user cannot go: it counts as readable, and all is imported.
        monkeypatch.setattr(access, "sys", SimpleNamespace(prefix="/usr", base_prefix="/usr"))
        load_policy(load_config(folder / "ocsentry.toml").values.policy)
        yield CommandLine(folder)


def without_helper(command_line):
    unit = command_line.folder.parent / "units" / "ocsentry.service"
    unit.write_text("".join(line for line in unit.read_text().splitlines(True) if not line.startswith("Environment")))


def failures(check, command_line):
    return [result for result in check(load_config(command_line.config)) if result.level == "fail"]


def readable(path):
    with ServiceUser.find(load_config(path.parent / "ocsentry.toml")).borrowed():
        return os.access(path, os.R_OK, effective_ids=True)


def shell(command):
    subprocess.run(["sh", "-ec", command], check=True, timeout=60, capture_output=True)


def test_the_user_is_that_of_the_unit(by_the_book):
    user = ServiceUser.find(load_config(by_the_book.config))
    assert (user.name, user.starts_as_root, user.has_helper) == (USER, False, True)
    without_helper(by_the_book)
    assert not ServiceUser.find(load_config(by_the_book.config)).has_helper


def test_root_does_not_serve_what_the_unit_serves_as_its_user(by_the_book, monkeypatch):
    """Root would leave folders that the unit's user cannot write to."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setattr(service, "_load_server", lambda: pytest.fail("would start"))
    before = sorted(path.name for path in by_the_book.folder.iterdir())
    refused = by_the_book.run("serve")
    assert refused.returncode == 1
    assert f"runs this server as user {USER}: systemctl start ocsentry" in refused.stderr
    assert f'process.user = "{USER}"' in refused.stderr
    assert sorted(path.name for path in by_the_book.folder.iterdir()) == before


def test_the_service_manager_and_a_configured_user_may_serve(by_the_book, monkeypatch):
    config = load_config(by_the_book.config)
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")  # a drop-in may have made the unit root's
    assert ServiceUser.find(config).start_problem(config.path) == ""
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert ServiceUser.find(config).start_problem(config.path)
    by_the_book.config.write_text(f'[process]\nuser = "{USER}"\n' + by_the_book.config.read_text())
    config = load_config(by_the_book.config)
    assert ServiceUser.find(config).start_problem(config.path) == ""


def test_a_key_for_the_servers_group_is_in_order(by_the_book):
    key = by_the_book.folder / "server.key"
    key.chmod(0o640)
    assert failures(files.check_private_keys, by_the_book) == []


@pytest.mark.parametrize("helper", [True, False], ids=["helper", "no-helper"])
@pytest.mark.parametrize(
    ("mode", "owner", "group"), [(0o644, 0, 0), (0o644, 0, 33), (0o640, 0, 100), (0o644, 33, 33)], ids=str
)
def test_the_fix_of_an_open_key_leaves_it_readable_for_the_server(by_the_book, helper, mode, owner, group):
    if not helper:
        without_helper(by_the_book)
    key = by_the_book.folder / "server.key"
    os.chown(key, owner, group)
    key.chmod(mode)
    assert failures(files.check_private_keys, by_the_book) or group == 100  # a group without members
    for result in failures(files.check_private_keys, by_the_book):
        shell(result.command)
    assert failures(files.check_private_keys, by_the_book) == []
    if group != 100 or mode & stat.S_IROTH:
        assert helper or readable(key)
        assert not key.stat().st_mode & 0o007


@pytest.mark.parametrize("source", ["rules", "crowdsec"])
def test_what_root_imports_the_server_can_read(by_the_book, tmp_path, source):
    file = tmp_path / "sshd.json"
    document = {
        "wolfsentry": {"version": "1.6.3", "rules": [{"id": "one", "type": "blacklist", "remote_addr": "192.0.2.9"}]}
    }
    decision = {"value": "192.0.2.9", "scope": "Ip", "type": "ban", "duration": "4h", "scenario": "ssh"}
    file.write_text(json.dumps(document if source == "rules" else [{"decisions": [decision]}]))
    file.chmod(0o600)
    before = os.umask(0o077)
    try:
        by_the_book.ok("rules", "import", file, "--from", source)
    finally:
        os.umask(before)
    written = by_the_book.folder / "rules" / "sshd.json"
    assert stat.filemode(written.stat().st_mode) == "-rw-r-----"
    with ServiceUser.find(load_config(by_the_book.config)).borrowed():
        assert os.access(written, os.R_OK, effective_ids=True)
    assert check_startup(load_config(by_the_book.config)) == []


def test_a_rule_that_the_server_cannot_read_is_told_to_root(by_the_book):
    rule = by_the_book.folder / "rules" / "20-networks.json"
    os.chown(rule, 0, 0)
    rule.chmod(0o600)
    assert f"{rule}: cannot be read: Permission denied" in by_the_book.fails("rules", "check")
    assert f"{rule}: cannot be read: Permission denied" in by_the_book.fails("serve", "--check")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ocsentry.db", "store.url: user www-data cannot write to"),
        ("ocsentry.toml", "the configuration: user www-data"),
    ],
)
def test_files_restored_by_root_are_found_and_given_back(by_the_book, name, said):
    file = by_the_book.folder / name
    os.chown(file, 0, 0)
    file.chmod(0o600)
    assert said in by_the_book.fails("serve", "--check")
    [result] = failures(files.check_access, by_the_book)
    assert said in result.detail
    shell(result.command)
    assert failures(files.check_access, by_the_book) == []
    assert check_startup(load_config(by_the_book.config)) == []


def test_a_certificate_that_only_root_may_open_is_read_by_the_helper_or_told(by_the_book):
    live = by_the_book.folder / "live"
    live.mkdir(0o700)  # as certbot makes it
    for name in ("server.crt", "server.key"):
        (by_the_book.folder / name).rename(live / name)
    text = by_the_book.config.read_text().replace('"server.', '"live/server.')
    by_the_book.config.write_text(text)
    assert check_startup(load_config(by_the_book.config)) == []
    without_helper(by_the_book)
    said = by_the_book.fails("serve", "--check")
    assert f"vpn.certificate: user {USER} cannot read {live}/server.crt" in said
    assert f"vpn.private_key: user {USER} cannot read {live}/server.key" in said
    for result in failures(files.check_access, by_the_book):
        shell(result.command)
    assert failures(files.check_access, by_the_book) == []
    assert failures(files.check_private_keys, by_the_book) == []


def test_a_list_that_was_never_downloaded_keeps_no_server_from_its_start(by_the_book):
    rules = by_the_book.folder / "rules"
    (rules / "30-feed.json").write_text(json.dumps({"wolfsentry": {"version": "1.6.3", "rules": [], "feeds": [FEED]}}))
    assert check_startup(load_config(by_the_book.config)) == []
    assert "never downloaded" in by_the_book.ok("rules", "check")
    assert "never downloaded could decide: drop" in by_the_book.fails("rules", "explain", "192.0.2.1")
    more = by_the_book.folder / "more.json"
    rule = {"id": "x", "type": "blacklist", "remote_addr": "192.0.2.9"}
    more.write_text(json.dumps({"wolfsentry": {"version": "1.6.3", "rules": [rule]}}))
    by_the_book.ok("rules", "import", more)
    feeds = [result for result in doctor.run_checks(load_config(by_the_book.config)) if result.check == "feeds"]
    assert [(result.level, result.detail.partition(":")[0]) for result in feeds] == [
        ("ok", "drop was never downloaded")
    ]
