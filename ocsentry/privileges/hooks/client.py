# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's side of the hook helper: one request for each program, answered when it has ended."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from ocsentry.privileges.started_helper import HelperGoneError, StartedHelper
from sentry_engine.records import dataclass
from vpn_frontend.sessions.records.hook_environment import fit

if TYPE_CHECKING:
    import socket
    import subprocess
    from collections.abc import Mapping

    from ocsentry.privileges.helper.protocol import Document

SHOWN_OUTPUT = 256  # characters in the log


@dataclass(frozen=True, slots=True)
class HookResult:
    """How a program ended. ``problem`` is empty if it succeeded; ``output`` is the beginning of what it printed."""

    problem: str
    output: str = ""


class HookHelper(StartedHelper):
    name = "hook helper"
    module = "ocsentry.privileges.hooks"
    variable = "OCSENTRY_HOOK_HELPER"
    without = "connect hooks refuse and others do not run"
    folder = None  # ocserv's scripts write beside it

    def __init__(self, link: socket.socket, process: subprocess.Popen[bytes] | None) -> None:
        super().__init__(link, process)
        self._running: dict[int, asyncio.Future[HookResult]] = {}

    async def run_program(self, program: str, environment: Mapping[str, str], network: str = "") -> HookResult:
        """Run one of the scope's programs to its end. Cancelling this does not end the program.

        ``network``: what stands for ``%{R}`` in its arguments.
        """
        self._last_id += 1
        number = self._last_id
        running: asyncio.Future[HookResult] = asyncio.get_running_loop().create_future()
        self._running[number] = running
        try:
            fitting = {name: fit(value) for name, value in environment.items()}
            asked = {"verb": "hook", "id": number, "program": program, "environment": fitting}
            self.send({**asked, "network": network} if network else asked)
            return await running
        except (HelperGoneError, ValueError) as error:
            return HookResult(str(error))
        finally:
            self._running.pop(number, None)

    def handle_answer(self, answer: Document, descriptors: tuple[int, ...]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)
        running = self._running.get(answer.get("id", 0))
        if running is not None and not running.done():
            running.set_result(_read_result(answer))

    def handle_loss(self, error: HelperGoneError) -> None:
        for running in self._running.values():
            if not running.done():
                running.set_result(HookResult(str(error)))


def _read_result(answer: Document) -> HookResult:
    output = "".join(sign if sign.isprintable() else " " for sign in str(answer.get("output", ""))).strip()
    code = answer.get("code")
    if "error" in answer or type(code) is not int:
        problem = str(answer.get("error", "an answer of another form"))
    elif answer.get("timed_out"):
        problem = "it took too long and was killed"
    else:
        problem = "" if code == 0 else f"exit code {code}" if code > 0 else f"ended by signal {-code}"
    return HookResult(problem, output[:SHOWN_OUTPUT])
