# SPDX-License-Identifier: GPL-3.0-or-later
"""A child process whose output lines carry the time at which they came."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.timeouts import TIMEOUT

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lab.namespaces import Namespace

MAX_LINES = 200_000  # kept per program
SHOWN_LINES = 40  # in an error


@dataclass(frozen=True, slots=True)
class Line:
    """One line of output and when it was read."""

    at: float  # time.monotonic()
    text: str


class Program:
    """Reads standard output and error, line by line. The kernel kills the program when this process ends."""

    def __init__(
        self,
        label: str,
        command: Sequence[str | Path],
        namespace: Namespace,
        *,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.label = label
        self.lines: list[Line] = []
        self._changed = threading.Condition()
        self._ended = False
        with namespace.entered():
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                text=True,
                errors="backslashreplace",
                bufsize=1,
            )
        assert self.process.stdin is not None
        if stdin:
            self.process.stdin.write(stdin)
        self.process.stdin.close()
        self._reader = threading.Thread(target=self._read, name=f"output of {label}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            line = Line(time.monotonic(), text.rstrip("\n"))
            with self._changed:
                if len(self.lines) < MAX_LINES:
                    self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def output(self) -> str:
        with self._changed:
            return "\n".join(line.text for line in self.lines)

    @property
    def tail(self) -> str:
        with self._changed:
            return "\n".join(line.text for line in self.lines[-SHOWN_LINES:])

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def find(self, pattern: str, *, since: int = 0) -> Line | None:
        with self._changed:
            return next((line for line in self.lines[since:] if re.search(pattern, line.text)), None)

    def await_line(self, pattern: str, timeout: float = TIMEOUT, *, since: int = 0) -> Line:
        """Returns the first line from number ``since`` on that matches.

        Raises AssertionError with the last lines if the program ends or ``timeout`` seconds pass.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self.lines[since:]:
                    if re.search(pattern, line.text):
                        return line
                since = len(self.lines)
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "it ended" if self._ended else f"{timeout} s passed"
                    break
                self._changed.wait(left)
        raise AssertionError(f"{self.label}: no line matches {pattern!r}, {why}:\n{self.tail}")

    def await_exit(self, timeout: float = TIMEOUT) -> int:
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.label} still runs after {timeout} s:\n{self.tail}") from None
        self._reader.join(timeout)
        return code

    def signal(self, number: signal.Signals) -> None:
        if self.running:
            self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
