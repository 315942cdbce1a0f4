# SPDX-License-Identifier: GPL-3.0-or-later
"""Several nodes of one fleet on one PostgreSQL, each in a namespace of its own.

host 1  eth0 ── v1 ┐ node a: lo 10.77.0.1, 10.77.100.1    a host reaches 10.77.0.1 at either node: ``move_to_node``
        n1 ─── w1  ┼ node b: lo 10.77.0.1, 10.77.100.2    moves it, as a floating address does
``FLEET_NAME``: a name with the second addresses of all nodes, as DNS has it
Each node listens for its peers at its second address, port 7443; each two nodes have a link of their own.
PostgreSQL: a Unix socket, outside all namespaces
"""

from __future__ import annotations

import json
import secrets
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from lab.certificates import make_certificate
from lab.namespaces import Namespace
from lab.network import SERVER_IPV4
from lab.server import OCSENTRY, PASSWORD, Server, ServerTemplate, ocsentry, write_configuration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from lab.clients.openconnect import OpenConnect
    from lab.namespaces import Claim
    from lab.network import Host, Network
    from lab.processes.programs import Program


FLEET_NAME = "vpn.example"
PEER_PORT = 7443


class HasUrl(Protocol):
    """A database, or several of which one takes writes."""

    @property
    def url(self) -> str: ...


@dataclass
class Site:
    """Where one node runs: what ``Server`` needs of a network."""

    gateway: Namespace
    programs: list[Program]


def make_fleet_template(
    folder: Path, url: str, users: Iterable[str], program: Sequence[str | Path] = (OCSENTRY,)
) -> ServerTemplate:
    """Users and a token in the database of the fleet, made by ``program``; certificate and secret in the folder."""
    folder.mkdir()
    certificate = make_certificate(folder)
    (folder / "fleet.secret").write_text(secrets.token_hex(32))
    (folder / "fleet.secret").chmod(0o600)
    write_configuration(folder, {"store": {"url": url}})
    for user in users:
        ocsentry(folder, "user", "add", user, "--password-stdin", stdin=PASSWORD + "\n", program=program)
    answer = json.loads(ocsentry(folder, "token", "create", "lab", "--json", program=program))
    return ServerTemplate(folder, certificate, answer["token"])


class FleetLab:
    """Nodes of one network's lab. The first is on the network's gateway, the others on namespaces beside it."""

    def __init__(
        self,
        network: Network,
        claim: Claim,
        template: ServerTemplate,
        folder: Path,
        database: HasUrl,
        *,
        prepare: Callable[[int, Namespace], None] | None = None,
    ) -> None:
        """``prepare``: called with the number and the namespace of each node before it starts."""
        self._prepare = prepare
        self._network, self._claim, self._template, self._folder = network, claim, template, folder
        self.database = database
        self.sites: list[Site] = []
        self.nodes: list[Server] = []

    def add_node(
        self,
        name: str,
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        builtin_limits: bool = True,
        launcher: Sequence[str | Path] = (OCSENTRY,),
    ) -> Server:
        if self.sites:
            gateway = Namespace.create(self._claim.name(f"n{len(self.sites)}"))
            gateway.ip(f"addr add {SERVER_IPV4}/32 dev lo")
        else:
            gateway = self._network.gateway
        gateway.ip(f"addr add {own_address(len(self.sites))}/32 dev lo")
        for number, earlier in enumerate(self.sites):
            _link(number, earlier.gateway, len(self.sites), gateway)
        if self._prepare is not None:
            self._prepare(len(self.sites), gateway)
        site = Site(gateway, self._network.programs)
        self.sites.append(site)
        self._hosts = self._folder / f"hosts-{len(self.sites)}"  # never written again: clients read it
        self._hosts.write_text("".join(f"{own_address(number)} {FLEET_NAME}\n" for number in range(len(self.sites))))
        own = f"{own_address(len(self.sites) - 1)}:{PEER_PORT}"
        node = {"name": name, "secret_file": "fleet.secret", "dead_after": 10, "peer_listen": own}
        more = {"store": {"url": self.database.url}, **(settings or {})}
        more["fleet"] = {**node, **more.get("fleet", {})}
        how: dict[str, Any] = {"settings": more, "builtin_limits": builtin_limits, "launcher": launcher}
        server = Server(site, self._folder / name, self._template, **how)  # type: ignore[arg-type]
        self.nodes.append(server)
        return server

    def wire(self, host: Host) -> None:
        """Give a host a link to each further node, and a route to the own address of each."""
        host.namespace.ip(f"route add {own_address(0)} dev eth0 src {host.ipv4}")
        for number, site in enumerate(self.sites[1:], start=1):
            near, far = f"n{number}", f"w{host.number}"
            site.gateway.ip(f"link add {far} type veth peer name {near} netns {host.namespace.name}")
            site.gateway.ip(f"link set {far} up")
            host.namespace.ip(f"link set {near} up", f"route add {own_address(number)} dev {near} src {host.ipv4}")
            site.gateway.ip(f"route replace {host.ipv4}/32 dev {far} src {SERVER_IPV4}")

    def move_to_node(self, host: Host, number: int) -> None:
        """The server's address leads to that node from now on."""
        device = "eth0" if number == 0 else f"n{number}"
        host.namespace.ip(f"route replace {SERVER_IPV4} dev {device} src {host.ipv4}")

    def power_off(self, number: int) -> None:
        """The node is silent from now on, as a machine without power: no packet comes or goes, no process runs."""
        hooks = ("input", "output", "forward")
        chains = [f"chain {hook} {{ type filter hook {hook} priority -400; policy drop; }}" for hook in hooks]
        self.sites[number].gateway.nft("\n".join(("table inet no_power {", *chains, "}")))
        self.nodes[number].program.signal(signal.SIGSTOP)

    def connect_by_name(self, node: Server, host: Host, *arguments: str, **more: Any) -> OpenConnect:
        """Start a client of ``node`` that is given ``FLEET_NAME``: it takes the first address that answers."""
        return node.connect(host, *arguments, server=FLEET_NAME, hosts=self._hosts, **more)


def _link(number: int, one: Namespace, other_number: int, other: Namespace) -> None:
    """A link between two nodes, for their second addresses."""
    one.ip(f"link add p{other_number} type veth peer name p{number} netns {other.name}")
    ends = ((number, one, other_number), (other_number, other, number))
    for own, gateway, far in ends:
        gateway.ip(f"link set p{far} up", f"route add {own_address(far)} dev p{far} src {own_address(own)}")


def own_address(number: int) -> str:
    return f"10.77.100.{number + 1}"
