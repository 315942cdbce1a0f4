# SPDX-License-Identifier: GPL-3.0-or-later
"""Derives a native core's cffi declarations from its public headers, so that no second listing has to match them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
CONSTANT = re.compile(r"#define \w+ (0x[0-9a-fA-F]+|\d+)[uUlL]*\s*")  # the only directive that cffi reads

# Warnings that the project's own sources are compiled with, and the code that cffi generates does not satisfy.
WARNINGS = (
    "-Wconversion",
    "-Wsign-conversion",
    "-Wunused-parameter",
    "-Wshadow",
    "-Wmissing-field-initializers",
)


def declarations(headers: Iterable[Path]) -> str:
    """The text for ``FFI.cdef``: the headers without comments and directives. Constants that are numbers stay.

    A header comes after those that it includes. It holds declarations only, no inline function.
    """
    return "\n".join(DIRECTIVE.sub(_keep_constant, COMMENT.sub("", path.read_text("utf-8"))) for path in headers)


def preamble(headers: Iterable[str]) -> str:
    """The text for ``FFI.set_source``."""
    pragmas = (f'#pragma GCC diagnostic ignored "{warning}"\n' for warning in WARNINGS)
    return "".join(pragmas) + "".join(f'#include "{header}"\n' for header in headers)


def _keep_constant(directive: re.Match[str]) -> str:
    return directive[0] if CONSTANT.fullmatch(directive[0]) else ""
