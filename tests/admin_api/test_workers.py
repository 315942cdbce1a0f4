# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials are bounded in number and time, and no control action waits for a pool that requests can fill."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from admin_api.http.identity import Scope
from admin_api.http.problems import ApiError, ProblemKind
from admin_api.workers import ControlWorker, TrialWorker
from lab.timeouts import TIMEOUT

INSIDE = "198.51.100.7"
DOCUMENT = {"wolfsentry": {"version": "1.6.3", "rules": []}}


class Held:
    """Work that keeps its thread until ``release``."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self._released = threading.Event()

    def __call__(self, *_: object) -> str:
        self.began.set()
        self._released.wait(TIMEOUT)
        return "done"

    def release(self) -> None:
        self._released.set()

    async def until_begun(self) -> None:
        while not self.began.is_set():  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(0)


@pytest.fixture
def held():
    work = Held()
    yield work
    work.release()


@pytest.fixture
def worker():
    made = TrialWorker(max_trials=2)
    yield made
    made.close()


class TestTrialWorker:
    @pytest.mark.asyncio
    async def test_returns_and_raises_what_the_work_does(self, worker):
        assert await worker.run(lambda _: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await worker.run(lambda _: 1 / 0)
        assert await worker.run(lambda _: 8) == 8

    @pytest.mark.asyncio
    async def test_no_more_than_its_places_wait(self, worker, held):
        waiting = [asyncio.ensure_future(worker.run(held)) for _ in range(2)]
        await held.until_begun()
        with pytest.raises(ApiError) as caught:
            await worker.run(held)
        assert caught.value.kind is ProblemKind.TOO_MANY_REQUESTS
        assert int(caught.value.headers["Retry-After"]) > 0
        held.release()
        assert await asyncio.gather(*waiting) == ["done", "done"]
        assert await worker.run(held) == "done"

    @pytest.mark.asyncio
    async def test_a_caller_who_has_gone_frees_no_place(self, worker, held):
        waiting = [asyncio.ensure_future(worker.run(held)) for _ in range(2)]
        await held.until_begun()
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(ApiError):
            await worker.run(held)

    @pytest.mark.asyncio
    async def test_the_deadline_counts_from_the_begin_of_the_work(self):
        now = [100.0]
        worker = TrialWorker(seconds=5.0, clock=lambda: now[0])

        def work(is_late):
            found = []
            for seconds in (4.0, 0.9, 0.2):
                now[0] += seconds
                found.append(is_late())
            return found

        for _ in range(2):
            assert await worker.run(work) == [False, False, True]
        worker.close()

    @pytest.mark.asyncio
    async def test_closing_ends_the_running_trial_and_does_not_wait(self, worker, held):
        seen = []

        def work(is_late):
            held()
            seen.append(is_late())

        waiting = asyncio.ensure_future(worker.run(work))
        await held.until_begun()
        worker.close()
        held.release()
        await waiting
        assert seen == [True]


@pytest.mark.asyncio
async def test_control_actions_do_not_wait_for_each_other(held):
    control = ControlWorker()
    waiting = asyncio.ensure_future(control.run(held))
    await held.until_begun()
    assert await asyncio.wait_for(control.run(max, 1, 2), TIMEOUT) == 2
    held.release()
    assert await waiting == "done"
    control.close()


class TestUnderLoad:
    """Six checks with a read-only token and a full default pool hold no control action."""

    @pytest.fixture
    def load(self, server, held):
        """Fill the default pool and every place for trials."""

        async def fill() -> list[asyncio.Future[object]]:
            loop = asyncio.get_running_loop()
            jobs = [loop.run_in_executor(None, held) for _ in range(64)]
            trials = server.enforcement._trial_worker
            jobs += [asyncio.ensure_future(trials.run(held)) for _ in range(trials._max_trials)]
            await held.until_begun()
            return jobs

        return fill

    @pytest.mark.asyncio
    async def test_blocks_rules_reloads_and_the_stop_go_on(self, server, load, held):
        jobs = await load()
        client = server.client

        async def act() -> None:
            assert (await client.post("/api/v1/blocks", json={"cidr": INSIDE})).status_code == 201
            rule = {"id": "mine", "type": "blacklist", "remote_addr": "192.0.2.1"}
            assert (await client.post("/api/v1/rules", json=rule)).status_code == 201
            assert (await client.post("/api/v1/policy/reload")).status_code == 200
            assert (await server.enforcement.reload(by="signal")).valid
            await server.enforcement._scheduler.apply_due()
            await server.enforcement.stop()

        await asyncio.wait_for(act(), TIMEOUT)
        held.release()
        await asyncio.gather(*jobs)

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/policy/check", DOCUMENT),
            ("/policy/check", None),
            ("/policy/simulate", DOCUMENT),
            ("/policy/simulate", None),
            ("/policy/reload?dry_run=true", None),
        ],
    )
    @pytest.mark.asyncio
    async def test_one_more_trial_is_told_to_come_back(self, server, load, held, path, body):
        jobs = await load()
        client = await server.client_with(Scope.POLICY_READ, Scope.DECISIONS_READ, Scope.POLICY_WRITE)
        answer = await asyncio.wait_for(client.post(f"/api/v1{path}", json=body), TIMEOUT)
        assert answer.status_code == 429
        assert answer.json()["code"] == "too_many_requests"
        assert int(answer.headers["Retry-After"]) > 0
        held.release()
        await asyncio.gather(*jobs)


def test_no_control_action_uses_the_default_pool():
    """Requests fill the pool of ``asyncio.to_thread``: only what is listed here may wait in it."""
    root = Path(__file__).parents[2]
    users = {
        str(path.relative_to(root))
        for layer in ("admin_api", "ocsentry", "vpn_frontend")
        for path in (root / layer).rglob("*.py")
        if "to_thread" in path.read_text() or "run_in_executor(None" in path.read_text()
    }
    assert users == {
        "admin_api/feeds/endpoints.py",  # looks at the files of lists
        "admin_api/rules/endpoints.py",  # sorts the rules of files by their hits
        "admin_api/policy/versions.py",  # compares documents
        "admin_api/reference/page.py",  # writes the reference page
        "admin_api/enforcement/rule_listing.py",  # sorts the rules for a list
        "admin_api/enforcement/source_listing.py",  # lists sources, one thread at a time
        "admin_api/fleet/membership/membership.py",  # at the start and the end
        "admin_api/store/damage.py",  # at the start
        "admin_api/store/database.py",  # at the start
        "admin_api/users/service.py",  # hashes the password of a new user
        "ocsentry/rule_sources/feed_refresher.py",  # downloads
        "ocsentry/rule_sources/watcher.py",  # the default; the server passes control threads
        "ocsentry/runtime/admin/api.py",  # makes the routes at the start
        "ocsentry/runtime/server.py",  # loads the API, and lists at the start; the check of the certificate for /readyz
    }
