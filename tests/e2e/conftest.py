# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the end-to-end tests: the real openconnect client against `ocsentry serve`.

    one test:   Network (lab/network.py)   gateway namespace, one host namespace per client
                Server (lab/server.py)     `ocsentry serve` in the gateway namespace
                OpenConnect                the client in a host namespace

Environment variables for longer runs:
OCSENTRY_TRANSFER_BYTES: bytes each way (1 GB before a release).
OCSENTRY_CLIENT_ROUNDS, OCSENTRY_ROAM_ROUNDS: rounds of random connects, kills and address changes.
OCSENTRY_LOGINS: logins at once by each method, with servers that answer and with servers that hang.
OCSENTRY_RETURNING: tunnels that come back after a restart, and after a kill.
OCSENTRY_FLEET_WALKTHROUGH: a site of three nodes, balancers and databases loses one of each; takes minutes.
OCSENTRY_FLEET_SESSIONS: tunnels that go on at another node after a drain, and after a kill.
OCSENTRY_FLEET_FROM: the version from which a fleet is upgraded beside logins; it is built first, which takes a minute.
OCSENTRY_FLEET_DPD: seconds after which clients probe a node that has lost its power.
OCSENTRY_TUNNELS: tunnels at once. OCSENTRY_PINGS: echo requests through each, 10 per second.
OCSENTRY_PREFIXES: prefixes of a policy that is swapped beside a tunnel.
OCSENTRY_STRICT_TIMES: asserts the promised times themselves; needs an idle machine (lab/timeouts.py).
"""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.fleet import FleetLab, make_fleet_template
from lab.namespaces import Claim
from lab.network import Host, Network
from lab.server import Server, ServerTemplate, make_template
from lab.services.postgresql import running_postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator

USERS = ("alice", "bob", "carol")
_LAB: pytest.StashKey[Lab] = pytest.StashKey()


class Lab:
    """What one test builds; ``take_down`` ends it and checks it."""

    def __init__(self, network: Network, template: ServerTemplate, folder: Path) -> None:
        self.network, self.servers = network, []
        self._template, self._folder = template, folder

    def host(self, ipv4: str | None = None, ipv6: str | None = None, *, impaired: bool = False) -> Host:
        return self.network.add_host(ipv4, ipv6, impaired=impaired)

    def serve(self, **how: Any) -> Server:
        server = Server(self.network, self._folder / f"server{len(self.servers)}", self._template, **how)
        self.servers.append(server)
        return server

    def transcripts(self) -> Iterator[tuple[str, str]]:
        for program in self.network.programs:
            yield program.label, program.output

    def take_down(self) -> None:
        """Disconnects the clients. Each server must then hold no lease, stop cleanly and leave nothing."""
        try:
            for server in self.servers:
                server.finish()
        finally:
            for program in self.network.programs:
                if program.running:
                    program.kill()
            self.network.close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.netns)


@pytest.fixture(scope="session")
def claim() -> Iterator[Claim]:
    missing = [name for name in ("ip", "nft", "openconnect", "ping", "setpriv") if not shutil.which(name)]
    missing += [] if os.geteuid() == 0 else ["root"]
    missing += [] if Path("/dev/net/tun").exists() else ["/dev/net/tun"]
    if missing:
        pytest.fail(f"these tests need {', '.join(missing)}: run them by 'make e2e', as root")
    claim = Claim()
    yield claim
    claim.release()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> ServerTemplate:
    """Made once per run, by the first test process that asks: the command line starts several times for it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "server-template"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (saved := folder.with_suffix(".pickle")).exists():
            return pickle.loads(saved.read_bytes())
        folder.mkdir(exist_ok=True)
        made = make_template(folder, USERS)
        saved.write_bytes(pickle.dumps(made))
        return made


@pytest.fixture
def lab(claim: Claim, template: ServerTemplate, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    lab = Lab(Network(claim), template, tmp_path)
    request.node.stash[_LAB] = lab
    yield lab
    lab.take_down()


@pytest.fixture
def fleet(lab: Lab, claim: Claim, tmp_path: Path) -> Iterator[FleetLab]:
    """No node yet, a PostgreSQL of its own, and the users alice and bob."""
    with running_postgresql() as database:
        template = make_fleet_template(tmp_path / "template", database.url, ["alice", "bob"])
        yield FleetLab(lab.network, claim, template, tmp_path, database)
        for program in lab.network.programs:
            if program.running:
                program.kill()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Adds the output of every program to the report of a failure."""
    report = yield
    if report.failed and (lab := item.stash.get(_LAB, None)):
        report.sections.extend((f"output of {label}", text[-20_000:]) for label, text in lab.transcripts())
    return report
