# SPDX-License-Identifier: GPL-3.0-or-later
"""The cores by name."""

from __future__ import annotations

import importlib
from typing import Any

from sentry_engine.core import Core
from sentry_engine.routing import CoreName
from sentry_engine.twin import TwinCore


def make_core(core: CoreName | Core) -> Core:
    """A core by name. The native one is never replaced by the twin in silence: without it this raises
    ``ImportError``.
    """
    if core == "twin":
        return TwinCore()
    if isinstance(core, str):
        module: Any = importlib.import_module("sentry_engine.native_core")
        native: Core = module.NativeCore()
        return native
    return core
