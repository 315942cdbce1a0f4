# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's native core, described to cffi (out-of-line API mode). ``build_ext.py`` compiles it."""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# Our own sources are compiled with warnings that the code which cffi writes around them does not satisfy.
PREAMBLE = """
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "state_export.h"
#include "parse/address.h"
#include "parse/network.h"
"""

# ``binding`` is a second module in the same library, for what is asked too often to go through cffi.
SOURCES = sorted(str(path.relative_to(ROOT)) for path in HERE.rglob("*.c"))

ffi = FFI()
ffi.cdef((HERE / "cdef.h").read_text())
ffi.set_source(
    "sentry_engine._core",
    PREAMBLE,
    sources=SOURCES,
    depends=sorted(str(path.relative_to(ROOT)) for path in HERE.rglob("*.h")),
    include_dirs=[str(HERE)],
    libraries=["m", "pthread"],
)
