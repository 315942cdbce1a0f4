# SPDX-License-Identifier: GPL-3.0-or-later
"""Three nodes, a database with a standby, and clients, each on a machine of its own.

n1, n2, n3 ── router ── s1, s2        the router delays and drops packets: lab/traffic/packet_router.py
host 1, with all clients ── n1, n2, n3, which reach each other directly: lab/fleet.py
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg

from lab.fleet import FleetLab, make_fleet_template, own_address
from lab.namespaces import Namespace
from lab.processes.shifted_clock import ShiftedClock
from lab.server import OCSENTRY, PASSWORD, Server, write_configuration
from lab.services.store_pair import StoreMachine, StorePair
from lab.timeouts import eventually
from lab.traffic.packet_router import CLEAR, PacketRouter, Way
from lab.traffic.probes import Target
from tests.e2e.fleet.clients import LIMIT, USERS, Clients

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.namespaces import Claim
    from lab.network import Network

NETWORK = "10.77.200.0/24"  # of the way to the databases
DEAD_AFTER = 10  # seconds; others: if a test says so
POOLS = {"deny": "192.168.99.0/27", "local": "192.168.64.0/20"}  # of the larger one a node alone has a reserve
NAMES = ("n1", "n2", "n3")
IS_LOST = "SELECT fleet.is_lost_v1(n.id, n.epoch, make_interval(secs => %s)) FROM fleet.nodes n WHERE n.name = %s"
HELD = "SELECT encode(id, 'hex'), user_key, node, epoch, generation, ghost, lost_at FROM fleet.sessions WHERE NOT void"
LIVE = f"{HELD} AND lost_at IS NULL AND NOT fleet.is_lost_v1(node, epoch, make_interval(secs => %s))"
SOME = 6  # sessions
LONGEST = 14.0  # seconds of a nemesis whose effect is not seen
BLOCK_EVERY = 0.3  # seconds


class Site:
    """``close`` ends all of it. ``folder`` is of a short path, and all may enter its parents."""

    def __init__(
        self,
        network: Network,
        claim: Claim,
        folder: Path,
        *,
        split: str,
        loss: str,
        seed: int,
        dead_after: int = DEAD_AFTER,
    ) -> None:
        """``split`` and ``loss``: ``in_split`` and ``on_store_loss`` of the configuration."""
        self.network, self.chosen = network, random.Random(seed)
        self.programs = network.programs
        self.bound = (2 if loss == "deny" else 1 + len(NAMES)) * LIMIT  # of a user, whatever happens
        self.loose: list[tuple[float, float]] = []  # times in which a user may have more than the limit
        self.forgotten: list[tuple[float, float]] = []  # times in which a session may be unknown to the database
        self._held_again: list[tuple[float, float]] = []  # as ``held_again``, those that are over
        self._come_back: tuple[float, set[str]] | None = None  # since when, and rows of such sessions
        self._lost_rows = False  # in this round the database has lost what it had answered
        self._split, self._loss, self._dead_after = split, loss, dead_after
        self._folder = folder
        self._copies = 0
        self.router = PacketRouter(Namespace.create(claim.name("net")), seed=seed)
        self.stores = StorePair(*(self._add_store(claim, number) for number in (1, 2)))
        template = make_fleet_template(folder / "template", self.stores.primary.url, ())
        self.fleet = FleetLab(network, claim, template, folder, self.stores, prepare=self._wire)
        self.clocks: list[ShiftedClock] = []
        self.host = network.add_host()
        settings: dict[str, Any] = {
            "fleet": {"dead_after": dead_after, "in_split": split, "on_store_loss": loss},
            "vpn.limits": {"max_same_clients": LIMIT},
            "vpn.session": {"disconnect_grace": 0, "cookie_timeout": 60},
            "vpn.network": {"ipv4_pool": POOLS[loss]},
        }
        for name in NAMES:
            (folder / f"clock-{name}").mkdir()
            self.clocks.append(ShiftedClock(folder / f"clock-{name}"))
            how: dict[str, Any] = {"builtin_limits": False, "launcher": (*self.clocks[-1].launcher, OCSENTRY)}
            self.fleet.add_node(name, settings=settings, **how)
        self.fleet.wire(self.host)
        for user in USERS:
            ask_until_served(self.nodes[0], {201, 409}, "POST", "/api/v1/users", {"name": user, "password": PASSWORD})
        self._seed = seed
        self.clients = self.more_clients()
        self.operator = Operator(self, seed)

    @property
    def nodes(self) -> list[Server]:
        return self.fleet.nodes

    @property
    def held_again(self) -> list[tuple[float, float]]:
        """Times in which sessions may have places that have ended."""
        return self._held_again + ([] if self._come_back is None else [(self._come_back[0], float("inf"))])

    def more_clients(self) -> Clients:
        targets = [Target(own_address(number)) for number in range(len(NAMES))]
        return Clients(self.host, targets, self._libpq, self._seed)

    # -- what nemeses do

    def go_on(self) -> None:
        """Until some more sessions were opened, if there can be any."""
        self.clients.until_more(SOME, LONGEST)

    def choose(self) -> Server:
        return self.chosen.choice(self.nodes)

    def signal(self, pid: int, number: signal.Signals) -> bool:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
        return False

    def disturb(self, there: Way, back: Way) -> None:
        """All nodes' ways to the databases, for some sessions."""
        self._set_ways(range(len(NAMES)), there, back)
        self.go_on()
        self._set_ways(range(len(NAMES)), CLEAR, CLEAR)

    def cut_off(self, there: Way, back: Way) -> None:
        """One node's way, until the others count it as dead, and a while longer."""
        node = self.chosen.randrange(len(NAMES))
        self._set_ways([node], there, back)
        self.until_lost(self.nodes[node])
        self.go_on()
        self._set_ways([node], CLEAR, CLEAR)

    def until_lost(self, node: Server) -> None:
        name = NAMES[self.nodes.index(node)]
        self._until(lambda: self.stores.primary.ask(IS_LOST, self._dead_after, name) == [(True,)])

    def lines(self) -> list[int]:
        return [len(node.program.lines) for node in self.nodes]

    def until_said(self, pattern: str, since: list[int]) -> None:
        """All nodes have."""
        pairs = list(zip(self.nodes, since, strict=True))
        self._until(lambda: all(node.program.find(pattern, since=seen) for node, seen in pairs))

    def until_returned(self) -> None:
        """All nodes decide for the fleet again, or some seconds."""
        self._until(lambda: all(self._is_member(node) for node in self.nodes))

    def note_loss(self) -> None:
        """The database has lost what it had answered, and may have what it had forgotten."""
        self._lost_rows = True

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """Within it befalls the fleet what a test wants. Then no client has a session, and all nodes are members."""
        began = time.monotonic()
        yield
        ended = time.monotonic()
        if self._lost_rows or (self._split, self._loss) != ("hold", "deny"):
            self.loose.append((began, ended))
        if self._lost_rows or self._loss == "local":
            self.forgotten.append((began, ended))
        rows = {row[0] for row in self.stores.primary.ask(HELD)}
        if self._lost_rows:
            since, earlier = self._come_back or (began, set())
            self._come_back = since, earlier | rows
        elif self._come_back is not None and not rows & self._come_back[1]:  # all of them are over
            self._end_doubt()
        self._lost_rows = False

    def start_again(self, node: Server) -> None:
        """It ends by itself if the database is away, as under a service manager: until it is up."""
        node.api.close()

        def start() -> bool:
            try:
                node.start_again()
            except AssertionError:
                return False
            return True

        eventually(start, bool, "up again")

    def await_store(self) -> None:
        def look() -> bool:
            with suppress(psycopg.Error):
                return self.stores.primary.ask("CREATE TEMPORARY TABLE x (y int)") == []
            return False

        eventually(look, bool, "writing again")

    def copy_of(self, node: Server) -> Path:
        """Of its folder, for a server of another name beside it."""
        self._copies += 1
        folder = self._folder / f"copy{self._copies}"
        shutil.copytree(node.folder, folder, ignore=shutil.ignore_patterns("*.sock"))
        own = {"name": f"copy{self._copies}", "secret_file": "fleet.secret", "dead_after": self._dead_after}
        beside = {
            "store": {"url": self.stores.url},
            "fleet": own,
            "vpn": {"listen": "*:4443"},
            "vpn.network": {"device": "ocs9"},
            "admin": {"listen": "127.0.0.1:8444"},
        }
        write_configuration(folder, beside)
        return folder

    # -- beginning and end

    def whole(self) -> None:
        """Wait until all nodes are members, after a nemesis, and no place is held without a client."""
        with self.clients.waiting():
            self._await_members()
            eventually(
                lambda: self.stores.primary.ask(LIVE, self._dead_after), lambda found: found == [], "free places"
            )

    def end(self) -> None:
        """No client is there any more, and the database knows it."""
        self.clients.end()
        self.operator.end()
        self._await_members()
        for user in USERS:  # sessions of clients that gave up
            ask_until_served(self.nodes[0], {200, 204, 404}, "DELETE", f"/api/v1/sessions?user={user}")
        eventually(lambda: self.stores.primary.ask(HELD), lambda found: found == [], "without a session")
        self._end_doubt()
        for node in self.nodes:
            node.await_leases(0)

    def close(self) -> None:
        for program in self.programs:
            if program.running:
                program.kill()
        self.stores.close()
        self.router.close()

    def _add_store(self, claim: Claim, number: int) -> StoreMachine:
        machine = Namespace.create(claim.name(f"s{number}"))
        address = f"10.77.200.{100 + number}"
        self.router.add(machine, address, "eth0", NETWORK)
        return StoreMachine(self._folder / f"s{number}", machine, address, NETWORK)

    def _wire(self, number: int, machine: Namespace) -> None:
        self.router.add(machine, _way_address(number), "st", NETWORK)

    def _set_ways(self, nodes: Any, there: Way, back: Way) -> None:
        for number in nodes:
            for store in self.stores.machines:
                self.router.set(_way_address(number), store.address, there)
                self.router.set(store.address, _way_address(number), back)

    def _end_doubt(self) -> None:
        if self._come_back is not None:
            self._held_again.append((self._come_back[0], time.monotonic()))
        self._come_back = None

    def _await_members(self) -> None:
        eventually(lambda: [self._is_member(node) for node in self.nodes], all, "members")

    def _is_member(self, node: Server) -> bool:
        with suppress(OSError), closing(node.api.another(timeout=LONGEST)) as api:
            status, found = api.call("GET", "/api/v1/fleet")
            return status == 200 and found["state"] == "member"
        return False

    def _libpq(self) -> str:
        return self.stores.primary.url.replace("+psycopg", "")

    @staticmethod
    def _until(look: Any) -> None:
        """Or some seconds. What cannot be asked has not happened."""
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            with suppress(psycopg.Error):
                if look():
                    return
            time.sleep(0.05)


class Operator:
    """Blocks a network at one of the nodes again and again. ``blocked``: those whose answer said that it is stored."""

    def __init__(self, site: Site, seed: int) -> None:
        self.blocked: list[str] = []
        self._apis = [node.api.another() for node in site.nodes]
        self._chosen = random.Random(f"{seed} operator")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stopping.wait(BLOCK_EVERY):
            number += 1
            network = f"198.18.{number // 256}.{number % 256}/32"
            body = {"cidr": network, "reason": "nemesis", "ttl": 4 * 3600}
            with suppress(OSError, ValueError):
                status, answer = self._chosen.choice(self._apis).call("POST", "/api/v1/blocks", body)
                if status == 201 and answer["stored"]:
                    self.blocked.append(network)


def ask_until_served(node: Server, good: set[int], method: str, path: str, body: Any = None) -> Any:
    """The answer, once it is one of ``good``: 503 asks to come again, as after half a second without the database."""
    return eventually(lambda: node.api.call(method, path, body), lambda found: found[0] in good, f"{method} {path}")[1]


def _way_address(number: int) -> str:
    return f"10.77.200.{number + 1}"
