# SPDX-License-Identifier: GPL-3.0-or-later
"""A running program whose output is read as events: each line with the moment at which it came."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.patience import PATIENCE

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lab.namespaces import Namespace

MAX_LINES = 200_000  # of one program, kept in memory
SHOWN_LINES = 40  # in a failure


@dataclass(frozen=True, slots=True)
class Line:
    at: float  # time.monotonic()
    text: str


class Program:
    """Standard output and error together, line by line. The program dies with this process, however that ends."""

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
        self._news = threading.Condition()
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
            with self._news:
                if len(self.lines) < MAX_LINES:
                    self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def output(self) -> str:
        with self._news:
            return "\n".join(line.text for line in self.lines)

    @property
    def last_words(self) -> str:
        with self._news:
            return "\n".join(line.text for line in self.lines[-SHOWN_LINES:])

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def find(self, pattern: str, *, since: int = 0) -> Line | None:
        with self._news:
            return next((line for line in self.lines[since:] if re.search(pattern, line.text)), None)

    def await_line(self, pattern: str, timeout: float = PATIENCE, *, since: int = 0) -> Line:
        """The first line from number ``since`` on that matches; an error with the whole output if none comes."""
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                for line in self.lines[since:]:
                    if re.search(pattern, line.text):
                        return line
                since = len(self.lines)
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "it ended" if self._ended else f"{timeout} s passed"
                    break
                self._news.wait(left)
        raise AssertionError(f"{self.label}: no line matches {pattern!r}, {why}:\n{self.last_words}")

    def await_exit(self, timeout: float = PATIENCE) -> int:
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.label} still runs after {timeout} s:\n{self.last_words}") from None
        self._reader.join(timeout)
        return code

    def signal(self, number: signal.Signals) -> None:
        if self.running:
            self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
