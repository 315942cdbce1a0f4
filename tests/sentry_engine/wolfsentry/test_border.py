# SPDX-License-Identifier: GPL-3.0-or-later
"""The stub of the optional binding to libwolfsentry, against the headers that it is built from."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import sentry_engine
from sentry_engine.wolfsentry.native_types import TrafficStruct

PACKAGE = Path(sentry_engine.__file__).parent
HEADERS = "".join((PACKAGE / "wolfsentry/native" / name).read_text() for name in ("library.h", "routes_gate.h"))


def test_the_stub_has_the_functions_and_constants_of_the_headers():
    tree = ast.parse((PACKAGE / "_wolfsentry.pyi").read_text())
    lib = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "_Lib")
    functions = {node.name: len(node.args.args) - 1 for node in lib.body if isinstance(node, ast.FunctionDef)}
    prototypes = re.findall(r"^\w[\w *]*?\b(se_ws_\w+)\(([^)]*)\);", HEADERS, re.MULTILINE)
    assert functions == {name: len(arguments.split(",")) for name, arguments in prototypes}
    constants = {node.target.id for node in lib.body if isinstance(node, ast.AnnAssign)}
    assert constants == set(re.findall(r"^#define (\w+) \d+u", HEADERS, re.MULTILINE))


def test_the_structure_has_the_fields_of_the_header():
    body = re.search(r"struct se_ws_traffic \{(.*?)\};", HEADERS, re.DOTALL)
    assert body is not None
    declared = re.sub(r"/\*.*?\*/|\[\d+\]|uint\d+_t", "", body[1])
    assert set(TrafficStruct.__annotations__) == set(re.findall(r"\w+", declared))
