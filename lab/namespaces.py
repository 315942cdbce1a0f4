# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces per test process, removed by a later run if this one is killed.

A process claims a number by locking a file. The names of its namespaces carry that number. The next process with the
lock removes namespaces that are left under the number: their owner is gone.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import signal
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.timeouts import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

CLAIMS = Path("/run/lock")
MAX_CLAIMS = 64  # test processes at a time on one machine
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def run(*command: str, stdin: str | None = None, timeout: float = TIMEOUT, check: bool = True) -> str:
    """Runs a short command and returns its standard output. Raises RuntimeError with its standard error."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}{done.stdout.strip()}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Namespace:
    """One network namespace, by its name under /run/netns."""

    name: str

    @classmethod
    def create(cls, name: str) -> Namespace:
        run("ip", "netns", "add", name)
        namespace = cls(name)
        namespace.ip("link set lo up")
        return namespace

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Puts this thread into the namespace: sockets and processes it makes in the block belong there."""
        with Path("/proc/thread-self/ns/net").open() as here, Path("/run/netns", self.name).open() as there:
            _set_namespace(there.fileno())
            try:
                yield
            finally:
                _set_namespace(here.fileno())

    def ip(self, *commands: str) -> None:
        """Runs commands of ip(8) in one batch."""
        run("ip", "-n", self.name, "-batch", "-", stdin="\n".join(commands) + "\n")

    def run(self, *command: str, timeout: float = TIMEOUT, check: bool = True, stdin: str | None = None) -> str:
        with self.entered():
            return run(*command, timeout=timeout, check=check, stdin=stdin)

    def nft(self, ruleset: str) -> None:
        self.run("nft", "-f", "-", stdin=ruleset)

    def has_link(self, device: str) -> bool:
        return bool(run("ip", "-n", self.name, "-o", "link", "show", "dev", device, check=False))

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
        with self.entered():
            return socket.socket(family, kind, protocol)

    def connect(
        self, address: tuple[str, int], *, timeout: float = TIMEOUT, source: str | None = None
    ) -> socket.socket:
        stream = self.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        stream.settimeout(timeout)
        try:
            if source:
                stream.bind((source, 0))
            stream.connect(address)
        except BaseException:
            stream.close()
            raise
        return stream

    def delete(self) -> None:
        """Kills the processes inside, then removes the namespace with its devices."""
        for pid in run("ip", "netns", "pids", self.name, check=False).split():
            if int(pid) != os.getpid():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    continue
        run("ip", "netns", "del", self.name, check=False)


class Claim:
    """A number that belongs to this process until it calls ``release`` or ends."""

    def __init__(self) -> None:
        for number in range(MAX_CLAIMS):
            lock = (CLAIMS / f"ocsentry-lab-{number}").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            self.number, self._lock = number, lock
            self.clear()
            return
        raise RuntimeError(f"all {MAX_CLAIMS} numbers for test networks are taken, see {CLAIMS}/ocsentry-lab-*")

    def name(self, role: str) -> str:
        return f"ocl{self.number}-{role}"

    def clear(self) -> None:
        """Removes every namespace under the number."""
        for name in re.findall(rf"^ocl{self.number}-\S+", run("ip", "netns", "list"), re.MULTILINE):
            Namespace(name).delete()

    def release(self) -> None:
        self.clear()
        self._lock.close()


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
