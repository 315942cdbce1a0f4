# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers under measurement, each in its own network with a gateway and two hosts."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from bench.cpu_usage import CpuUsage
from bench.ocserv import Ocserv
from bench.settling import settle
from bench.wireguard import ClientEnd, Wireguard
from bench.wireguard import installed as wireguard_installed
from lab.certificates import make_certificate
from lab.clients.openconnect import OpenConnect
from lab.namespaces import Claim
from lab.network import Host, Network
from lab.processes.resource_usage import process_tree, proportional_set_size
from lab.server import OCSENTRY, PASSWORD, Server, ServerTemplate, make_template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lab.processes.programs import Program

USER = "bench"
MTU = 1400
MAX_CLIENTS = 4096
KILL_SECONDS = 60  # until a killed process has ended
QUIET = 0.02  # seconds of processor time in a window; /proc counts in hundredths


class RunningServer(Protocol):
    """A running server process."""

    program: Program
    pin: str

    def stop(self) -> None: ...


class Client(Protocol):
    """The client's end of a tunnel."""

    host: Host

    def goodbye(self) -> None: ...


class Peer:
    """A server under measurement. ``restart`` starts a fresh process."""

    user, password = USER, PASSWORD
    server: RunningServer

    measures: frozenset[str] = frozenset()  # names of the workloads it supports; empty: all

    def __init__(self, label: str, inner_ipv4: str, folder: Path, template: ServerTemplate) -> None:
        self.label, self.inner_ipv4 = label, inner_ipv4
        self._claim, self._folder, self.template = Claim(), folder, template
        self.network = Network(self._claim)
        self.host, self.second_host = self.network.add_host(), self.network.add_host()
        self._start()

    def _serve(self, *, remember_passwords: bool, launcher: Sequence[str | Path]) -> RunningServer:
        raise NotImplementedError

    def _start(self, *, remember_passwords: bool = True, launcher: Sequence[str | Path] = (OCSENTRY,)) -> None:
        self.server = self._serve(remember_passwords=remember_passwords, launcher=launcher)
        self.usage = CpuUsage(self.server.program.process.pid)

    def restart(self, *, remember_passwords: bool = True, launcher: Sequence[str | Path] = (OCSENTRY,)) -> None:
        """``remember_passwords``: with the cache of verified passwords. ``launcher``: how ocsentry is started."""
        self.server.stop()
        self.usage.close()
        self._start(remember_passwords=remember_passwords, launcher=launcher)

    def takes(self, measure: str) -> bool:
        return not self.measures or measure in self.measures

    def ready(self) -> float:
        """Starts the server if needed and waits until it is idle; returns the share of processors that others used."""
        if not self.server.program.running:
            self.usage.close()
            self._start()
        return self.settle()

    def discard(self) -> None:
        """Kills the process after a failed workload, so that the next one gets a new process."""
        for pid in process_tree(self.server.program.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.server.program.process.wait(KILL_SECONDS)

    def connect(self, host: Host, *, dtls: bool) -> Client:
        """Returns a tunnel of the real client that is up, with its UDP channel if ``dtls``."""
        raise NotImplementedError

    def cpu(self) -> float:
        """Returns processor seconds that the server's processes have used."""
        return self.usage.seconds()

    def settle(self) -> float:
        """Waits until the server is idle, so that pending work is not charged to the next workload.

        Returns the share of all processors that others used in the last half second.
        """
        return settle(self.cpu, QUIET)

    def memory(self) -> int:
        return proportional_set_size(process_tree(self.server.program.process.pid))

    def close(self) -> None:
        try:
            if self.server.program.running:
                self.server.stop()
        finally:
            self._claim.release()
            self.usage.close()


class VpnPeer(Peer):
    """A server that openconnect connects to."""

    def connect(self, host: Host, *, dtls: bool) -> OpenConnect:
        client = OpenConnect(host, pin=self.server.pin, user=USER, password=PASSWORD, dtls=dtls)
        client.await_up()
        if dtls:
            client.await_line(r"Established DTLS connection|DTLS connected")
        return client


class OurPeer(VpnPeer):
    server: Server
    max_clients = MAX_CLIENTS  # of the next start
    auth: Mapping[str, Mapping[str, object]] = {}  # tables beside the usual ones, of the next start

    def __init__(self, folder: Path, template: ServerTemplate) -> None:
        super().__init__("ocsentry", "10.89.0.1", folder, template)

    def _serve(self, *, remember_passwords: bool, launcher: Sequence[str | Path]) -> Server:
        return Server(
            self.network,
            self._folder,
            self.template,
            launcher=launcher,
            builtin_limits=False,  # they would refuse a thousand clients behind one address
            settings={
                "vpn": {"dtls": True},
                "vpn.network": {"ipv4_pool": "10.89.0.0/16", "ipv6_pool": "fd89::/64", "dns": [], "mtu": MTU},
                "vpn.limits": {"max_clients": self.max_clients, "max_same_clients": 0},
                "vpn.session": {"cookie_timeout": 300},
                "auth": {} if remember_passwords else {"remember_passwords": 0},
                **self.auth,
            },
        )


class OcservPeer(VpnPeer):
    def __init__(self, folder: Path, template: ServerTemplate) -> None:
        super().__init__("ocserv", Ocserv.inner_ipv4, folder, template)

    def _serve(self, **_: object) -> Ocserv:
        return Ocserv(self.network, self._folder, self.template.certificate, [USER], PASSWORD, mtu=MTU, dtls=True)


class WireguardPeer(Peer):
    server: Wireguard
    measures = frozenset(
        {f"dtls-{way}" for way in ("up", "down")}
        | {f"loss-{way}-{rate}" for way in ("up", "down") for rate in ("300", "900", "900-tuned")}
    )

    def __init__(self, folder: Path, template: ServerTemplate) -> None:
        super().__init__("wireguard-go", Wireguard.inner_ipv4, folder, template)

    def _serve(self, **_: object) -> Wireguard:
        return Wireguard(self.network, self._folder, number=self._claim.number, mtu=MTU)

    def connect(self, host: Host, *, dtls: bool) -> ClientEnd:
        assert dtls, "wireguard-go has no channel over TCP"
        return self.server.connect(host)


KINDS: dict[str, type[OurPeer | OcservPeer | WireguardPeer]] = {
    "ocsentry": OurPeer,
    "ocserv": OcservPeer,
    "wireguard-go": WireguardPeer,
}


def installed_peers() -> list[str]:
    """ocsentry and ocserv, and wireguard-go if it is installed."""
    return [label for label in KINDS if label != "wireguard-go" or wireguard_installed()]


def open_peers(folder: Path, labels: list[str]) -> list[Peer]:
    """Starts the servers. ocserv's user must be able to reach the folder."""
    (folder / "template").mkdir()
    if "ocsentry" in labels:
        template = make_template(folder / "template", [USER])
    else:
        template = ServerTemplate(folder, make_certificate(folder / "template"), token="")
    peers: list[Peer] = []
    try:
        peers.extend(KINDS[label](folder / label, template) for label in labels)
    except BaseException:
        for peer in peers:
            peer.close()
        raise
    return peers
