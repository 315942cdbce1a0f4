# SPDX-License-Identifier: GPL-3.0-or-later
"""A node of the next version joins and widens the schema while clients come and go on a node of this one."""

from __future__ import annotations

import asyncio
import re

import psycopg
import pytest
import pytest_asyncio

from admin_api.fleet.sessions.admission import ADMIT
from lab.timeouts import STRICT, TIMEOUT
from tests.admin_api.fleet.crowd import LIMIT, SOURCE, USERS, Crowd, Node, make_entry
from vpn_frontend.sessions.fleet.port import AdmitStatus, ClaimStatus, Standing

pytestmark = pytest.mark.asyncio

# What an upgrade of the schema may do while nodes of the version before run: columns with a default, functions with
# another number, indexes and tables: each by itself, since the locks of several tables at once deadlock with logins.
NEXT = """
ALTER TABLE fleet.sessions ADD COLUMN zone text NOT NULL DEFAULT '';
ALTER TABLE fleet.nodes ADD COLUMN zone text NOT NULL DEFAULT '';
ALTER TABLE fleet.beats ADD COLUMN load real NOT NULL DEFAULT 0;
CREATE INDEX sessions_zone ON fleet.sessions (zone);
CREATE FUNCTION fleet.admit_v99(
  p_node int, p_epoch bigint, p_id bytea, p_generation int, p_user text, p_device text, p_limit int, p_excess text,
  p_digest bytea, p_ipv4 inet, p_ipv6 inet, p_source inet, p_age double precision, p_remaining double precision,
  p_cookie_timeout int, p_dead_after interval, p_hold boolean, p_zone text)
RETURNS TABLE (status text, holders bytea[], nodes int[], generations int[], zone text) LANGUAGE plpgsql AS $$
DECLARE
  answer record;
BEGIN
  SELECT * INTO answer FROM fleet.admit_v1(p_node, p_epoch, p_id, p_generation, p_user, p_device, p_limit, p_excess,
    p_digest, p_ipv4, p_ipv6, p_source, p_age, p_remaining, p_cookie_timeout, p_dead_after, p_hold);
  UPDATE fleet.sessions s SET zone = p_zone WHERE s.id = p_id;
  RETURN QUERY SELECT answer.status, answer.holders, answer.nodes, answer.generations, p_zone;
END $$;
UPDATE alembic_version SET version_num = '9999';
"""
ADMIT_NEXT = (
    "SELECT status, holders, nodes, generations FROM fleet.admit_v99(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s::inet, "
    "%s::inet, %s::inet, %s, %s, %s, make_interval(secs => %s), %s, 'north')"
)
OPERATIONS = 600


class Watched(Crowd):
    """Also counts the logins that got no answer."""

    failed = 0

    async def _pause_until_back(self, node):
        self.failed += 1
        await super()._pause_until_back(node)


@pytest.fixture(autouse=True)
def patience(request):
    """What is only slow fails no login here; with strict times the budgets of a login count, too."""
    if not STRICT:
        request.getfixturevalue("patient_calls")


@pytest_asyncio.fixture
async def join(make_node, fleet_url):
    made = []

    async def join(name, version="1.0"):
        made.append(Node(await make_node(name, dead_after=TIMEOUT, version=version), fleet_url))
        return made[-1]

    yield join
    for node in made:
        await node.stop()


def widen(url):
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in re.split(r";\n(?=ALTER|CREATE|UPDATE)", NEXT):
            connection.execute(statement)


def use_next_functions(node):
    call = node.calls.call

    async def call_next(statement, values, *budget):
        if statement == ADMIT:
            return await call(ADMIT_NEXT, values, *budget)
        return await call(statement, values, *budget)

    node.calls.call = call_next


async def test_no_login_fails_while_the_next_version_widens_the_schema_and_joins(join, fleet_url, ask):
    old = [await join("n1"), await join("n2")]
    crowd = Watched(old, OPERATIONS)
    running = asyncio.create_task(crowd.run())
    await crowd.until_left(2 * OPERATIONS // 3)
    await asyncio.to_thread(widen, fleet_url)
    newer = await join("next", version="2.0")
    use_next_functions(newer)
    beside = Watched([newer], OPERATIONS // 3, seed=2)
    beside.sessions = crowd.sessions  # one limit for all
    late = Watched(old, OPERATIONS // 3, seed=3)  # however long the upgrade took
    late.sessions = crowd.sessions
    await asyncio.gather(running, beside.run(), late.run())
    nodes = [*old, newer]
    for node in nodes:
        assert node.refused == []
        for user in range(USERS):
            await node.errands.until_done(f"user{user}")
    assert (crowd.failed, beside.failed, late.failed) == (0, 0, 0)
    assert crowd.sessions.violations(LIMIT) == []
    assert crowd.sessions.false_refusals(LIMIT) == []
    assert crowd.sessions.count("unknown") == 0
    assert ask("SELECT count(*) FROM fleet.sessions WHERE NOT void") == [(0,)]
    versions = ask("SELECT name, version FROM fleet.nodes ORDER BY name")
    assert versions == [("n1", "1.0"), ("n2", "1.0"), ("next", "2.0")]


async def test_a_claim_and_a_return_go_from_version_to_version(join, fleet_url):
    """A session that the next version has admitted goes on at this one, and back."""
    one = await join("n1")
    await asyncio.to_thread(widen, fleet_url)
    newer = await join("next", version="2.0")
    use_next_functions(newer)
    entry = make_entry("u", limit=1)
    assert await newer.admit(entry) is AdmitStatus.OK
    assert await one.admit(make_entry("u", limit=1)) is AdmitStatus.FULL
    claim = await one.admission.claim(entry.session, entry.digest, SOURCE)
    assert (claim.status, claim.generation) == (ClaimStatus.OK, 2)
    told = await one.admission.reassert({entry.session: 2})
    assert told == {entry.session: Standing.OK}
    assert (await newer.admission.claim(entry.session, entry.digest, SOURCE)).generation == 3
    assert (await one.admission.reassert({entry.session: 2})) == {entry.session: Standing.MOVED}
