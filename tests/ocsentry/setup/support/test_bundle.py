# SPDX-License-Identifier: GPL-3.0-or-later
"""The support archive holds no secret of the server, is for its owner alone and bounded, and needs no server."""

from __future__ import annotations

import json
import socket

import pytest

from ocsentry.configuration.model import load_config
from ocsentry.setup.support import bundle, server_facts
from ocsentry.setup.support.bundle import make_bundle
from tests.ocsentry.setup.support.seeded import read_archive, write_seeded


@pytest.fixture
def seeded(initialised, tmp_path):
    for name in ("server.crt", "server.key"):
        (tmp_path / name).write_bytes((initialised / name).read_bytes())
    return tmp_path / "ocsentry.toml", write_seeded(tmp_path)


def assert_without(files, secrets, key):
    assert len(secrets) > 20
    for name, text in files.items():
        for secret in secrets:
            assert secret not in text, name
        assert "PRIVATE KEY" not in text, name
        assert not any(line in text for line in key.splitlines()[1:-1]), name


def test_no_secret_of_the_configuration_is_in_it(seeded, tmp_path, monkeypatch):
    """Not even where a log repeats it."""
    path, secrets = seeded
    monkeypatch.setitem(bundle.COMMANDS, "service/log.txt", ("cat", *map(str, tmp_path.iterdir())))
    made = make_bundle(path, load_config(path), tmp_path / "a.tar.gz")
    files = read_archive(tmp_path / "a.tar.gz")
    assert_without(files, secrets, (tmp_path / "server.key").read_text())
    assert len(files["service/log.txt"]) > 2000  # the log did repeat them
    assert {member.name for member in made.files} == files.keys() - {"manifest.json"}
    assert (tmp_path / "a.tar.gz").stat().st_mode & 0o777 == 0o600


def test_it_shows_the_rest_of_the_configuration(seeded, tmp_path):
    path, _ = seeded
    make_bundle(path, load_config(path), tmp_path / "a.tar.gz")
    files = read_archive(tmp_path / "a.tar.gz")
    settings = json.loads(files["configuration/settings.json"])["settings"]
    assert settings["vpn"]["listen"] == ["127.0.0.1:1"]
    assert settings["vpn"]["network"]["proxy_pac_url"] == "https://wpad.example.org/wpad.dat"
    assert settings["groups"]["staff"]["network"]["proxy_pac_url"] == "https://wpad.example.org/wpad.dat"
    assert settings["groups"]["staff"]["label"] == "Staff"
    assert settings["auth"]["ldap"]["bind_dn"] == "cn=vpn,dc=example,dc=org"
    assert settings["admin"]["webhook"][0]["url"] == "https://127.0.0.1:1/********"
    assert settings["store"]["url"] == "postgresql+psycopg://127.0.0.1:1/********"
    assert str(tmp_path / "fleet.secret") in files["files.txt"]
    assert any(result["check"] == "private key" for result in json.loads(files["doctor.json"]))
    assert "no server answers" in files["server/state.txt"]


@pytest.mark.parametrize("end", ["unknown_key = 1", "not TOML ["])
def test_a_configuration_that_is_refused_has_an_archive_too(seeded, command_line, tmp_path, end):
    path, secrets = seeded
    path.write_text(f"{path.read_text()}\n{end}\n")
    said = command_line.json("doctor", "--bundle", tmp_path / "a.tar.gz", "--config", path)
    files = read_archive(tmp_path / "a.tar.gz")
    assert_without(files, secrets, (tmp_path / "server.key").read_text())
    assert str(path) in files["configuration/error.txt"]
    assert {each["name"] for each in said["files"]} == files.keys() - {"manifest.json"}


def test_each_file_is_bounded_and_the_end_of_a_log_stays(seeded, tmp_path, monkeypatch):
    path, _ = seeded
    (tmp_path / "long").write_text("".join(f"line {n}\n" for n in range(1000)))
    monkeypatch.setitem(bundle.COMMANDS, "service/log.txt", ("cat", str(tmp_path / "long")))
    monkeypatch.setattr(bundle, "MAX_MEMBER", 1000)
    made = make_bundle(path, load_config(path), tmp_path / "a.tar.gz")
    files = read_archive(tmp_path / "a.tar.gz")
    assert files["service/log.txt"].endswith("line 999\n")
    assert files["configuration/settings.json"].startswith("{")
    assert {member.name: member.size for member in made.files} == {
        name: len(text.encode()) for name, text in files.items() if name != "manifest.json"
    }
    assert max(member.size for member in made.files) == 1000
    cut = {member.name for member in made.files if member.cut}
    assert {"configuration/settings.json", "versions.json"} <= cut
    assert "README.txt" not in cut


def test_a_server_that_hangs_keeps_nothing_else_out(seeded, tmp_path, monkeypatch):
    path, _ = seeded
    monkeypatch.setattr(server_facts, "ANSWER_TIMEOUT", 0.2)
    config = load_config(path)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(config.values.admin.socket))
        silent.listen()
        make_bundle(path, config, tmp_path / "a.tar.gz")
    files = read_archive(tmp_path / "a.tar.gz")
    assert "server/status.json" not in files
    assert "timed out" in files["server/state.txt"]
    assert "doctor.json" in files
    assert "service/log.txt" in files


def test_nothing_is_overwritten_and_nothing_half_written_stays(seeded, command_line, tmp_path, monkeypatch):
    path, _ = seeded
    (tmp_path / "here.tar.gz").write_text("kept")
    assert "exists already" in command_line.fails("doctor", "--bundle", tmp_path / "here.tar.gz")
    assert (tmp_path / "here.tar.gz").read_text() == "kept"
    monkeypatch.setattr(bundle, "list_files", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make_bundle(path, load_config(path), tmp_path / "a.tar.gz")
    assert not (tmp_path / "a.tar.gz").exists()
    assert "goes with --bundle" in command_line.fails("doctor", tmp_path / "a.tar.gz")
