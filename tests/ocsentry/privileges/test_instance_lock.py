# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a running server."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ocsentry.configuration.model import load_config
from ocsentry.privileges.instance_lock import InstanceLock, InstanceLockError


@pytest.fixture
def configured(tmp_path):
    """Returns a configuration with this socket and this store."""

    def load(name, socket, store):
        path = tmp_path / f"{name}.toml"
        path.write_text(f'[admin]\nsocket = "{socket}"\n[store]\nurl = "{store}"\n')
        return load_config(path)

    return load


@pytest.mark.parametrize(
    ("socket", "store", "taken"),
    [
        ("a.sock", "sqlite:///a.db", "a.sock"),
        ("b.sock", "sqlite:///a.db", "a.db"),
        ("a.sock", "postgresql+psycopg://host/name", "a.sock"),
    ],
)
def test_a_second_server_is_told_which_process_runs(configured, tmp_path, socket, store, taken):
    first = InstanceLock.take(configured("first", "a.sock", "sqlite:///a.db"))
    second = configured("second", socket, store)
    with pytest.raises(InstanceLockError) as caught:
        InstanceLock.take(second)
    assert str(caught.value) == f"another server (process {os.getpid()}) uses {tmp_path / taken}"
    first.close()
    InstanceLock.take(second).close()


def test_servers_apart_do_not_meet(configured):
    first = InstanceLock.take(configured("first", "a.sock", "sqlite:///a.db"))
    InstanceLock.take(configured("second", "b.sock", "sqlite:///b.db")).close()
    first.close()


def test_a_refused_lock_holds_nothing(configured):
    first = InstanceLock.take(configured("first", "a.sock", "sqlite:///a.db"))
    with pytest.raises(InstanceLockError):
        InstanceLock.take(configured("second", "b.sock", "sqlite:///a.db"))
    InstanceLock.take(configured("third", "b.sock", "sqlite:///c.db")).close()
    first.close()


def test_a_killed_process_holds_nothing(configured, tmp_path):
    config = configured("first", "a.sock", "sqlite:///a.db")
    code = (
        "import pathlib, sys, time; from ocsentry.configuration.model import load_config;"
        "from ocsentry.privileges.instance_lock import InstanceLock;"
        f"kept = InstanceLock.take(load_config(pathlib.Path({str(config.path)!r})));"
        "print('taken', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"taken\n"
        with pytest.raises(InstanceLockError, match=f"process {other.pid}"):
            InstanceLock.take(config)
        other.kill()
        other.wait()
    InstanceLock.take(config).close()


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_to_another_file_is_refused_and_unchanged(configured, tmp_path, link):
    precious = tmp_path / "precious"
    precious.write_text("content")
    link(precious, tmp_path / "a.sock.lock")
    with pytest.raises(InstanceLockError):
        InstanceLock.take(configured("first", "a.sock", "sqlite:///a.db"))
    assert precious.read_text() == "content"
