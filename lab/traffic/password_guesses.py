# SPDX-License-Identifier: GPL-3.0-or-later
"""Guesses of passwords at a fixed rate from many addresses, by one process that runs beside the test's.

A guess is due at its time whether earlier ones were answered or not. It is a connection of its own: TLS handshake, one
login form with a name and a wrong password, the answer.

Standard input: one JSON object with ``server``, ``port``, ``rate``, ``at_once``, ``sources`` (addresses, used in turn)
and ``users`` (names, used in turn). The process guesses until its standard input ends, and then writes the fields of
``Guesses``.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from lab.clients.cstp_client import login_request
from lab.network import SERVER_IPV4
from lab.timeouts import TIMEOUT
from lab.traffic.probes import tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.network import Host

PATIENCE = 30.0  # seconds for the answer to one guess


@dataclass(slots=True)
class Guesses:
    """``seconds``: while they were begun. ``refused``: answered with a text. ``closed``: ended without an answer.

    ``left_out``: due while as many as allowed were under way.
    """

    seconds: float = 0.0
    begun: int = 0
    refused: int = 0
    closed: int = 0
    accepted: int = 0
    left_out: int = 0

    @property
    def rate(self) -> float:
        return self.begun / self.seconds


class Guessing:
    """Guesses that go on until the block of ``guess_at_rate`` ends; then ``found`` says what came of them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.found = Guesses()

    def await_answers(self) -> None:
        """Waits until a guess was answered."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "answered\n"

    def end(self) -> None:
        said, _ = self._process.communicate(timeout=TIMEOUT)
        self.found = Guesses(**json.loads(said))


@contextmanager
def guess_at_rate(
    host: Host, rate: float, at_once: int, sources: Sequence[str], users: Sequence[str]
) -> Iterator[Guessing]:
    """Guesses at the VPN's port from ``host`` at ``rate`` a second while the block runs, ``at_once`` at a time."""
    wanted = {
        "server": SERVER_IPV4,
        "port": 443,
        "rate": rate,
        "at_once": at_once,
        "sources": sources,
        "users": users,
    }
    command = (sys.executable, "-m", "lab.traffic.password_guesses")
    with host.namespace.entered():
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    guessing = Guessing(process)
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(wanted) + "\n")
        process.stdin.flush()
        yield guessing
        guessing.end()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


async def _guess(server: tuple[str, int], context: ssl.SSLContext, source: str, user: str, counts: Guesses) -> None:
    answer = b""
    with suppress(OSError, EOFError):
        reader, writer = await asyncio.open_connection(*server, ssl=context, local_addr=(source, 0))
        try:
            writer.write(login_request(user, "wrong"))
            answer = await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.transport.abort()
    if not answer:
        counts.closed += 1
    elif re.search(rb"\nset-cookie: webvpn=[^;\s]", answer, re.IGNORECASE):
        counts.accepted += 1
    else:
        counts.refused += 1


async def _run(
    server: str, port: int, rate: float, at_once: int, sources: Sequence[str], users: Sequence[str]
) -> Guesses:
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    counts, context, began = Guesses(), tls_context(), time.monotonic()
    under_way: set[asyncio.Task[None]] = set()
    told = False

    def finish(task: asyncio.Task[None]) -> None:
        nonlocal told
        under_way.discard(task)
        if not told:
            print("answered", flush=True)
        told = True

    for number in range(sys.maxsize):
        await asyncio.wait([ended], timeout=max(0.0, began + number / rate - time.monotonic()))
        if ended.done():
            break
        if len(under_way) >= at_once:
            counts.left_out += 1
            continue
        source, user = sources[number % len(sources)], users[number % len(users)]
        task = asyncio.create_task(_guess((server, port), context, source, user, counts))
        under_way.add(task)
        task.add_done_callback(finish)
        counts.begun += 1
    counts.seconds = time.monotonic() - began
    if under_way:
        await asyncio.wait(under_way, timeout=PATIENCE)
    return counts


if __name__ == "__main__":
    found = asyncio.run(_run(**json.loads(sys.stdin.readline())))
    print(json.dumps(asdict(found)))
