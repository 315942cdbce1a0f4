# SPDX-License-Identifier: GPL-3.0-or-later
"""A program whose wall clock jumps while it runs (shifted_clock.c). Its other clocks, and the machine's, stay."""

from __future__ import annotations

import mmap
import subprocess
from pathlib import Path

from lab.timeouts import TIMEOUT


class ShiftedClock:
    """``launcher`` goes before a command. ``jump`` moves the wall clock of what runs by it, of its children too."""

    def __init__(self, folder: Path) -> None:
        """``folder`` exists; every user may read it."""
        library, file = folder / "shifted_clock.so", folder / "shift"
        source = Path(__file__).with_suffix(".c")
        command = ["gcc", "-shared", "-fPIC", "-O1", "-fno-builtin", "-o", library, source, "-ldl"]
        subprocess.run(command, check=True, timeout=TIMEOUT)
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._shift = mmap.mmap(opened.fileno(), 8)
        self._seconds = 0
        self.launcher = ("env", f"LD_PRELOAD={library}", f"OCSENTRY_LAB_CLOCK={file}")

    def jump(self, seconds: int) -> None:
        self._seconds += seconds
        self._shift[:] = self._seconds.to_bytes(8, "little", signed=True)
