# SPDX-License-Identifier: GPL-3.0-or-later
"""Enforcement: blocks and rules survive restarts, failures change nothing, dry runs preview."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
import pytest_asyncio

from admin_api.clock import Clock
from admin_api.enforcement.api_rules import RuleChange
from admin_api.enforcement.kernel_filter import NoKernelFilter
from admin_api.enforcement.service import Enforcement
from admin_api.event_hub import EventHub
from admin_api.store import Store
from lab.timeouts import TIMEOUT
from sentry_engine import Engine, Policy, PolicyError

pytestmark = pytest.mark.asyncio

INSIDE = "198.51.100.7"
EMPTY = {"wolfsentry": {"version": "1.6.3", "builtin_limits": False, "rules": []}}


class Time:
    """Sets all three clocks, so that a test can jump in time."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0
        self.wall_jump = 0.0
        self.clock = Clock(wall=self.wall, monotonic=lambda: self.seconds)

    def unix(self) -> float:
        return 1_900_000_000.0 + self.seconds + self.wall_jump

    def wall(self) -> datetime:
        return datetime.fromtimestamp(self.unix(), UTC)


@pytest.fixture
def hands():
    return Time()


@pytest_asyncio.fixture
async def enforcing(store, rules_folder, hands):
    """Makes an Enforcement on the same store and rules, as a start of the server does."""
    made = []

    @asynccontextmanager
    async def start(sessions=None, kernel=None):
        engine = Engine(Policy.load(rules_folder), core="reference", clock=hands.clock.monotonic, wall_clock=hands.unix)
        sessions = sessions or NoSessions()
        sessions.engine = engine
        settings = {"events": EventHub(), "clock": hands.clock, "kernel": kernel}
        enforcement = Enforcement(engine, sessions, store, [rules_folder], **settings)
        enforcement.engine = engine
        await enforcement.start()
        made.append(enforcement)
        yield enforcement
        await enforcement.stop()
        engine.close()

    return start


class NoSessions:
    def list(self):
        return []

    async def reassess(self, now=None):
        return []

    def affected_by(self, network):
        return []


class TestRestart:
    async def test_blocks_and_rules_survive(self, enforcing):
        async with enforcing() as first:
            await first.add_block("198.51.100.0/24", "why", None, "me")
            await first.add_block("2001:db8::/32", "why", 60, "me")
            rule = {"id": "mine", "type": "blacklist", "remote_addr": "192.0.2.1"}
            await first.change_rule(RuleChange("mine", rule, "me"))
        async with enforcing() as second:
            for address in (INSIDE, "2001:db8::1", "192.0.2.1"):
                assert not second.engine.explain(address).verdict.accepted

    async def test_remaining_time_is_kept(self, enforcing, hands):
        async with enforcing() as first:
            await first.add_block(INSIDE, "", 60, "me")
        hands.seconds += 50
        async with enforcing() as second:
            assert not second.engine.explain(INSIDE).verdict.accepted
            hands.seconds += 9
            assert not second.engine.explain(INSIDE).verdict.accepted
            hands.seconds += 1
            assert second.engine.explain(INSIDE).verdict.accepted

    async def test_invalid_files_stop_the_start(self, enforcing, rules_folder):
        async with enforcing():
            pass
        starting = enforcing()
        rules_folder.joinpath("rules.json").write_text("{}")
        with pytest.raises(PolicyError):
            await starting.__aenter__()


class TestExpiry:
    async def test_ends_on_time_and_its_row_is_removed(self, enforcing, hands, store):
        async with enforcing() as enforcement:
            await enforcement.add_block(INSIDE, "", 60, "me")
            await enforcement.add_block("192.0.2.9", "", None, "me")
            hands.seconds += 59.999
            assert not enforcement.engine.explain(INSIDE).verdict.accepted
            hands.seconds += 0.002
            assert enforcement.engine.explain(INSIDE).verdict.accepted
            await enforcement.add_block("192.0.2.10", "", None, "me")
            async with store.read() as unit:
                assert {block.cidr for block in await unit.blocks.read_all()} == {"192.0.2.9/32", "192.0.2.10/32"}

    async def test_the_task_removes_rows_by_itself(self, rules_folder, store):
        engine = Engine(Policy.load(rules_folder), core="reference")
        gone = asyncio.Event()

        class Events:
            def emit(self, kind, **fields):
                if kind == "block_expired":
                    gone.set()

        enforcement = Enforcement(engine, NoSessions(), store, [rules_folder], events=Events())
        await enforcement.start()
        block = await enforcement.add_block(INSIDE, "", 0.05, "me")
        await asyncio.wait_for(gone.wait(), TIMEOUT)
        assert await enforcement.blocks.settle(block.id)
        async with store.read() as unit:
            assert await unit.blocks.read_all() == []
        await enforcement.stop()

    @pytest.mark.parametrize("jump", [7200.0, -7200.0])
    async def test_a_restart_after_a_jump_of_the_wall_clock_restores_what_is_left(self, enforcing, hands, store, jump):
        async with enforcing() as first:
            await first.add_block(INSIDE, "", 3600, "me")
            hands.seconds += 600
            hands.wall_jump = jump
        async with enforcing() as second:
            hands.seconds += 2999
            assert not second.engine.explain(INSIDE).verdict.accepted
            async with store.read() as unit:
                (block,) = await unit.blocks.read_all()
            assert block.expires_at == hands.wall() + timedelta(seconds=1)
            hands.seconds += 1
            assert second.engine.explain(INSIDE).verdict.accepted

    async def test_the_list_follows_a_jump_of_the_wall_clock(self, enforcing, hands, store):
        async with enforcing() as enforcement:
            await enforcement.add_block(INSIDE, "", 3600, "me")
            hands.wall_jump = 7200.0
            await enforcement.reload()
            await enforcement.add_block("192.0.2.9", "", None, "me")
            listed = enforcement.blocks.page(after=None, limit=10)
            assert [entry.expires_at for entry in listed] == [hands.wall() + timedelta(seconds=3600), None]
            assert not enforcement.engine.explain(INSIDE).verdict.accepted

    async def test_a_jump_of_the_wall_clock_removes_nothing_early(self, enforcing, hands, store):
        async with enforcing() as enforcement:
            await enforcement.add_block(INSIDE, "", 3600, "me")
            hands.wall_jump = 7200.0
            await enforcement.add_block("192.0.2.10", "", None, "me")
            async with store.read() as unit:
                assert len(await unit.blocks.read_all()) == 2

    async def test_blocking_again_after_the_end_is_a_new_block(self, enforcing, hands):
        async with enforcing() as enforcement:
            first = await enforcement.add_block(INSIDE, "", 60, "me")
            hands.seconds += 61
            second = await enforcement.add_block(INSIDE, "", 60, "me")
            assert second.created
            assert second.id != first.id


class TestFailingStore:
    async def test_rule_that_cannot_be_written_is_not_in_force(self, enforcing, store, monkeypatch):
        async with enforcing() as enforcement:
            fail_commits(store, monkeypatch)
            rule = {"id": "mine", "type": "blacklist", "remote_addr": INSIDE}
            with pytest.raises(OSError, match="disk"):
                await enforcement.change_rule(RuleChange("mine", rule, "me"))
            assert enforcement.engine.explain(INSIDE).verdict.accepted
            assert {rule.id for rule in enforcement.policy.prefix_rules} == {"corporate", "no_lab"}


def fail_commits(store: Store, monkeypatch) -> None:
    write = store.write

    @asynccontextmanager
    async def failing():
        async with write() as unit:
            yield unit
            raise OSError("the disk is full")

    monkeypatch.setattr(store, "write", failing)


class TestReload:
    async def test_any_error_changes_nothing(self, enforcing, rules_folder):
        async with enforcing() as enforcement:
            before = enforcement.status()
            rules_folder.joinpath("good.json").write_text(rule_file("good", INSIDE))
            rules_folder.joinpath("bad.json").write_text('{"wolfsentry": {"version": "1", "rules": [{"id": 7}]}}')
            report = await enforcement.reload()
            assert not report.valid
            assert enforcement.engine.explain(INSIDE).verdict.accepted
            status = enforcement.status()
            assert (status.version, status.rules) == (before.version, before.rules)
            assert status.failure is report
            assert any(
                p.file.endswith("bad.json") and p.pointer.startswith("/wolfsentry/rules/0") for p in report.problems
            )
            rules_folder.joinpath("bad.json").unlink()
            report = await enforcement.reload()
            assert report.valid
            assert enforcement.status().failure is None
            assert enforcement.engine.explain(INSIDE).verdict.rule_id == "good"

    @pytest.mark.parametrize("change", ["reload", "rule"])
    async def test_a_block_is_in_force_and_stored_while_a_plan_is_made(self, enforcing, store, monkeypatch, change):
        async with enforcing() as enforcement:
            prepare, reached, release = enforcement.engine.prepare, threading.Event(), threading.Event()

            def hold(policy):
                reached.set()
                assert release.wait(TIMEOUT)
                return prepare(policy)

            monkeypatch.setattr(enforcement.engine, "prepare", hold)
            rule = RuleChange("mine", {"id": "mine", "type": "blacklist", "remote_addr": "203.0.113.0/24"}, "me")
            changing = asyncio.create_task(
                enforcement.reload() if change == "reload" else enforcement.change_rule(rule)
            )
            try:
                assert await asyncio.to_thread(reached.wait, TIMEOUT)
                async with asyncio.timeout(TIMEOUT):
                    await enforcement.add_block(INSIDE, "", None, "me")
                    async with store.read() as unit:
                        assert [block.cidr for block in await unit.blocks.read_all()] == [f"{INSIDE}/32"]
                assert not enforcement.engine.decide("connect", INSIDE).accepted
                assert not changing.done()
            finally:
                release.set()
                await changing
            assert not enforcement.engine.decide("connect", INSIDE).accepted

    async def test_blocks_outlive_it(self, enforcing):
        async with enforcing() as enforcement:
            await enforcement.add_block(INSIDE, "", None, "me")
            await enforcement.reload()
            assert not enforcement.engine.explain(INSIDE).verdict.accepted

    async def test_many_at_once(self, enforcing, rules_folder):
        async with enforcing() as enforcement:
            rules_folder.joinpath("more.json").write_text(rule_file("more", "192.0.2.1"))
            blocks = [enforcement.add_block(f"198.51.100.{n}", "", None, "me") for n in range(20)]
            await asyncio.gather(*(enforcement.reload() for _ in range(5)), *blocks)
            assert len(enforcement.engine.blocks()) == 20
            assert not enforcement.engine.explain("192.0.2.1").verdict.accepted


class StuckKernel(NoKernelFilter):
    """A kernel filter whose helper does not answer."""

    def __init__(self):
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def lift(self):
        self.asked.set()
        await self.answers.wait()


class TestKernelFilter:
    @pytest.mark.parametrize("change", ["reload", "rule", "unblock"])
    async def test_a_helper_that_hangs_holds_up_no_other_change(self, enforcing, change):
        kernel = StuckKernel()
        async with enforcing(kernel=kernel) as enforcement, asyncio.timeout(TIMEOUT):
            await enforcement.add_block("192.0.2.9", "", None, "me")
            kernel.asked.clear()
            kernel.answers.clear()
            rule = RuleChange("one", {"id": "one", "type": "blacklist", "remote_addr": "192.0.2.1"}, "me")
            stuck = asyncio.create_task(
                {
                    "reload": enforcement.reload,
                    "rule": lambda: enforcement.change_rule(rule),
                    "unblock": lambda: enforcement.remove_block("192.0.2.9", "me"),
                }[change]()
            )
            await kernel.asked.wait()
            await enforcement.add_block(INSIDE, "", None, "me")
            assert not enforcement.engine.explain(INSIDE).verdict.accepted
            kernel.asked.clear()
            other = asyncio.create_task(enforcement.reload())
            await kernel.asked.wait()  # no lock was held
            assert not stuck.done()
            kernel.answers.set()
            await asyncio.gather(stuck, other)

    async def test_a_change_that_was_taken_back_reaches_the_kernel_too(self, enforcing, store, monkeypatch):
        kernel = StuckKernel()
        async with enforcing(kernel=kernel) as enforcement:
            kernel.asked.clear()
            fail_commits(store, monkeypatch)
            rule = {"id": "one", "type": "blacklist", "remote_addr": "192.0.2.1"}
            with pytest.raises(OSError, match="disk"):
                await enforcement.change_rule(RuleChange("one", rule, "me"))
            assert kernel.asked.is_set()
            assert enforcement.engine.explain("192.0.2.1").verdict.accepted


def rule_file(rule_id: str, remote_addr: str) -> str:
    rule = {"id": rule_id, "type": "blacklist", "remote_addr": remote_addr}
    return json.dumps({"wolfsentry": {"version": "1.6.3", "rules": [rule]}})


async def test_a_thousand_random_blocks(enforcing, store):
    """After any sequence of blocks and unblocks, the verdicts equal those of a plain list."""
    rng = random.Random(20301122)
    in_force: set = set()

    def random_network():
        if rng.random() < 0.7:
            length = rng.randint(8, 32)
            return IPv4Network((rng.getrandbits(32) >> (32 - length) << (32 - length), length))
        length = rng.randint(16, 128)
        return IPv6Network((rng.getrandbits(128) >> (128 - length) << (128 - length), length))

    async with enforcing() as enforcement:
        await allow_everything(enforcement)
        for step in range(1000):
            if in_force and rng.random() < 0.4:
                network = rng.choice(sorted(in_force, key=str))
                in_force.remove(network)
                assert await enforcement.remove_block(str(network), "me")
            else:
                network = random_network()
                in_force.add(network)
                await enforcement.add_block(network, "", None, "me", force=True)
            if step % 10:
                continue
            for _ in range(10):
                near = rng.choice(sorted(in_force, key=str)) if in_force and rng.random() < 0.5 else random_network()
                address = near[rng.randrange(near.num_addresses)]
                refused = any(address.version == n.version and address in n for n in in_force)
                assert enforcement.engine.explain(address).verdict.accepted is not refused, (address, step)
        assert {ip_network(row) for row in await stored(store)} == in_force


async def allow_everything(enforcement: Enforcement) -> None:
    """Replace the rules of the files by none."""
    enforcement.engine.swap(Policy.from_document(EMPTY))


async def stored(store: Store) -> list[str]:
    async with store.read() as unit:
        return [block.cidr for block in await unit.blocks.read_all()]


async def test_deadline_is_the_inverse_of_moment(hands):
    moment = hands.wall() + timedelta(seconds=90)
    assert hands.clock.deadline(moment) == pytest.approx(hands.seconds + 90)
    assert hands.clock.moment(hands.seconds + 90) == moment
