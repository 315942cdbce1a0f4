# SPDX-License-Identifier: GPL-3.0-or-later
"""Every restriction is tried: a process that was restricted as the server is attempts what must fail, as root."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.ocsentry.privileges import attempts

PROGRAM = Path(attempts.__file__)
ROOT = PROGRAM.parents[3]
HARMLESS = [name for name in attempts.ATTEMPTS if name not in {"chroot", "dumpable", "core limit", "clone"}]


@pytest.fixture
def attempt(tmp_path):
    """Runs attempts in a process of their own: ``attempt(mode, *names)`` returns it, ended."""
    inside, elsewhere = tmp_path / "inside", tmp_path / "elsewhere"
    inside.mkdir()
    elsewhere.mkdir()
    for name in ("file", "victim"):
        (elsewhere / name).touch()
    with socket.socket(socket.AF_UNIX) as listener:
        name = f"ocsentry-test-{uuid.uuid4()}"
        listener.bind(f"\0{name}")
        listener.listen()

        def run(mode, *names, role="main"):
            (elsewhere / "victim").touch()
            return subprocess.run(
                [sys.executable, PROGRAM, role, mode, inside, *names],
                env={**os.environ, "ELSEWHERE": str(elsewhere), "ABSTRACT_SOCKET": f"@{name}", "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )

        yield run


def outcomes(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_the_filter_forbids_fails_in_every_thread(attempt):
    found = outcomes(attempt("errno", *attempts.SECCOMP))
    assert {name: set(said) for name, said in found.items()} == {name: {"EPERM"} for name in attempts.SECCOMP}


def test_what_landlock_forbids_fails_in_every_thread(attempt):
    found = outcomes(attempt("errno", *attempts.LANDLOCK))
    expected = {name: {"EACCES"} for name in attempts.LANDLOCK} | {"abstract socket": {"EPERM"}}
    assert {name: set(said) for name, said in found.items()} == expected


def test_a_thread_of_the_gateway_may_still_less(attempt):
    assert outcomes(attempt("errno", *attempts.WORKER, role="worker")) == {name: ["EPERM"] for name in attempts.WORKER}
    assert attempt("kill", "TCP socket", role="worker").returncode == -signal.SIGSYS


def test_the_helper_may_still_less(attempt):
    names = [*attempts.HELPER, *attempts.SECCOMP]
    found = outcomes(attempt("errno", *names, role="helper"))
    assert found == {name: ["EPERM"] for name in names}


def test_the_signing_process_may_least(attempt):
    names = [*attempts.WORKER, *attempts.HELPER, *attempts.SECCOMP]
    found = outcomes(attempt("errno", *names, role="signer"))
    assert found == {name: ["EPERM"] for name in names}


@pytest.mark.parametrize("mode", ["errno", "kill"])
def test_calls_newer_than_the_list_do_not_exist(attempt, mode):
    assert outcomes(attempt(mode, *attempts.NEWER)) == {name: ["ENOSYS"] * 2 for name in attempts.NEWER}


@pytest.mark.parametrize("name", ["execve", "fork", "ptrace", "mount", "bpf", "unshare", "raw socket", "writable code"])
def test_in_mode_kill_the_process_dies(attempt, name):
    assert attempt("kill", name).returncode == -signal.SIGSYS


@pytest.mark.netns
def test_the_same_attempts_are_not_refused_to_a_process_that_kept_its_privileges(attempt):
    """Otherwise the tests above would prove nothing."""
    names = [name for name in HARMLESS if name not in {"execve", "setns", "unshare"}]
    found = outcomes(attempt("none", *names))
    refused = {name for name, said in found.items() if set(said) & {"EPERM", "EACCES"}}
    assert refused <= {"personality", "reboot", "kernel settings", "perf_event_open"}, found
