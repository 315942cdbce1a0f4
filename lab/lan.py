# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines on one switch, as a site has them: each a namespace with one address of 10.78.0.0/24.

Unlike ``lab/network.py`` all of them reach each other, and an address may move from one to another (ARP, VRRP).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.namespaces import Namespace

if TYPE_CHECKING:
    from lab.namespaces import Claim
    from lab.network import Host
    from lab.processes.programs import Program

NETWORK = "10.78.0"
PREFIX = 24


class Machine:
    """What ``Server`` needs of a network, and what ``OpenConnect`` needs of a host."""

    def __init__(self, lan: Lan, name: str, number: int) -> None:
        self.name, self.number, self.ipv4 = name, number, f"{NETWORK}.{number}"
        self._lan = lan
        self.namespace = self.gateway = Namespace.create(lan.claim.name(name))
        lan.switch.ip(
            f"link add p{number} type veth peer name eth0 netns {self.namespace.name}",
            f"link set p{number} master br0 up",
        )
        self.namespace.ip("link set eth0 up", f"addr add {self.ipv4}/{PREFIX} dev eth0")

    @property
    def programs(self) -> list[Program]:
        return self._lan.programs

    def switch_off(self) -> None:
        """As without power: nothing of it is heard any more, and nothing is said in its place."""
        self._lan.switch.ip(f"link set p{self.number} down")

    def switch_on(self) -> None:
        self._lan.switch.ip(f"link set p{self.number} up")


class Lan:
    """The switch. ``programs``: all that were started on its machines."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.programs: list[Program] = []
        self.switch = Namespace.create(claim.name("sw"))
        self.switch.ip("link add br0 type bridge", "link set br0 up")

    def add(self, name: str, number: int) -> Machine:
        """The machine has the address 10.78.0.``number``."""
        return Machine(self, name, number)

    def close(self) -> None:
        self.claim.clear()  # with all processes inside: a program's children would keep its output open
        for program in self.programs:
            if program.running:
                program.kill()


def as_host(machine: Machine) -> Host:
    """For clients, which look at no more than name and number of their host."""
    return machine  # type: ignore[return-value]
