# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers that are measured beside each other, each on a gateway and with hosts of its own."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from bench.machine import busy_seconds, share
from bench.ocserv import Ocserv
from bench.usage import Usage
from bench.wireguard import FarEnd, Wireguard
from bench.wireguard import installed as wireguard_installed
from lab.certificates import make_certificate
from lab.namespaces import Claim
from lab.network import Host, Network
from lab.openconnect import OpenConnect
from lab.resource_usage import process_tree, proportional_set_size
from lab.server import OCSENTRY, PASSWORD, Server, ServerTemplate, make_template

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lab.programs import Program

USER = "bench"
MTU = 1400
MAX_CLIENTS = 4096
KILL_SECONDS = 60  # for a killed process to be gone
SETTLE_SECONDS = 30  # at most
SETTLE_WINDOW = 0.5  # seconds
QUIET = 0.02  # seconds of processor time in a window; without a control group the kernel counts in hundredths


class Running(Protocol):
    """A server as both kinds look from outside."""

    program: Program
    pin: str

    def stop(self) -> None: ...


class Client(Protocol):
    """Whatever is at the other end of a tunnel."""

    host: Host

    def goodbye(self) -> None: ...


class Peer:
    """A server under measurement. ``restart`` gives a fresh process, where what came before would show."""

    user, password = USER, PASSWORD
    server: Running

    measures: frozenset[str] = frozenset()  # what it can be asked for; empty: everything

    def __init__(self, label: str, inner_ipv4: str, folder: Path, template: ServerTemplate) -> None:
        self.label, self.inner_ipv4 = label, inner_ipv4
        self._claim, self._folder, self._template = Claim(), folder, template
        self.network = Network(self._claim)
        self.host, self.second_host = self.network.add_host(), self.network.add_host()
        self._start()

    def _serve(self, *, remember_passwords: bool, launcher: Sequence[str | Path]) -> Running:
        raise NotImplementedError

    def _start(self, *, remember_passwords: bool = True, launcher: Sequence[str | Path] = (OCSENTRY,)) -> None:
        self.server = self._serve(remember_passwords=remember_passwords, launcher=launcher)
        self.usage = Usage(self.server.program.process.pid)

    def restart(self, *, remember_passwords: bool = True, launcher: Sequence[str | Path] = (OCSENTRY,)) -> None:
        """``remember_passwords``: whether one that was right once is not verified in full the next time. ``launcher``
        runs the server in another way, where it is ours."""
        self.server.stop()
        self.usage.close()
        self._start(remember_passwords=remember_passwords, launcher=launcher)

    def takes(self, measure: str) -> bool:
        return not self.measures or measure in self.measures

    def ready(self) -> float:
        """Runs and is at rest; the part of all processors that others took meanwhile."""
        if not self.server.program.running:
            self.usage.close()
            self._start()
        return self.settle()

    def discard(self) -> None:
        """After a measure that failed, however it left the process: the next one gets another."""
        for pid in process_tree(self.server.program.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.server.program.process.wait(KILL_SECONDS)

    def connect(self, host: Host, *, dtls: bool) -> Client:
        """A tunnel of the real client, up, with its UDP channel if that is asked for."""
        raise NotImplementedError

    def cpu(self) -> float:
        """Seconds of processor time that the server's processes have used."""
        return self.usage.seconds()

    def settle(self) -> float:
        """Waits until the server has written down what went before, or that would be charged to what comes next.

        Returns the part of all processors that others took in the last half second of it.
        """
        taken = 0.0
        for _ in range(int(SETTLE_SECONDS / SETTLE_WINDOW)):
            before, began, busy = self.cpu(), time.monotonic(), busy_seconds()
            time.sleep(SETTLE_WINDOW)
            own = self.cpu() - before
            taken = max(0.0, share(busy_seconds() - busy - own, time.monotonic() - began))
            if own < QUIET:
                break
        return taken

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
    """One that openconnect connects to."""

    def connect(self, host: Host, *, dtls: bool) -> OpenConnect:
        client = OpenConnect(host, pin=self.server.pin, user=USER, password=PASSWORD, dtls=dtls)
        client.await_up()
        if dtls:
            client.await_line(r"Established DTLS connection|DTLS connected")
        return client


class OurPeer(VpnPeer):
    server: Server

    def __init__(self, folder: Path, template: ServerTemplate) -> None:
        super().__init__("ocsentry", "10.89.0.1", folder, template)

    def _serve(self, *, remember_passwords: bool, launcher: Sequence[str | Path]) -> Server:
        return Server(
            self.network,
            self._folder,
            self._template,
            launcher=launcher,
            builtin_limits=False,  # a thousand clients behind one address are what they are there to stop
            settings={
                "vpn": {"dtls": True},
                "vpn.network": {"ipv4_pool": "10.89.0.0/16", "ipv6_pool": "fd89::/64", "dns": [], "mtu": MTU},
                "vpn.limits": {"max_clients": MAX_CLIENTS, "max_same_clients": 0},
                "vpn.session": {"cookie_timeout": 300},
                "auth": {} if remember_passwords else {"remember_passwords": 0},
            },
        )


class OcservPeer(VpnPeer):
    def __init__(self, folder: Path, template: ServerTemplate) -> None:
        super().__init__("ocserv", Ocserv.inner_ipv4, folder, template)

    def _serve(self, **_: object) -> Ocserv:
        return Ocserv(self.network, self._folder, self._template.certificate, [USER], PASSWORD, mtu=MTU, dtls=True)


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

    def connect(self, host: Host, *, dtls: bool) -> FarEnd:
        assert dtls, "it has no channel over TCP"
        return self.server.connect(host)


KINDS: dict[str, type[OurPeer | OcservPeer | WireguardPeer]] = {
    "ocsentry": OurPeer,
    "ocserv": OcservPeer,
    "wireguard-go": WireguardPeer,
}


def installed_peers() -> list[str]:
    """The two that every figure is of, and the third where this machine has it."""
    return [label for label in KINDS if label != "wireguard-go" or wireguard_installed()]


def open_peers(folder: Path, labels: list[str]) -> list[Peer]:
    """Starts those asked for. The folder must be reachable by ocserv's own user."""
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
