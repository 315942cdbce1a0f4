# SPDX-License-Identifier: GPL-3.0-or-later
"""Three nodes, many clients, one limit: what they saw is checked as a history. Each control must be caught by it.

OCSENTRY_FLEET_OPERATIONS: admissions. OCSENTRY_FLEET_KILLS: how often the database is disturbed meanwhile.
OCSENTRY_FLEET_NEMESES: how, in turn. kill: SIGKILL of one server process. restart: of all, then a start. hang: SIGSTOP
of all until each node has noticed that it is cut off.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from pathlib import Path

import psycopg
import pytest

from admin_api.fleet.membership.membership import NodeState
from admin_api.store import Store, migrations
from lab.services.postgresql import running_postgresql
from tests.admin_api.fleet.crowd import LIMIT, USERS, Crowd, kill_a_backend, nodes_of
from tests.admin_api.fleet.history import History

pytestmark = pytest.mark.asyncio

OPERATIONS = int(os.environ.get("OCSENTRY_FLEET_OPERATIONS", "900"))
KILLS = int(os.environ.get("OCSENTRY_FLEET_KILLS", "2"))
NEMESES = os.environ.get("OCSENTRY_FLEET_NEMESES", "kill").split(",")
ENOUGH = 4000  # operations after which a control that was not caught is a failure
SOURCE = (Path(next(iter(migrations.__path__))) / "fleet" / "admission.sql").read_text()
ADMIT = re.search(r"CREATE FUNCTION fleet\.admit_v1.*?END \$\$;", SOURCE, re.DOTALL).group()
LOCK = re.search(r"  IF p_limit > 0 THEN\n    INSERT INTO fleet\.users.*?END IF;\n", ADMIT, re.DOTALL).group()
# The lock and the count in one statement: what it counts is from before it had the lock.
ONE_STATEMENT = """
CREATE OR REPLACE FUNCTION fleet.admit_v1{signature} LANGUAGE sql AS $$
  WITH locked AS MATERIALIZED (
         INSERT INTO fleet.users AS u (key) VALUES (p_user)
           ON CONFLICT (key) DO UPDATE SET admissions = u.admissions + 1 RETURNING 1),
       counted AS MATERIALIZED (
         SELECT count(*) AS held FROM locked, fleet.sessions s WHERE s.user_key = p_user AND NOT s.void),
       made AS (
         INSERT INTO fleet.sessions (id, user_key, node, epoch, generation, device, cookie_digest, source)
           SELECT p_id, p_user, p_node, p_epoch, p_generation, p_device, p_digest, p_source
           FROM counted WHERE held < p_limit RETURNING 1)
  SELECT CASE WHEN EXISTS (SELECT 1 FROM made) THEN 'ok' ELSE 'full' END, '{{}}'::bytea[], '{{}}'::int[], '{{}}'::int[]
$$;""".format(signature=re.search(r"\(.*?RETURNS TABLE \(.*?\)", ADMIT, re.DOTALL).group())
WITHOUT_LOCK = ADMIT.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION").replace(LOCK, "")
# An address is found to be free by a snapshot, and taken without a look at its present owner.
WITHOUT_LEND = """
CREATE OR REPLACE FUNCTION fleet.lend_v1(
  p_node int, p_epoch bigint, p_pool cidr, p_first numeric, p_end numeric, p_count int)
RETURNS TABLE (address inet) LANGUAGE sql AS $$ SELECT set_masklen(p_pool::inet + 2, 32) $$;"""


async def test_the_checker_knows_a_violation_and_a_false_refusal():
    history = History()
    for called, answered, released, confirmed in ((0, 1, 5, 6), (0, 2, 4, 6), (0, 3, 7, 8)):
        one = history.begin("user", called)
        one.result, one.answered, one.released, one.confirmed = "ok", answered, released, confirmed
    assert history.violations(2) == ["user at 3.000000"]
    assert history.violations(3) == []
    for called, answered in ((5.5, 5.8), (6.5, 7.5), (8.5, 9)):
        one = history.begin("user", called)
        one.result, one.answered = "full", answered
    assert history.false_refusals(2) == ["user at 6.500000", "user at 8.500000"]
    assert history.false_refusals(1) == ["user at 8.500000"]


async def test_no_user_has_more_than_the_limit_and_no_place_is_refused_wrongly(make_node):
    """Server processes of the database are killed meanwhile, each time all of them go down and it recovers."""
    with running_postgresql() as server:
        await (await Store.open(server.url)).close()
        async with nodes_of(make_node, server.url) as nodes:
            crowd = Crowd(nodes, OPERATIONS)
            nemesis = asyncio.create_task(_disturb(server, crowd, nodes))
            await crowd.run()
            await nemesis
            for node in nodes:
                assert node.refused == []
                for user in range(USERS):
                    await node.errands.until_done(f"user{user}")
        history = crowd.sessions
        unknown = history.count("unknown")
        print(f"ok {history.count('ok')}, full {history.count('full')}, unknown {unknown}, kills {KILLS}")
        print(f"addresses lent {crowd.addresses.count('ok')}")
        assert history.violations(LIMIT) == []
        assert history.false_refusals(LIMIT) == []
        assert crowd.addresses.violations(1) == []
        assert history.count("ok") > OPERATIONS // 4
        assert history.count("full") > 0
        assert crowd.addresses.count("ok") > 0
        with psycopg.connect(server.url.replace("+psycopg", "")) as connection:
            assert connection.execute("SELECT count(*) FROM fleet.sessions WHERE NOT void").fetchone() == (0,)


async def _disturb(server, crowd, nodes):
    chosen = random.Random(3)
    for number in range(KILLS):
        await crowd.until_left(OPERATIONS * (KILLS - number) // (KILLS + 1))
        match NEMESES[number % len(NEMESES)]:
            case "restart":
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
            case "hang":
                server.suspend()
                try:
                    for node in nodes:
                        await node.membership.wait_for(NodeState.CUT_OFF)
                finally:
                    server.resume()
            case _:
                await asyncio.to_thread(kill_a_backend, server.url, chosen)
        for node in nodes:  # the next disturbance finds all of them again
            await node.membership.wait_for(NodeState.MEMBER)


async def until_caught(make_node, fleet_url, violations):
    """Have crowds work until the checker finds one, within ``ENOUGH`` operations."""
    async with nodes_of(make_node, fleet_url) as nodes:
        found, operations = [], 0
        while not found:
            assert operations < ENOUGH
            crowd = Crowd(nodes, 150, seed=operations)
            await crowd.run()
            operations += 150
            found = violations(crowd)


@pytest.mark.parametrize("control", [WITHOUT_LOCK, ONE_STATEMENT], ids=["no lock", "lock and count in one statement"])
async def test_a_wrong_admission_is_caught(control, make_node, fleet_url, ask):
    ask(control.replace(":", "\\:"))
    await until_caught(make_node, fleet_url, lambda crowd: crowd.sessions.violations(LIMIT))


async def test_an_address_lent_twice_is_caught(make_node, fleet_url, ask):
    ask(WITHOUT_LEND.replace(":", "\\:"))
    await until_caught(make_node, fleet_url, lambda crowd: crowd.addresses.violations(1))
