# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's native core, described to cffi (out-of-line API mode). ``build_ext.py`` compiles it."""

from __future__ import annotations

import runpy
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# Run, not imported: the packages' own dependencies need not be installed where they are built.
CFFI_HEADERS = runpy.run_path(str(HERE / "cffi_headers.py"))

# What Python sees, each header after those that it includes.
HEADERS = (
    "gate.h",
    "plan.h",
    "decision/steps.h",
    "parse/ipv4.h",
    "parse/address.h",
    "parse/network.h",
    "table/checksum.h",
    "table/policy.h",
    "table/snapshot_file.h",
    "core.h",
    "python_calls.h",
    "state_export.h",
)

# ``binding`` is a second module in the same library, for the calls that are too frequent to go through cffi.
SOURCES = sorted(str(path.relative_to(ROOT)) for path in HERE.rglob("*.c"))

ffi = FFI()
ffi.cdef(CFFI_HEADERS["declarations"](HERE / header for header in HEADERS))
ffi.set_source(
    "sentry_engine._core",
    CFFI_HEADERS["preamble"](HEADERS),
    sources=SOURCES,
    depends=sorted(str(path.relative_to(ROOT)) for path in HERE.rglob("*.h")),
    include_dirs=[str(HERE)],
    libraries=["m", "pthread"],
)
