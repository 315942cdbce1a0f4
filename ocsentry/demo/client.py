# SPDX-License-Identifier: GPL-3.0-or-later
"""A real openconnect client in the namespace of a demo."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from ocsentry.demo.network import DemoError, configure_tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocsentry.demo.network import ClientNetwork

CONFIGURED = re.compile(r"Configured as ([0-9.]+)")
TUNNEL = re.compile(r"TUNDEV=(\S+) MTU=(\d*)")
# openconnect's script has to do nothing but name the device: the demo sets it up itself, in the namespace.
SCRIPT = "sh -c 'echo TUNDEV=$TUNDEV MTU=$INTERNAL_IP4_MTU'"
START_DEADLINE = 60.0  # seconds until the tunnel is up
STOP_DEADLINE = 10.0
DEFAULT_MTU = 1400


class DemoClient:
    """Runs until it is disconnected or ``stop``. ``lines`` are all that it has said."""

    def __init__(self, network: ClientNetwork, port: int, user: str, password: str, pin: str) -> None:
        self._network = network
        self.lines: list[str] = []
        self._new: SimpleQueue[str | None] = SimpleQueue()
        command = [
            *("openconnect", "--non-inter", "--passwd-on-stdin", f"--user={user}", f"--servercert={pin}"),
            *("--no-dtls", "--reconnect-timeout=0", f"--script={SCRIPT}", f"https://{network.server}:{port}"),
        ]
        try:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *network.run(*command)],  # it ends with the demo
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="backslashreplace",
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the client
            )
        except FileNotFoundError:
            raise DemoError("the program setpriv is missing: apt install util-linux") from None
        if self._process.stdin is None:
            raise AssertionError("a pipe was asked for")
        self._process.stdin.write(password + "\n")
        self._process.stdin.close()
        threading.Thread(target=self._read, daemon=True).start()

    def await_tunnel(self, route: str) -> str:
        """Wait for the tunnel and set it up. Returns the client's inner address. Raises ``DemoError``."""
        address, device, mtu = "", "", 0
        for line in self._until_end(START_DEADLINE):
            if found := CONFIGURED.search(line):
                address = found[1]
            if found := TUNNEL.search(line):
                device, mtu = found[1], int(found[2] or DEFAULT_MTU)
            if address and device:
                configure_tunnel(self._network, device, address, mtu, route)
                return address
        raise DemoError("the client does not get a tunnel. It said:\n" + "\n".join(self.lines[-6:]))

    def await_end(self, seconds: float) -> bool:
        """Wait until the client has ended. False: it runs on."""
        for _ in self._until_end(seconds):
            pass
        try:
            self._process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._new.put(line.rstrip("\n"))
        self._new.put(None)

    def _until_end(self, seconds: float) -> Iterator[str]:
        """Yields lines until the output or the time ends."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._new.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                return
            if line is None:
                self._new.put(None)
                return
            self.lines.append(line)
            yield line


def answers(network: ClientNetwork, address: str) -> bool:
    """True if ``address`` answers an echo request from the namespace."""
    command = network.run("ping", "-n", "-c", "1", "-W", "2", address)
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=STOP_DEADLINE).returncode == 0
    except subprocess.TimeoutExpired:
        return False
