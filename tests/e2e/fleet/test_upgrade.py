# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet of three nodes is upgraded one node after the other, while real clients log in at all of them and stay.

OCSENTRY_FLEET_FROM: the tag or commit of the version that it begins with, or ``last``: see lab/earlier_version.py.
It is built first. Nothing is tested without it.
OCSENTRY_FLEET_SESSIONS: clients that stay (60 before a release).
"""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections import Counter

import psycopg
import pytest

from lab import earlier_version
from lab.clients.openconnect import OpenConnect
from lab.clients.tunnels import Tunnels, counters_after, counters_of
from lab.fleet import FLEET_NAME, FleetLab, make_fleet_template, own_address
from lab.server import OCSENTRY, PASSWORD
from lab.services.postgresql import running_postgresql
from lab.timeouts import TIMEOUT, eventually
from lab.traffic.probes import ProbeResult, Target, probe

FROM = os.environ.get("OCSENTRY_FLEET_FROM", "")
pytestmark = pytest.mark.skipif(not FROM, reason="builds an earlier version; see the module")
NAMES = ("n1", "n2", "n3")
LIMIT = 2
STAYING = int(os.environ.get("OCSENTRY_FLEET_SESSIONS", "6"))
COMING = 3  # clients that log in and out at a time
SOME = 4  # logins between two steps
SETTINGS = {
    "vpn": {"dtls": True},
    "vpn.limits": {"max_same_clients": LIMIT},
    "vpn.session": {"dpd": 10, "cookie_timeout": 900},
}
NO_IPV6 = "--disable-ipv6"
OWN = "/api/v1/sessions?local=true&limit=1000"
ALL = "/api/v1/sessions?limit=1000"
REFUSING = "0026"  # the newest schema of versions that refuse logins under way when a drain begins
LEFT_BEHIND = "SELECT encode(id, 'hex') FROM fleet.sessions WHERE lost_at IS NOT NULL AND NOT void AND NOT ghost"
REFUSED = "This server is about to stop"
FULL = "Too many sessions|already connected with"


class Logins:
    """Clients that log in, stay until their tunnel is up, and go: each again and again, the nodes in another order."""

    def __init__(self, host, folder, pin, forgiven):
        """``forgiven``: of a refusal after which the client is started again; empty: none."""
        self.failed = []  # what these clients have printed
        self.again = 0
        self._forgiven = forgiven
        self.at = Counter()  # logins by the address of the node
        self._host, self._pin = host, pin
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._threads = []
        for number, order in enumerate(itertools.islice(itertools.permutations(range(len(NAMES))), 0, None, 2)):
            hosts = folder / f"hosts-of-logins-{number}"
            hosts.write_text("".join(f"{own_address(node)} {FLEET_NAME}\n" for node in order))
            self._threads.append(threading.Thread(target=self._run, args=(f"coming{number}", hosts), daemon=True))
        assert len(self._threads) == COMING
        for thread in self._threads:
            thread.start()

    def until_more(self, nodes):
        """Until each of these nodes has taken some more logins, or one has failed."""
        wanted = {own_address(node): self.at[own_address(node)] + SOME for node in nodes}
        with self._changed:
            there = self._changed.wait_for(
                lambda: self.failed or all(self.at[node] >= count for node, count in wanted.items()), TIMEOUT
            )
        assert there, f"too few logins: {self.at}"
        self.check()

    def check(self):
        assert self.failed == [], "\n".join(self.failed)

    def end(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self.check()

    def _run(self, user, hosts):
        while not self._stopping.is_set():
            how = {"pin": self._pin, "user": user, "password": PASSWORD, "server": FLEET_NAME, "hosts": hosts}
            client = OpenConnect(self._host, NO_IPV6, **how)
            try:
                client.await_up()
                node = re.findall(r"Connected to ([0-9.]+):443", client.output)[-1]
                client.goodbye()
            except BaseException as error:  # noqa: BLE001 - the test tells it
                client.kill()
                if self._forgiven and client.find(self._forgiven):
                    self.again += 1
                    continue
                with self._changed:
                    self.failed.append(f"{user}: {error!r}\n{client.output}")
                    self._changed.notify_all()
                return
            with self._changed:
                self.at[node] += 1
                self._changed.notify_all()


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    commit = earlier_version.last_version() if FROM == "last" else FROM
    return commit, earlier_version.install(commit, tmp_path_factory.mktemp("earlier") / "version")


@pytest.fixture
def fleet(earlier, lab, claim, tmp_path):
    """Three nodes of the earlier version, with a database that it has made."""
    program = earlier[1]
    with running_postgresql() as database:
        template = make_fleet_template(tmp_path / "template", database.url, ["alice"], program)
        fleet = FleetLab(lab.network, claim, template, tmp_path, database)
        for name in NAMES:
            fleet.add_node(name, builtin_limits=False, settings=SETTINGS, launcher=program)
        yield fleet
        for program in lab.network.programs:
            if program.running:
                program.kill()


def schema(fleet):
    with psycopg.connect(fleet.database.url.replace("+psycopg", "")) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def left_behind(fleet):
    """Sessions that wait for their client: it may open them at any node."""
    with psycopg.connect(fleet.database.url.replace("+psycopg", "")) as connection:
        return {row[0] for row in connection.execute(LEFT_BEHIND)}


def listed(node, path):
    """Nothing while its database is slow."""
    status, answer = node.api.call("GET", path)
    assert status in {200, 503}, answer
    return answer["items"] if status == 200 else []


def connected(nodes):
    """The sessions whose clients have a channel to one of these nodes."""
    found = [one for node in nodes for one in listed(node, OWN)]
    return {one["id"] for one in found if one["state"] == "connected"}


def test_no_login_fails_and_nothing_is_lost_while_one_node_after_the_other_is_upgraded(earlier, fleet, lab, tmp_path):
    assert schema(fleet) == earlier_version.schema_of(earlier[0])
    newest = earlier_version.own_schema()
    nodes = fleet.nodes
    staying = [f"staying{number}" for number in range((STAYING + LIMIT - 1) // LIMIT)]
    for user in [*staying, *(f"coming{number}" for number in range(COMING))]:
        nodes[0].api.expect(201, "POST", "/api/v1/users", {"name": user, "password": PASSWORD})
    host, other, outside = lab.host(), lab.host(), lab.host()
    for one in (host, other, outside):
        fleet.wire(one)
    counted = itertools.count()
    tunnels = Tunnels(
        host,
        STAYING,
        lambda dtls: fleet.connect_by_name(
            nodes[0], host, NO_IPV6, dtls=dtls, user=staying[next(counted) // LIMIT], reconnect_timeout=900
        ),
    )
    tunnels.ping_all()
    before = eventually(lambda: connected(nodes), lambda found: len(found) == STAYING, "all clients")
    full = Counter(dict.fromkeys(staying[: STAYING // LIMIT], LIMIT))
    blocks = set()

    def check_promises(newer):
        """Of blocks and limits, as asked at a node of either version; of all tunnels."""
        network = f"198.51.100.{len(blocks)}/32"
        asked = nodes[len(blocks) % len(nodes)]
        asked.api.block(network, "made on the way", ttl=3600)
        blocks.add(network)
        for number, node in enumerate(nodes):
            eventually(
                lambda node=node: {one["cidr"] for one in listed(node, "/api/v1/blocks")},
                lambda found: found >= blocks,
                "all blocks",
            )
            eventually(
                lambda node=node: Counter(one["user"] for one in listed(node, ALL)),
                lambda found: full <= found,
                "all sessions",
            )
            assert probe(outside, Target(own_address(number))) is ProbeResult.CLOSED
        for number in {newer, (newer + 1) % len(nodes)}:
            one_more = nodes[number].connect(other, NO_IPV6, server=own_address(number), user=staying[0])
            assert one_more.await_exit() != 0
            assert one_more.find(FULL), one_more.output
        tunnels.ping_all()

    nodes[0].api.block(outside.ipv4, "outside", ttl=3600)
    check_promises(0)
    refusing = earlier_version.schema_of(earlier[0]) <= REFUSING
    logins = Logins(other, tmp_path, nodes[0].pin, REFUSED if refusing else "")
    everywhere = range(len(nodes))
    logins.until_more(everywhere)
    for number, node in enumerate(nodes):
        others = [one for one in everywhere if one != number]
        nodes[others[0]].api.expect(200, "POST", f"/api/v1/nodes/{NAMES[number]}:drain")
        node.await_sessions(0)
        eventually(lambda: connected(nodes), lambda found: found >= before, "all clients back")
        logins.until_more(others)
        node.stop()
        node.start_again((OCSENTRY,))
        assert schema(fleet) == newest
        node.api.expect(200, "POST", f"/api/v1/nodes/{NAMES[number]}:resume")
        eventually(
            lambda node=node: node.api.call("GET", "/readyz")[0], lambda status: status == 200, "ready to take sessions"
        )
        logins.until_more(everywhere)
        check_promises(number)
    logins.end()
    print(f"{logins.at.total()} logins, by node: {dict(logins.at)}; {logins.again} refused by the earlier version")

    views = [one for node in nodes for one in node.api.get(OWN)["items"]]
    mine = [one for one in views if one["id"] in before]
    assert {counters_of(one["counters"]) for one in mine} == {counters_after(2 + len(nodes))}, "each byte once"
    tunnels.goodbye()
    rows, waiting = eventually(
        lambda: (nodes[0].api.get("/api/v1/sessions/history?limit=1000")["items"], left_behind(fleet)),
        lambda found: {row["id"] for row in found[0] if not row["ended_at"]} == found[1],
        "an end in each row whose client has said goodbye",
    )
    print(f"{len(waiting)} clients hung up while a drain closed their channel")
    assert len(waiting) <= COMING * len(nodes)
    reasons = {row["id"]: row["end_reason"] for row in rows if row["ended_at"]}
    assert {reasons[session] for session in before} == {"user_disconnect"}
    assert set(reasons.values()) <= {"user_disconnect", "replaced"}, "replaced: one of those that hung up"
