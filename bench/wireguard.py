# SPDX-License-Identifier: GPL-3.0-or-later
"""wireguard-go at both ends, as a peer: a tunnel in user space without logins and policy."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab.namespaces import run
from lab.network import SERVER_IPV4
from lab.processes.programs import Program

if TYPE_CHECKING:
    from lab.namespaces import Namespace
    from lab.network import Host, Network

PORT = 443  # of both ends, as for the other servers
CONTROL = Path("/var/run/wireguard")  # the program makes a socket here, named after its device
START_SECONDS = 5.0


def installed() -> bool:
    return bool(shutil.which("wireguard-go") and shutil.which("wg"))


class End:
    """One device and its process. The device's name also names a file, so it must be unique on the machine."""

    def __init__(self, namespace: Namespace, device: str, address: str, folder: Path, mtu: int) -> None:
        self.device, self.address, self._namespace = device, address, namespace
        self._key = folder / f"{device}.key"
        self._key.write_text(run("wg", "genkey"))
        self.public = run("wg", "pubkey", stdin=self._key.read_text()).strip()
        self.program = Program(f"wireguard-go {device}", ["wireguard-go", "--foreground", device], namespace)
        self._await_control()
        namespace.run("wg", "set", device, "listen-port", str(PORT), "private-key", str(self._key))
        namespace.ip(f"addr add {address}/16 dev {device}", f"link set {device} mtu {mtu} up")

    def _await_control(self) -> None:
        socket, deadline = CONTROL / f"{self.device}.sock", time.monotonic() + START_SECONDS
        while not socket.exists():
            if time.monotonic() > deadline or not self.program.running:
                raise RuntimeError(f"{self.program.label} does not start: {self.program.tail}")
            time.sleep(0.01)

    def add_peer(self, other: End, endpoint: str) -> None:
        self._namespace.run(
            *("wg", "set", self.device, "peer", other.public),
            *("allowed-ips", f"{other.address}/32", "endpoint", f"{endpoint}:{PORT}"),
        )

    def goodbye(self) -> None:
        """Ends the process, which removes the device."""
        self.program.signal(signal.SIGTERM)
        self.program.await_exit(20)


class ClientEnd(End):
    """The end on a host."""

    def __init__(self, host: Host, device: str, folder: Path, mtu: int) -> None:
        self.host = host
        super().__init__(host.namespace, device, f"10.90.1.{host.number}", folder, mtu)


class Wireguard(End):
    """The end on the gateway."""

    inner_ipv4 = "10.90.0.1"
    pin = ""

    def __init__(self, network: Network, folder: Path, *, number: int, mtu: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._number, self._mtu = folder, number, mtu
        super().__init__(network.gateway, f"wg{number}s", self.inner_ipv4, folder, mtu)

    def stop(self) -> None:
        self.goodbye()

    def connect(self, host: Host) -> ClientEnd:
        """Returns the client's end. It is up: an echo request was answered."""
        client = ClientEnd(host, f"wg{self._number}c{host.number}", self._folder, self._mtu)
        self.add_peer(client, host.ipv4)
        client.add_peer(self, SERVER_IPV4)
        host.namespace.run("ping", "-n", "-q", "-c", "1", "-W", "5", self.inner_ipv4)
        return client
