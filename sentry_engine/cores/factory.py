# SPDX-License-Identifier: GPL-3.0-or-later
"""Cores by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Literal, get_args

from sentry_engine.cores.interface import PolicyCore

CoreName = Literal["native", "reference", "wolfsentry"]
MakeCore = Callable[[CoreName | PolicyCore], PolicyCore]


def make_core(core: CoreName | PolicyCore) -> PolicyCore:
    """A new core of that name, or ``core`` itself if it is one. ``wolfsentry`` builds on a native core.

    There is no fallback: raises ``ImportError`` if the native core is not built, ``ValueError`` for an unknown name.
    """
    if not isinstance(core, str):
        return core
    if core not in get_args(CoreName):
        raise ValueError(f"there is no core {core!r}: choose one of {', '.join(get_args(CoreName))}")
    if core == "reference":
        # Its prefix index, pytricia, has to be compiled where it is installed. Serving needs neither.
        from sentry_engine.cores.reference.core import ReferenceCore  # noqa: PLC0415

        return ReferenceCore()
    module: Any = importlib.import_module("sentry_engine.cores.native.core")
    native: PolicyCore = module.NativeCore()
    return native
