# SPDX-License-Identifier: GPL-3.0-or-later
"""Notifications to systemd."""

from __future__ import annotations

import os
import socket

import pytest

from ocsentry.runtime.service_manager import systemd


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path, monkeypatch):
    name = str(tmp_path / "notify") if request.param == "path" else f"@ocsentry-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield listener


def test_each_step_is_a_datagram(manager):
    systemd.notify_ready("2 sessions")
    assert manager.recv(1000) == b"READY=1\nSTATUS=2 sessions"
    systemd.notify_reloading()
    lines = manager.recv(1000).decode().split("\n")
    assert lines[0] == "RELOADING=1"
    assert lines[1].removeprefix("MONOTONIC_USEC=").isdigit()
    systemd.notify_stopping()
    assert manager.recv(1000) == b"STOPPING=1"
    systemd.notify_watchdog()
    assert manager.recv(1000) == b"WATCHDOG=1"


@pytest.mark.parametrize("name", ["", "relative", "/nobody/listens/here"])
def test_without_systemd_nothing_happens(name, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    systemd.notify_ready("up")


def test_the_watchdog_applies_to_the_named_process(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert systemd.watchdog_interval() == 5.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert systemd.watchdog_interval() is None
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    monkeypatch.setenv("WATCHDOG_USEC", "often")
    assert systemd.watchdog_interval() is None
