# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 of the server at random moments of changes over the API: blocks, rules and users.

gateway 10.77.0.1, `ocsentry serve`; the callers are on the gateway

OCSENTRY_CHANGE_ROUNDS: rounds; a seed names the moments and the changes.
"""

from __future__ import annotations

import http.client
import os
import random
import threading
from typing import TYPE_CHECKING

from lab.timeouts import eventually

if TYPE_CHECKING:
    from lab.clients.api import Api

ROUNDS = int(os.environ.get("OCSENTRY_CHANGE_ROUNDS", "2"))
SEED = 20301208
USERS = ("alice", "bob", "carol")  # one per caller
KEYS = 8  # blocks and rules of each caller, which come and go
LATEST_CHANGE = 60  # acknowledged, after which the server is killed


class Caller:
    """Makes one change at a time. ``acknowledged``: the last known state of each key; ``open``: the one under way."""

    def __init__(self, number: int, ids: dict[str, str]) -> None:
        """``ids``: of the blocks, by key."""
        self._number, self._ids, self._chance = number, ids, random.Random(SEED + number)
        self.acknowledged: dict[str, object] = {}
        self.open: tuple[str, object] | None = None
        self.made = 0
        self._thread: threading.Thread | None = None

    def start(self, api: Api) -> None:
        self._thread = threading.Thread(target=self._run, args=(api,))
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self, api: Api) -> None:
        try:
            while True:
                key, value, *request = self._next()
                self.open = key, value
                status, answer = api.call(*request)
                assert status in {200, 201, 204}, (request, status, answer)
                if key.startswith("block") and value is not None:
                    self._ids[key] = answer["id"]
                self.acknowledged[key] = value
                self.open = None
                self.made += 1
        except (OSError, EOFError, http.client.HTTPException):
            api.close()  # the server is gone

    def _next(self) -> tuple[object, ...]:
        kind, one = self._chance.choice(("block", "rule", "user")), self._chance.randrange(KEYS)
        if kind == "user":
            note = f"note {self._chance.getrandbits(32):x}"
            return f"user {USERS[self._number]}", note, "PATCH", f"/api/v1/users/{USERS[self._number]}", {"note": note}
        network = f"198.51.{100 + self._number}.{one}" if kind == "block" else f"203.0.{self._number}.{one}"
        key = f"{kind} {network}/32"
        if self.acknowledged.get(key) is None:
            made = f"{self._chance.getrandbits(32):x}"
            if kind == "block":
                return key, made, "POST", "/api/v1/blocks", {"cidr": network, "reason": made}
            rule = {"id": f"w{self._number}-{one}", "type": "blacklist", "remote_addr": network, "description": made}
            return key, made, "POST", "/api/v1/rules", rule
        if kind == "block":
            return key, None, "DELETE", f"/api/v1/blocks/{self._ids[key]}"
        return key, None, "DELETE", f"/api/v1/rules/w{self._number}-{one}"


def read_state(api: Api, ids: dict[str, str]) -> dict[str, object]:
    """Returns what is in force and stored, by the callers' keys, and notes the ids of blocks."""
    state: dict[str, object] = {}
    for block in api.get("/api/v1/blocks?limit=1000")["items"]:
        state[f"block {block['cidr']}"] = block["reason"]
        ids[f"block {block['cidr']}"] = block["id"]
    for rule in api.get("/api/v1/rules?limit=1000")["items"]:
        if rule["source"] == "api":
            state[f"rule {rule['document']['remote_addr']}/32"] = rule["description"]
    for user in api.get("/api/v1/users?limit=1000")["items"]:
        state[f"user {user['name']}"] = user["note"]
    return state


def check(callers: list[Caller], state: dict[str, object]) -> None:
    """Each key is as it was acknowledged, or as the change under way would leave it. There is nothing else."""
    known = set()
    for caller in callers:
        key, value = caller.open or (None, None)
        for one in {*caller.acknowledged, key} - {None}:
            known.add(one)
            expected = caller.acknowledged.get(one, "" if one.startswith("user") else None)
            found = state.get(one)
            assert found == expected or (one == key and found == value), (one, found, expected, caller.open)
            caller.acknowledged[one] = found
        caller.open = None
    assert {key for key in state if not key.startswith("user")} <= known


def test_a_kill_at_any_moment_loses_no_acknowledged_change(lab):
    chance = random.Random(SEED)
    server = lab.serve(builtin_limits=False)
    ids: dict[str, str] = {}
    callers = [Caller(number, ids) for number in range(len(USERS))]
    for _ in range(ROUNDS):
        before = sum(caller.made for caller in callers)
        goal = before + chance.randint(1, LATEST_CHANGE)
        for caller in callers:
            caller.start(server.api.another())
        eventually(lambda: sum(caller.made for caller in callers), lambda made: made >= goal, f"{goal} changes")  # noqa: B023
        server.program.kill()
        for caller in callers:
            caller.join()
        server.api.close()
        server.start_again()
        check(callers, read_state(server.api, ids))
        assert server.api.get("/api/v1/audit/verify")["intact"]
        blocked = next((one for c in callers for one, made in c.acknowledged.items() if made and "block" in one), None)
        if blocked is not None:
            address = blocked.split()[1].partition("/")[0]
            assert server.api.get(f"/api/v1/explain?address={address}")["verdict"]["action"] == "reject"
    print(f"{ROUNDS} rounds, {sum(caller.made for caller in callers)} acknowledged changes")
