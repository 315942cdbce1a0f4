# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests that drive the real openconnect client against a served ocsentry.

    one test:   Site (lab/network.py)      gateway namespace, one host namespace per client
                Server (lab/server.py)     `ocsentry serve` in the gateway namespace
                OpenConnect                the client in a host namespace

Environment, for longer runs than a change needs: OCSENTRY_TRANSFER_BYTES (each way; 1 GB before a release),
OCSENTRY_CLIENT_ROUNDS and OCSENTRY_ROAM_ROUNDS (random connects, kills, roams), OCSENTRY_TUNNELS (at once),
OCSENTRY_PINGS (through each of them, 10 a second) and OCSENTRY_PREFIXES (of a policy swapped beside a tunnel);
OCSENTRY_STRICT_TIMES holds the server to the times it promises, on a machine that does nothing else (lab/bounds.py).
"""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.namespaces import Claim
from lab.network import Host, Site
from lab.server import Prepared, Server, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

USERS = ("alice", "bob", "carol")
_LAB: pytest.StashKey[Lab] = pytest.StashKey()


class Lab:
    """What one test builds, and its taking down."""

    def __init__(self, site: Site, prepared: Prepared, folder: Path) -> None:
        self.site, self.servers = site, []
        self._prepared, self._folder = prepared, folder

    def host(self, ipv4: str | None = None, ipv6: str | None = None, *, rough: bool = False) -> Host:
        return self.site.add_host(ipv4, ipv6, rough=rough)

    def serve(self, **how: Any) -> Server:
        server = Server(self.site, self._folder / f"server{len(self.servers)}", self._prepared, **how)
        self.servers.append(server)
        return server

    def transcripts(self) -> Iterator[tuple[str, str]]:
        for program in self.site.programs:
            yield program.label, program.output

    def take_down(self) -> None:
        """Clients say goodbye; then every server must hold no lease, stop well and leave nothing."""
        try:
            for server in self.servers:
                server.finish()
        finally:
            for program in self.site.programs:
                if program.running:
                    program.kill()
            self.site.close()


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
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Made by the first test process that asks, used by the whole run: it takes several starts of the command line."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "prepared"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (saved := folder.with_suffix(".pickle")).exists():
            return pickle.loads(saved.read_bytes())
        folder.mkdir(exist_ok=True)
        made = prepare(folder, USERS)
        saved.write_bytes(pickle.dumps(made))
        return made


@pytest.fixture
def lab(claim: Claim, prepared: Prepared, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    lab = Lab(Site(claim), prepared, tmp_path)
    request.node.stash[_LAB] = lab
    yield lab
    lab.take_down()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failure shows what every program of the lab said."""
    report = yield
    if report.failed and (lab := item.stash.get(_LAB, None)):
        report.sections.extend((f"output of {label}", text[-20_000:]) for label, text in lab.transcripts())
    return report
