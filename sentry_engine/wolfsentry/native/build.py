# SPDX-License-Identifier: GPL-3.0-or-later
"""The binding to libwolfsentry, described to cffi.

Built only where ``OCSENTRY_WOLFSENTRY`` names its prefix: the folder with ``include/wolfsentry/wolfsentry.h`` and
``lib/libwolfsentry.so``, or an archive that was compiled to be position-independent.
"""

from __future__ import annotations

import os
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
GATE = ROOT / "sentry_engine" / "native"
PREFIX = Path(os.environ.get("OCSENTRY_WOLFSENTRY") or "/usr/local")

PREAMBLE = """
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "routes_gate.h"
"""

ffi = FFI()
ffi.cdef((HERE / "cdef.h").read_text())
ffi.set_source(
    "sentry_engine._wolfsentry",
    PREAMBLE,
    sources=sorted(str(path.relative_to(ROOT)) for path in HERE.glob("*.c")),
    depends=sorted(str(path.relative_to(ROOT)) for path in HERE.glob("*.h")),
    include_dirs=[str(HERE), str(GATE)],
    # The library's own headers are not written to this project's warnings.
    extra_compile_args=["-isystem", str(PREFIX / "include")],
    library_dirs=[str(PREFIX / "lib")],
    runtime_library_dirs=[str(PREFIX / "lib")] if (PREFIX / "lib" / "libwolfsentry.so").exists() else [],
    libraries=["wolfsentry", "pthread"],
)
