# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that is looked at with each use, and read and parsed again only if it has changed.

A change is told by what ``fstat`` says. A file that changed within the last second may change again without a trace in
its times, so it is read with each use until then.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vpn_frontend.gateway.certificates.server_certificate import FileReader

MAX_BYTES = 1 << 20  # what the helper process reads of a file, too
SETTLED = 1_000_000_000  # nanoseconds; clocks of file systems tick every few milliseconds

T = TypeVar("T")


class ReadThroughFile(Generic[T]):
    """One file, parsed by ``parse``. ``read_privileged`` reads it if this process may not. Used by one thread."""

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], T],
        read_privileged: FileReader | None = None,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.path = path
        self._parse = parse
        self._read_privileged = read_privileged
        self._clock = clock
        self._seen: tuple[int, ...] | None = None  # of the file as it was parsed; None: it may have changed since
        self._parsed: tuple[bytes, T] | None = None

    def load(self) -> T:
        """Returns the parsed content of the present file; the same object while that is unchanged. Blocks.

        Raises ``OSError`` for a file that cannot be read or is larger than ``MAX_BYTES``, and what ``parse`` raises.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would wait
        except PermissionError:
            if self._read_privileged is None:
                raise
            self._seen = None
            return self._parse_changed(self._read_privileged(self.path, MAX_BYTES + 1))
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "not a regular file", str(self.path))
        with os.fdopen(descriptor, "rb") as file:
            seen = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
            if self._parsed is not None and seen == self._seen:
                return self._parsed[1]
            settled = self._clock() - max(facts.st_mtime_ns, facts.st_ctime_ns) >= SETTLED
            data = file.read(MAX_BYTES + 1)
        found = self._parse_changed(data)
        self._seen = seen if settled else None
        return found

    def _parse_changed(self, data: bytes) -> T:
        if len(data) > MAX_BYTES:
            raise OSError(errno.EFBIG, f"larger than {MAX_BYTES} bytes", str(self.path))
        if self._parsed is None or self._parsed[0] != data:
            self._parsed = (data, self._parse(data))
        return self._parsed[1]
