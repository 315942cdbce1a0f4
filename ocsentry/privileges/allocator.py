# SPDX-License-Identifier: GPL-3.0-or-later
"""Has malloc of glibc read from files what it wants to know, before threads may open none.

It looks when it needs it, in whichever thread uses memory then; the filter of a gateway worker would end the process.
Other C libraries have no arenas.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from pathlib import Path

from ocsentry.privileges.errors import PrivilegeError

M_ARENA_MAX = -8  # malloc.h
BLOCK = 100_000  # bytes: below the threshold of mmap, of 128 KiB
# Together nearly an arena, of 64 MiB; of each block only the page with its head is used. They have to pass the
# threshold of trimming: 128 KiB, or twice the largest mapped block that was freed before.
BLOCKS = 600


def settle() -> None:
    """Call it while the process has one thread; it has one again at the end. Raises ``PrivilegeError``."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return
    # For its ninth arena it opens /sys/devices/system/cpu/online, unless there is a limit: here its own.
    libc.mallopt(ctypes.c_int(M_ARENA_MAX), ctypes.c_int(8 * (os.cpu_count() or 1)))
    # When it first makes an arena smaller, it opens /proc/sys/vm/overcommit_memory. The first thread's is another kind.
    thread = threading.Thread(target=_shrink_an_arena, args=(libc,))
    try:
        thread.start()
    except RuntimeError as error:
        raise PrivilegeError(f"the system gives the server no thread: {error}") from error
    thread.join()
    while Path(f"/proc/self/task/{thread.native_id}").exists():  # it has ended for Python a moment before
        time.sleep(0)


def _shrink_an_arena(libc: ctypes.CDLL) -> None:
    libc.malloc.argtypes, libc.malloc.restype = (ctypes.c_size_t,), ctypes.c_void_p
    libc.free.argtypes, libc.free.restype = (ctypes.c_void_p,), None
    for block in [libc.malloc(BLOCK) for _ in range(BLOCKS)]:
        libc.free(block)
