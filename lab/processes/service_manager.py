# SPDX-License-Identifier: GPL-3.0-or-later
"""A service manager for one program, run as a program itself: ``service_manager.py COMMAND...``.

It does what systemd does for ``Type=notify``, ``Restart=on-failure``, ``FileDescriptorStoreMax=`` and
``RestartKillSignal=SIGQUIT`` (systemd.service(5), sd_notify(3)): keeps the descriptors that the program stores, starts
it again when it fails, and passes them to the next process. SIGUSR1: restart. SIGTERM: stop.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

PR_SET_PDEATHSIG = 1
FIRST = 3  # descriptor that is passed first, SD_LISTEN_FDS_START
MAX_MESSAGE, MAX_DESCRIPTORS = 4096, 253
_libc = ctypes.CDLL(None)


class ServiceManager:
    def __init__(self, command: list[str], folder: Path) -> None:
        self._command = command
        self._stored: list[tuple[str, int]] = []
        self._path = folder / "notify"
        self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notifications.bind(str(self._path))
        self._path.chmod(0o666)  # the program may have given its privileges up
        self._notifications.setblocking(False)
        self._wanted = signal.SIG_DFL
        self._process = self._start()

    def run(self) -> int:
        """Until the program ends by itself, or SIGTERM. Returns its exit code."""
        woken, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker)
        for number in (signal.SIGCHLD, signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(woken, selectors.EVENT_READ)
            selector.register(self._notifications, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                self._receive()
                if woken in ready:
                    for number in os.read(woken, 100):
                        self._forward(number)
                code = self._process.poll()
                if code is None:
                    continue
                self._receive()
                if self._wanted == signal.SIGTERM or (code == 0 and self._wanted != signal.SIGQUIT):
                    return code
                self._wanted = signal.SIG_DFL
                self._process = self._start()

    def _forward(self, number: int) -> None:
        wanted = {signal.SIGUSR1: signal.SIGQUIT, signal.SIGTERM: signal.SIGTERM}.get(number)
        if wanted is not None:
            self._wanted = wanted
            self._process.send_signal(wanted)

    def _start(self) -> subprocess.Popen[bytes]:
        descriptors = [descriptor for _, descriptor in self._stored]
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(self._path),
            "LISTEN_FDS": str(len(descriptors)),
            "LISTEN_FDNAMES": ":".join(name for name, _ in self._stored),
        }
        launcher = [sys.executable, __file__, "--exec", *map(str, descriptors), "--", *self._command]
        process = subprocess.Popen(launcher, env=environment, pass_fds=descriptors)
        print(f"service manager: process {process.pid} has {len(descriptors)} descriptors", flush=True)
        return process

    def _receive(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._notifications, MAX_MESSAGE, MAX_DESCRIPTORS)
            except BlockingIOError:
                return
            said = dict(line.split("=", 1) for line in data.decode().splitlines() if "=" in line)
            name = said.get("FDNAME", "stored")
            if said.get("FDSTOREREMOVE") == "1":
                self._forget(name)
            for descriptor in descriptors:
                if said.get("FDSTORE") == "1" and not any(_same(descriptor, one) for _, one in self._stored):
                    self._stored.append((name, descriptor))
                else:
                    os.close(descriptor)

    def _forget(self, name: str) -> None:
        for stored, descriptor in self._stored:
            if stored == name:
                os.close(descriptor)
        self._stored = [(stored, descriptor) for stored, descriptor in self._stored if stored != name]


def _same(one: int, other: int) -> bool:
    return os.fstat(one).st_ino == os.fstat(other).st_ino


def _execute(descriptors: list[int], command: list[str]) -> None:
    """Become the program, with ``descriptors`` from ``FIRST`` on."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    above = max([FIRST, *descriptors]) + len(descriptors) + 1
    copies = [os.dup2(descriptor, above + number) for number, descriptor in enumerate(descriptors)]
    for number, copy in enumerate(copies):
        os.dup2(copy, FIRST + number)
    os.closerange(FIRST + len(descriptors), above + len(descriptors))
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.execvp(command[0], command)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--exec"]:
        border = arguments.index("--")
        _execute([int(one) for one in arguments[1:border]], arguments[border + 1 :])
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        return ServiceManager(arguments, Path(folder)).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
