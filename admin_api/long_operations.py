# SPDX-License-Identifier: GPL-3.0-or-later
"""The operations of this process: at most ``MAX_RUNNING`` at a time, and the latest ``MAX_KEPT`` that ended."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from admin_api.http.problems import ApiError, ProblemKind, policy_problems
from admin_api.progress import current_progress
from admin_api.store.columns import new_id
from sentry_engine import PolicyError
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from datetime import datetime

    from admin_api.clock import Clock

MAX_RUNNING = 16
MAX_KEPT = 100
STOP_WAIT = 5.0  # seconds that a stopping server waits for cancelled operations

logger = logging.getLogger(__name__)


class OperationState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True)
class Operation:
    """One operation. ``done`` of ``total`` steps are made; ``total`` is ``None`` if it is not known."""

    id: str
    kind: str
    created_by: str
    created_at: datetime
    state: OperationState = OperationState.RUNNING
    done: int = 0
    total: int | None = None
    finished_at: datetime | None = None
    result: Mapping[str, Any] | None = None
    error: str | None = None
    error_code: str | None = None
    cancellable: bool = True
    _task: asyncio.Task[Any] | None = field(default=None, repr=False)

    @property
    def percent(self) -> float | None:
        if self.state is OperationState.DONE:
            return 100.0
        return None if not self.total else round(min(100.0, 100.0 * self.done / self.total), 1)

    @property
    def running(self) -> bool:
        return self.state is OperationState.RUNNING

    def advance(self, done: int, total: int | None = None) -> None:
        """``done`` of ``total`` steps are made; ``None``: ``total`` is as before."""
        self.done = done
        if total is not None:
            self.total = total


class Operations:
    """Starts operations and keeps their outcome. Used on the event loop's thread only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, Operation] = {}

    def list(self) -> list[Operation]:
        """Returns the running and latest ended operations, newest first."""
        return [*reversed(self._known.values())]

    def get(self, operation_id: str) -> Operation | None:
        return self._known.get(operation_id)

    def begin(self, kind: str, by: str) -> Operation:
        """Note an operation that the caller carries out in its own request. Raises ``ApiError`` (429) if many run."""
        if sum(one.running for one in self._known.values()) >= MAX_RUNNING:
            detail = f"{MAX_RUNNING} operations are running; try again later"
            raise ApiError(ProblemKind.TOO_MANY_REQUESTS, detail, headers={"Retry-After": "5"})
        operation = Operation(new_id(), kind, by, self._clock.wall())
        self._known[operation.id] = operation
        ended = [one.id for one in self._known.values() if not one.running]
        for name in ended[: max(0, len(self._known) - MAX_KEPT)]:
            del self._known[name]
        return operation

    def present(self) -> Operation | None:
        """Returns the operation that the present task carries out."""
        found = current_progress()
        return found if isinstance(found, Operation) else None

    async def run(self, operation: Operation, work: Awaitable[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Carry out an operation in the caller's task. Returns its result, and raises what ``work`` raises."""
        operation._task = asyncio.current_task()  # noqa: SLF001
        try:
            result = await work
        except asyncio.CancelledError:
            self._end(operation, OperationState.CANCELLED, operation.result)
            raise
        except Exception as error:
            self._fail(operation, error)
            raise
        self._end(operation, OperationState.DONE, result)
        return result

    def follow(self, operation: Operation, task: asyncio.Task[Mapping[str, Any]]) -> None:
        """Keep what becomes of ``task``, which carries ``operation`` out beside the request that asked for it."""

        def settle(task: asyncio.Task[Mapping[str, Any]]) -> None:
            if task.cancelled():
                self._end(operation, OperationState.CANCELLED, operation.result)
            elif isinstance(error := task.exception(), Exception):
                if not isinstance(error, ApiError | PolicyError):
                    logger.error("the operation %s failed", operation.kind, exc_info=error)
                self._fail(operation, error)
            else:
                self._end(operation, OperationState.DONE, task.result())

        operation._task = task  # noqa: SLF001 - the registry owns it
        task.add_done_callback(settle)

    def cancel(self, operation: Operation) -> bool:
        """Cancel a running operation. What it has done so far stays. Returns false if it has ended, or may not be."""
        if not operation.cancellable or not operation.running or operation._task is None:  # noqa: SLF001
            return False
        operation._task.cancel()  # noqa: SLF001
        return True

    async def stop(self) -> None:
        """Cancel what may be cancelled, and wait for the rest up to ``STOP_WAIT`` seconds."""
        running = [one._task for one in self._known.values() if one.running and one._task is not None]  # noqa: SLF001
        for one in [*self._known.values()]:
            self.cancel(one)
        if running:
            await asyncio.wait(running, timeout=STOP_WAIT)

    def _end(self, operation: Operation, state: OperationState, result: Mapping[str, Any] | None = None) -> None:
        operation.state, operation.result, operation.finished_at = state, result, self._clock.wall()

    def _fail(self, operation: Operation, error: Exception) -> None:
        told = policy_problems(error) if isinstance(error, PolicyError) else error
        known = isinstance(told, ApiError)
        operation.error = str(told) if known else "The server failed; its log has the reason"
        operation.error_code = told.kind.code if isinstance(told, ApiError) else ProblemKind.INTERNAL.code
        self._end(operation, OperationState.FAILED, operation.result)
