# SPDX-License-Identifier: GPL-3.0-or-later
"""The cores by name."""

from __future__ import annotations

import importlib
from typing import Any

from sentry_engine.cores.interface import Core
from sentry_engine.cores.reference import TwinCore
from sentry_engine.engine.core_stack import CoreName


def make_core(core: CoreName | Core) -> Core:
    """A core by name. The native one is never replaced by the twin in silence: without it this raises
    ``ImportError``.
    """
    if core == "twin":
        return TwinCore()
    if isinstance(core, str):
        module: Any = importlib.import_module("sentry_engine.cores.native_core")
        native: Core = module.NativeCore()
        return native
    return core
