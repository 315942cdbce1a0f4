# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that a package has from the first use on: ``__getattr__ = late_names(...)`` in its ``__init__`` (PEP 562)."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def late_names(package: str, places: Mapping[str, str]) -> Callable[[str], object]:
    """``places``: by module of the package, its names with blanks between them. The module is loaded with the first."""
    module_of = {name: f"{package}.{module}" for module, names in places.items() for name in names.split()}

    def find(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(module_of[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return find
