# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients of three real nodes see while networks, clocks, disks, nodes and databases fail: see site.py.

OCSENTRY_FLEET_ROUNDS: rounds of all ways to configure a fleet together, each with a nemesis, every fourth with two at
once (100 before a release). Without it only the short test runs: the others take minutes. OCSENTRY_FLEET_SEED: which
they are. OCSENTRY_FLEET_NEMESES: names, with commas, once each, in place of the rounds.
"""

from __future__ import annotations

import os
import random
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from admin_api.store import migrations
from lab.timeouts import eventually
from tests.e2e.fleet.clients import LIMIT, USERS
from tests.e2e.fleet.nemeses import NEMESES, OF_THE_NODES, OF_THE_STORE
from tests.e2e.fleet.site import Site, ask_until_served

ROUNDS = int(os.environ.get("OCSENTRY_FLEET_ROUNDS", "0"))
SEED = int(os.environ.get("OCSENTRY_FLEET_SEED", "1"))
NAMED = [name for name in os.environ.get("OCSENTRY_FLEET_NEMESES", "").split(",") if name]
WAYS = [(split, loss) for split in ("hold", "give_way") for loss in ("deny", "local")]
QUICK = ["kill backend", "kill store", "kill node", "cut store"]

OPENED = 'SELECT "user", count(*), count(ended_at) FROM public.sessions GROUP BY 1'
ENOUGH = 500  # sessions after which a limit that none has met, or a control that was not caught, is a failure
SOURCE = (Path(next(iter(migrations.__path__))) / "fleet" / "admission.sql").read_text()
ADMIT = re.search(r"CREATE FUNCTION fleet\.admit_v1.*?END \$\$;", SOURCE, re.DOTALL).group()
WITHOUT_LIMIT = ADMIT.replace("CREATE", "CREATE OR REPLACE", 1).replace("BEGIN\n", "BEGIN\n  p_limit := 0;\n", 1)


@pytest.fixture
def make_site(lab, claim):
    """In a folder of a short path, as that of a Unix socket has to be."""

    @contextmanager
    def make_site(**how):
        with tempfile.TemporaryDirectory(prefix="ocs-site-") as name:
            Path(name).chmod(0o755)
            site = Site(lab.network, claim, Path(name), seed=SEED, **how)
            try:
                site.clients.begin()
                site.operator.begin()
                yield site
            finally:
                site.close()

    return make_site


def rounds(way):
    """Names of nemeses, one or two at a time."""
    if NAMED:
        return [[name] for name in NAMED]
    chosen = random.Random(f"{SEED} {' '.join(WAYS[way])}")
    count = len(range(way, ROUNDS, len(WAYS)))
    found = []
    while len(found) < count:
        alone = [[name] for name in chosen.sample(sorted(NEMESES), 3)]
        found += [*alone, [chosen.choice(sorted(OF_THE_STORE)), chosen.choice(sorted(OF_THE_NODES))]]
    return found[:count]


def befall(pool, site, names):
    """All of them at once. A failure of one is the test's.

    The threads live as long as the site: the kernel kills a program when the thread ends that has started it.
    """
    for running in [pool.submit(NEMESES[name], site) for name in names]:
        running.result()


@pytest.mark.skipif(not (ROUNDS or NAMED), reason="OCSENTRY_FLEET_ROUNDS is not set: make soak does it")
@pytest.mark.parametrize("way", range(len(WAYS)), ids=["-".join(way) for way in WAYS])
def test_no_promise_is_broken_whatever_befalls_the_fleet(make_site, way):
    split, loss = WAYS[way]
    pool = ThreadPoolExecutor(2)
    with make_site(split=split, loss=loss) as site:
        for number, names in enumerate(rounds(way)):
            before = site.clients.opened
            with site.trouble():
                befall(pool, site, names)
                site.whole()
            site.go_on()
            print(f"round {number}: {' and '.join(names)}: {site.clients.opened - before} sessions", flush=True)
            check_sessions(site)
        while not site.clients.sessions.count("full"):  # a limit that none meets shows nothing
            assert site.clients.opened < ENOUGH
            site.go_on()
        site.end()
        sessions = site.clients.sessions
        print(f"ok {sessions.count('ok')}, full {sessions.count('full')}, unknown {sessions.count('unknown')}")
        print(f"packets dropped {site.router.dropped}, delayed {site.router.delayed}")
        check_sessions(site)
        assert sessions.count("ok") > len(rounds(way))
        check_blocks(site)
        check_rows(site)
        check_control(site)
    pool.shutdown()


def test_no_promise_is_broken_by_what_befalls_a_fleet_often(make_site):
    with make_site(split="hold", loss="deny", dead_after=3) as site, ThreadPoolExecutor(1) as pool:
        for name in QUICK:
            with site.trouble():
                befall(pool, site, [name])
                site.whole()
        site.go_on()
        check_sessions(site)
        site.operator.end()
        check_blocks(site)
        site.clients.end()
        check_control(site)


def check_sessions(site):
    """No user has more places than the promise says, none is refused without a reason, no address is lent twice.

    The limit is exact while nothing befalls the fleet, and always if it holds places and a node alone opens nothing.
    """
    sessions, addresses = site.clients.sessions, site.clients.addresses
    assert sessions.violations(LIMIT, site.loose) == []
    assert sessions.violations(site.bound) == []
    assert sessions.false_refusals(LIMIT, site.held_again) == []
    assert addresses.violations(1) == []
    known = [what for at, what in site.clients.moved if not any(start <= at <= end for start, end in site.forgotten)]
    assert known == []


def check_blocks(site):
    """All that an answer said is stored is in force on all nodes, on the others a moment later."""
    for node in site.nodes:
        eventually(
            lambda node=node: missing_blocks(node, site.operator.blocked), lambda missing: not missing, "blocked"
        )


def missing_blocks(node, blocked):
    found, cursor = set(), ""
    while True:
        page = ask_until_served(node, {200}, "GET", f"/api/v1/blocks?limit=1000{cursor}")
        found |= {one["cidr"] for one in page["items"]}
        if not page.get("next_cursor"):
            return set(blocked) - found
        cursor = f"&cursor={page['next_cursor']}"


def check_control(site):
    """An admission that counts no session is caught."""
    site.stores.primary.ask(WITHOUT_LIMIT)
    site.clients = site.more_clients()
    site.clients.begin()
    while not site.clients.sessions.violations(LIMIT):
        assert site.clients.opened < ENOUGH
        site.go_on()
    site.clients.end()


def check_rows(site):
    """Each session that was opened has one row, with an end: that of a lost one comes behind its place."""
    rows = eventually(
        lambda: site.stores.primary.ask(OPENED), lambda rows: all(one[1] == one[2] for one in rows), "ended"
    )
    assert {row[0] for row in rows} == set(USERS)
