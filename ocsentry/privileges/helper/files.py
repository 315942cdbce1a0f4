# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens a file of the configuration for the helper."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ocsentry.privileges.helper.answer import Refused

if TYPE_CHECKING:
    from pathlib import Path

MAX_FILE = 1024 * 1024  # bytes of a key or a certificate chain


def open_file(path: Path | None) -> int:
    """A descriptor, which the caller owns. Raises ``Refused`` or ``OSError``."""
    if path is None:
        raise Refused("the configuration names no such file")
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hold the helper
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_FILE:
        os.close(descriptor)
        raise Refused(f"{path}: not a file of at most {MAX_FILE} bytes")
    return descriptor
