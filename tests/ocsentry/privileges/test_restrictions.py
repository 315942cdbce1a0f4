# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the drop: lists, users, and kernels that lack something."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lab.timeouts import TIMEOUT
from ocsentry.configuration.model import load_config
from ocsentry.privileges import checks, landlock, linux, syscalls
from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.filters import Role, build
from ocsentry.privileges.identity import Identity

OLD_KERNEL = """
from pathlib import Path
from ocsentry.privileges import landlock, linux
from ocsentry.privileges.drop import Restrictions, drop
from ocsentry.privileges.filters import Role, build
from ocsentry.privileges.reach import Reach
program = build(Role.MAIN, "errno")
{change}
print(drop(Restrictions(None, program, Reach((Path("/proc/self"),), ()))))
"""

ARENAS = """
import ctypes, threading
from ocsentry.privileges import allocator, filters, syscalls
from ocsentry.privileges.drop import Restrictions, drop
from ocsentry.privileges.filters import Role, build
filters._CALLS[Role.MAIN] = syscalls.MAIN - {"open", "openat", "stat", "newfstatat"}  # a worker's, and new threads
library, met = ctypes.CDLL(None), threading.Barrier(21)
library.malloc.restype = ctypes.c_void_p
def work():
    blocks = [library.malloc(100_000) for _ in range(150)]
    met.wait()
    for block in blocks:
        library.free(ctypes.c_void_p(block))
library.free(ctypes.c_void_p(library.malloc(5_000_000)))  # malloc gives back no less than 10 MB after it
program = build(Role.MAIN, "kill")
allocator.settle()
drop(Restrictions(None, None, None))
filters.load(program)
threads = [threading.Thread(target=work) for _ in range(20)]
for thread in threads:
    thread.start()
met.wait()
for thread in threads:
    thread.join()
print("done")
"""


def run(change):
    command = [sys.executable, "-c", OLD_KERNEL.format(change=change)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)


@pytest.mark.parametrize("allowed", [syscalls.MAIN, syscalls.WORKER, syscalls.HELPER], ids=["main", "worker", "helper"])
def test_what_is_forbidden_is_in_no_list(allowed):
    assert allowed & syscalls.FORBIDDEN == set()


def test_a_worker_opens_nothing():
    assert syscalls.WORKER & {"open", "openat", "socket", "connect", "bind", "listen", "clone", "unlink"} == set()


@pytest.mark.parametrize("role", list(Role))
def test_a_filter_is_a_program_that_the_kernel_can_take(role):
    program = build(role, "errno")
    assert len(program) % 8 == 0
    assert 0 < len(program) // 8 < 4096  # BPF_MAXINSNS


@pytest.mark.netns
def test_a_worker_whose_arena_of_malloc_is_made_or_shrinks_opens_no_file():
    command = [sys.executable, "-c", ARENAS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_a_kernel_without_landlock_is_said_to_lack_it():
    done = run("landlock.version = lambda: 0")
    assert "the kernel has no Landlock" in done.stdout, done.stderr


def test_a_kernel_without_filters_is_said_to_lack_them():
    done = run("linux.has_filters = lambda: False")
    assert "the kernel has no seccomp filters" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("landlock.Ruleset.enforce = lambda self: linux.syscall(-1)", "process.landlock"),
        ("linux.load_filter = lambda program: linux.syscall(-1)", "process.seccomp"),
        ("linux.set_capabilities = lambda kept: None; linux.prctl(24, 0)", "CapEff"),
        ("import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", "2 threads"),
    ],
)
@pytest.mark.netns
def test_what_cannot_be_applied_stops_the_start(change, key):
    done = run(change)
    assert done.returncode != 0
    assert key in done.stderr


def test_each_version_of_landlock_lacks_what_came_later():
    assert landlock.missing(7) == []
    assert landlock.missing(3) == [
        "binding and connecting TCP ports",
        "ioctl on devices",
        "abstract Unix sockets and signals to other processes",
    ]


def test_a_user_that_does_not_exist_is_named():
    with pytest.raises(PrivilegeError, match=r"process\.user: there is no user 'nosuchuser'"):
        Identity.find("nosuchuser")


def test_root_is_no_user_to_become():
    with pytest.raises(PrivilegeError, match="is root"):
        Identity.find("root")


@pytest.mark.netns
def test_a_borrowed_identity_is_given_back(tmp_path):
    identity = Identity.find("nobody")
    with identity.borrowed():
        assert os.geteuid() == identity.uid
        assert not os.access("/etc/shadow", os.R_OK, effective_ids=True)
    assert os.geteuid() == 0


def remarks(command_line, **process):
    lines = "".join(f"{key} = {value}\n" for key, value in process.items())
    command_line.config.write_text(f"{command_line.config.read_text()}\n[process]\n{lines}")
    return [remark.detail for remark in checks.find_remarks(load_config(command_line.config))]


def test_doctor_says_what_is_switched_off(command_line):
    said = remarks(command_line, seccomp='"off"', landlock="false")
    assert any("process.seccomp is off" in line for line in said)
    assert any("process.landlock is off" in line for line in said)


def test_doctor_says_that_a_container_forbids_landlock(command_line, monkeypatch):
    def refuse():
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(landlock, "version", refuse)
    assert "this container forbids the calls of Landlock: the server does not start" in remarks(command_line)


def test_doctor_says_what_the_kernel_lacks(command_line, monkeypatch):
    monkeypatch.setattr(landlock, "version", lambda: 3)
    monkeypatch.setattr(linux, "has_filters", lambda: False)
    said = "\n".join(remarks(command_line))
    assert "cannot restrict binding and connecting TCP ports" in said
    assert "cannot restrict system calls" in said


def test_doctor_names_a_user_that_is_missing(command_line):
    assert "no user 'nosuchuser'" in remarks(command_line, user='"nosuchuser"')[0]


HIDDEN = """
from pathlib import Path
from ocsentry.privileges import capabilities, linux

def hidden():
    raise FileNotFoundError

linux.last_capability = hidden  # as in the unit, with ProcSubset=pid
assert capabilities.drop_bounding_set(frozenset({capabilities.CAP_NET_ADMIN}))
assert capabilities.read_sets(Path("/proc/self/status"))["CapBnd"] == 1 << capabilities.CAP_NET_ADMIN
"""


@pytest.mark.netns
def test_capabilities_are_dropped_where_the_kernels_last_one_is_hidden():
    subprocess.run([sys.executable, "-c", HIDDEN], check=True, timeout=TIMEOUT)
