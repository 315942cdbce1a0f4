# SPDX-License-Identifier: GPL-3.0-or-later
"""A method whose faults cost only its own users: exceptions and hanging become ``Unavailable`` and are reported."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from vpn_frontend.auth.result import Pending, Unavailable
from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vpn_frontend.auth.method import LoginRequest, Method
    from vpn_frontend.auth.result import Outcome
    from vpn_frontend.ports import EventSink

METHOD_DEADLINE = 120.0  # seconds for one outcome of one method; a push to a phone takes about 60


def supervise(method: Method, events: EventSink) -> Method:
    """Returns the method with a deadline. Its faults become ``backend_failed`` events."""

    def report(backend: str, error: Exception) -> None:
        events.emit(VpnEvent.BACKEND_FAILED, what=backend, error=repr(error))

    return SupervisedMethod(method, deadline=METHOD_DEADLINE, report=report)


class SupervisedMethod:
    """``method`` with a deadline in seconds for each outcome.

    ``report`` gets the name of the backend and the exception, a ``TimeoutError`` after the deadline.
    """

    def __init__(self, method: Method, *, deadline: float, report: Callable[[str, Exception], None]) -> None:
        self._method = method
        self._deadline = deadline
        self._report = report
        self.name = method.name
        self.backend = method.backend

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        try:
            outcome = self._method.begin(login)
        except Exception as error:  # noqa: BLE001 - of any backend
            return self._fail(error)
        return Pending(partial(self._wait, outcome)) if isinstance(outcome, Pending) else outcome

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:
        try:
            outcome = self._method.answer(state, fields)
        except Exception as error:  # noqa: BLE001 - of any backend
            return self._fail(error)
        return Pending(partial(self._wait, outcome)) if isinstance(outcome, Pending) else outcome

    async def _wait(self, pending: Pending) -> Outcome:
        try:
            async with asyncio.timeout(self._deadline):
                return await pending.wait()
        except Exception as error:  # noqa: BLE001 - of any backend
            return self._fail(error)

    def _fail(self, error: Exception) -> Unavailable:
        self._report(self.backend, error)
        return Unavailable("Logins cannot be checked at the moment. Please try again later.")
