# SPDX-License-Identifier: GPL-3.0-or-later
"""A bare system, booted with systemd in a container whose only link leads to a namespace of the lab.

client namespace 10.77.0.2 ─ veth ─ 10.77.0.1 container
"""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab.namespaces import Namespace, run
from lab.network import SERVER_IPV4
from lab.timeouts import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Mapping

CLIENT_IPV4 = "10.77.0.2"
ALLOWED_CALLS = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp")


class Container:
    """A booted root. Its processes end with ``stop``."""

    def __init__(self, archive: Path, root: Path, *, bind: Mapping[Path, Path] | None = None) -> None:
        """``archive`` becomes ``root``; ``bind``: folders of this machine, and where it has them, read-only."""
        root.mkdir()
        run("tar", "-C", str(root), "-xf", str(archive))
        self.root = root
        arguments = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--directory={root}", "--boot"]
        arguments.append(f"--system-call-filter={' '.join(ALLOWED_CALLS)}")  # a host without a container allows them
        arguments += ["--private-network", "--bind=/dev/net/tun", "--machine=ocsentry-package-test"]
        arguments += [f"--bind-ro={here.absolute()}:{there}" for here, there in (bind or {}).items()]
        master, slave = pty.openpty()  # without a terminal systemd-nspawn shows nothing and systemd does not come up
        self._nspawn = subprocess.Popen(arguments, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self._console = bytearray()
        threading.Thread(target=self._read, args=(master,), daemon=True).start()
        self.leader = self._await_leader()
        self._await(lambda: self.run("systemctl is-system-running", check=False).strip() in ("running", "degraded"))

    def _read(self, master: int) -> None:
        with contextlib.suppress(OSError):
            while piece := os.read(master, 4096):
                self._console += piece

    def _await_leader(self) -> int:
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        found: list[int] = []

        def booted() -> bool:
            for child in children.read_text().split():
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                        found.append(int(child))
            return bool(found)

        self._await(booted)
        return found[0]

    def _await(self, condition) -> None:
        end = time.monotonic() + TIMEOUT
        pause = threading.Event()
        while not condition():
            if time.monotonic() > end or self._nspawn.poll() is not None:
                raise SystemExit(f"the container does not come up:\n{self._console.decode(errors='replace')}")
            pause.wait(0.1)

    def run(self, command: str, *, stdin: str = "", check: bool = True) -> str:
        words = ["nsenter", f"--target={self.leader}", "--all", "sh", "-c", command]
        path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=TIMEOUT, check=False, env=path
        )
        if check and done.returncode:
            log = "" if "journalctl" in command else self.run("journalctl -n 40 --no-pager", check=False)
            raise SystemExit(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}\n{log}")
        return done.stdout

    def plug(self, client: Namespace) -> None:
        """Links the container to ``client``."""
        name = client.name[-10:]
        run("ip", "link", "add", f"v{name}", "type", "veth", "peer", "name", f"w{name}")
        run("ip", "link", "set", f"w{name}", "netns", str(self.leader), "name", "eth0")
        run("ip", "link", "set", f"v{name}", "netns", client.name, "name", "eth0")
        client.ip(f"addr add {CLIENT_IPV4}/24 dev eth0", "link set eth0 up")
        self.run(f"ip addr add {SERVER_IPV4}/24 dev eth0; ip link set eth0 up; ip link set lo up")

    def stop(self) -> None:
        self._nspawn.terminate()
        try:
            self._nspawn.wait(10)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
