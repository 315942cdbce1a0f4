# SPDX-License-Identifier: GPL-3.0-or-later
"""The binding to libwolfsentry, described to cffi.

Built only if ``OCSENTRY_WOLFSENTRY`` names the library's prefix, a folder with ``include/wolfsentry/wolfsentry.h`` and
``lib/libwolfsentry.so``, or an archive of position-independent code.
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
GATE = ROOT / "sentry_engine" / "native"
PREFIX = Path(os.environ.get("OCSENTRY_WOLFSENTRY") or "/usr/local")
CFFI_HEADERS = runpy.run_path(str(GATE / "cffi_headers.py"))
HEADERS = ("library.h", "routes_gate.h")

ffi = FFI()
ffi.cdef(CFFI_HEADERS["declarations"](HERE / header for header in HEADERS))
ffi.set_source(
    "sentry_engine._wolfsentry",
    CFFI_HEADERS["preamble"](HEADERS),
    sources=sorted(str(path.relative_to(ROOT)) for path in HERE.glob("*.c")),
    depends=sorted(str(path.relative_to(ROOT)) for path in HERE.glob("*.h")),
    include_dirs=[str(HERE), str(GATE)],
    # The library's own headers do not satisfy this project's warnings.
    extra_compile_args=["-isystem", str(PREFIX / "include")],
    library_dirs=[str(PREFIX / "lib")],
    runtime_library_dirs=[str(PREFIX / "lib")] if (PREFIX / "lib" / "libwolfsentry.so").exists() else [],
    libraries=["wolfsentry", "pthread"],
)
