# SPDX-License-Identifier: GPL-3.0-or-later
"""A method whose faults cost only its own users: exceptions and hanging become ``Unavailable`` and are reported."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from vpn_frontend.auth.result import Pending, Unavailable
from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.auth.method import LoginRequest, Method
    from vpn_frontend.auth.result import Outcome
    from vpn_frontend.ports import EventSink

Observe = Callable[[str, "Outcome", float], None]
METHOD_DEADLINE = 120.0  # seconds for one outcome of one method; a push to a phone takes about 60


def supervise(method: Method, events: EventSink, observe: Observe = lambda *_: None) -> Method:
    """Returns the method with a deadline. Its faults become ``backend_failed`` events.

    ``observe`` is told the method's name, each outcome, and the seconds that it took.
    """

    def report(backend: str, error: Exception) -> None:
        events.emit(VpnEvent.BACKEND_FAILED, what=backend, error=repr(error))

    return SupervisedMethod(method, deadline=METHOD_DEADLINE, report=report, observe=observe)


class SupervisedMethod:
    """``method`` with a deadline in seconds for each outcome.

    ``report`` gets the name of the backend and the exception, a ``TimeoutError`` after the deadline.
    """

    def __init__(
        self,
        method: Method,
        *,
        deadline: float,
        report: Callable[[str, Exception], None],
        observe: Observe = lambda *_: None,
    ) -> None:
        self._method = method
        self._deadline = deadline
        self._report = report
        self._observe = observe
        self.name = method.name
        self.backend = method.backend

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        return self._run(partial(self._method.begin, login))

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:
        return self._run(partial(self._method.answer, state, fields))

    def _run(self, step: Callable[[], Outcome | Pending]) -> Outcome | Pending:
        began = time.perf_counter()
        try:
            outcome = step()
        except Exception as error:  # noqa: BLE001 - of any backend
            outcome = self._fail(error)
        if isinstance(outcome, Pending):
            return Pending(partial(self._wait, outcome, began))
        return self._note(outcome, began)

    async def _wait(self, pending: Pending, began: float) -> Outcome:
        try:
            async with asyncio.timeout(self._deadline):
                outcome = await pending.wait()
        except Exception as error:  # noqa: BLE001 - of any backend
            outcome = self._fail(error)
        return self._note(outcome, began)

    def _note(self, outcome: Outcome, began: float) -> Outcome:
        self._observe(self.name, outcome, time.perf_counter() - began)
        return outcome

    def _fail(self, error: Exception) -> Unavailable:
        self._report(self.backend, error)
        return Unavailable("Logins cannot be checked at the moment. Please try again later.")
