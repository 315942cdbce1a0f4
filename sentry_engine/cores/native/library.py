# SPDX-License-Identifier: GPL-3.0-or-later
"""The compiled native core, loaded and checked: ``ffi`` and ``lib`` of the module that ``native/build.py`` makes."""

from __future__ import annotations

try:
    from sentry_engine._core import ffi, lib
except ImportError as error:  # no silent fallback: a caller that wants the reference core asks for it
    raise ImportError(
        f"the engine's native core is not built ({error}): run `make build`, or ask for the reference core"
    ) from error

CORE_ABI = 9  # SE_CORE_ABI that this code is written for

if lib.se_core_abi() != CORE_ABI:
    raise ImportError(
        f"the engine's native core speaks ABI {lib.se_core_abi()}, this code {CORE_ABI}: "
        "it was built from other sources, run `make build` again"
    )

__all__ = ["CORE_ABI", "ffi", "lib"]
