# SPDX-License-Identifier: GPL-3.0-or-later
"""A method under the slow limit by user of ``user_throttle``.

A login that has to be checked takes an attempt of its user; one that is answered from memory does not. The source
of an attempt over the limit is looked up among the user's earlier sessions: a restart makes no owner a stranger. An
attempt that has to wait is a failure of its source, so that sources that go on meet the policy's penalty.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Protocol

from sentry_engine.records import dataclass
from vpn_frontend.auth.composition import wrap_state
from vpn_frontend.auth.result import Accepted, Pending, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vpn_frontend.auth.method import LoginRequest, Method
    from vpn_frontend.auth.result import Outcome
    from vpn_frontend.auth.user_throttle import UserThrottle
    from vpn_frontend.settings import Address

MAX_LOOK_UPS = 8  # of earlier sessions at a time; a source beyond them counts as unknown
LOOK_UP_DEADLINE = 2.0  # seconds
MAX_STRANGERS = 4096  # look-ups without a result that are remembered
STRANGER_LIFETIME = 300.0  # seconds


class PastLogins(Protocol):
    async def has_logged_in(self, user: str, address: Address) -> bool:
        """True if one of the user's latest sessions came from the source of ``address``."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who tries to log in as ``user``, and from where. Not authenticated."""

    user: str
    address: Address
    device: str


@dataclass(frozen=True, slots=True)
class ThrottledState:
    client: Client
    state: object  # of the method


class ThrottledMethod:
    """``clock`` is monotonic."""

    def __init__(
        self,
        method: Method,
        throttle: UserThrottle,
        past_logins: PastLogins,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._method = method
        self._throttle = throttle
        self._past_logins = past_logins
        self._clock = clock
        self._looking_up = 0
        self._strangers: OrderedDict[tuple[str, Address], float] = OrderedDict()  # until when
        self.name = method.name
        self.backend = method.backend

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        outcome = self._method.begin(login)
        if not login.username:  # the client asks how to log in, or proves its name without typing it
            return outcome
        return self._limit(Client(login.username, login.address, login.device_id), outcome)

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:
        if not isinstance(state, ThrottledState):
            return self._method.answer(state, fields)  # of a login that began without a name
        return self._limit(state.client, self._method.answer(state.state, fields))

    def _limit(self, client: Client, outcome: Outcome | Pending) -> Outcome | Pending:
        if isinstance(outcome, Pending):
            return Pending(partial(self._wait, client, outcome))
        return self._note(client, outcome)

    async def _wait(self, client: Client, pending: Pending) -> Outcome:
        if not self._throttle.knows(client.user, client.address, client.device):
            wait = self._throttle.take(client.user, self._clock())
            if wait is not None and not await self._has_logged_in(client):
                return Refused(render_wait(wait), "user_throttled", final=True)
        return self._note(client, await pending.wait())

    def _note(self, client: Client, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Accepted):
            self._throttle.learn(client.user, client.address, client.device)
        elif isinstance(outcome, Refused) and outcome.scored:
            self._throttle.note_failure(client.user, self._clock())
        return wrap_state(outcome, partial(ThrottledState, client))

    async def _has_logged_in(self, client: Client) -> bool:
        asked, now = (client.user, client.address), self._clock()
        while self._strangers and now >= next(iter(self._strangers.values())):
            self._strangers.popitem(last=False)
        if asked in self._strangers or self._looking_up >= MAX_LOOK_UPS:
            return False
        self._looking_up += 1
        try:
            async with asyncio.timeout(LOOK_UP_DEADLINE):
                if await self._past_logins.has_logged_in(client.user, client.address):
                    return True
        except Exception:  # noqa: BLE001 - of any journal: the source then counts as unknown
            return False
        finally:
            self._looking_up -= 1
        self._strangers[asked] = now + STRANGER_LIFETIME
        if len(self._strangers) > MAX_STRANGERS:
            self._strangers.popitem(last=False)
        return False


def render_wait(seconds: float) -> str:
    """The text for a user who has to wait; the same whether there is such a user or not."""
    return f"Too many failed logins for this account. Please try again in {max(1, math.ceil(seconds))} seconds."
