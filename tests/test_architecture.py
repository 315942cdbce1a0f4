# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the house that types cannot express, held by reading the sources.

Imports point one way; what is pure reads no clock and does no I/O; files stay short enough to be read; names say what a
module is about.
"""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("sentry_engine", "vpn_frontend", "admin_api", "ocsentry")  # each may import those before it
MAX_LINES = 800
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
LICENCE = "SPDX-License-Identifier: GPL-3.0-or-later"

# Sans-IO: time comes as an argument, bytes come in and go out.
IO_MODULES = {"asyncio", "socket", "ssl", "select", "subprocess", "sqlite3", "http", "urllib.request", "threading"}
CONVERTERS = {f"socket.{name}" for name in ("AF_INET", "AF_INET6", "inet_ntop", "inet_pton")}
PURE = {
    "sentry_engine": (
        "addresses", "compiler", "core", "defaults", "explain", "leases", "penalty_box", "plan", "prefix_index",
        "problems", "rates", "rules", "twin", "verdict",
    ),
    "vpn_frontend": (
        "addresses", "admission", "client_messages", "clients", "conversation", "cookies", "cstp", "downloads",
        "dtls_offer", "gateway", "http_link", "logins", "ports", "server_messages", "session", "settings",
        "tunnel_answer", "tunnel_request",
    ),
}  # fmt: skip
MAY_LOCK = {"sentry_engine/leases.py", "sentry_engine/twin.py"}  # a lock is no I/O, and admission is one atomic step
CLOCK_READS = {
    ("time", "time"),
    ("time", "monotonic"),
    ("time", "time_ns"),
    ("time", "monotonic_ns"),
    ("datetime", "now"),
}


@cache
def tracked(suffix: str) -> tuple[Path, ...]:
    listing = subprocess.run(["git", "ls-files", f"*{suffix}"], cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(path for line in listing.stdout.splitlines() if (path := ROOT / line).is_file())


def modules(package: str) -> list[Path]:
    return [path for path in tracked(".py") if path.relative_to(ROOT).parts[0] == package]


def pure_modules() -> list[Path]:
    found = [ROOT / package / f"{name}.py" for package, names in PURE.items() for name in names]
    return [path for path in found if path in tracked(".py")]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imported(path: Path) -> set[str]:
    """Dotted names of everything that the module imports."""
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def is_io(name: str) -> bool:
    return name not in CONVERTERS and any(name == module or name.startswith(f"{module}.") for module in IO_MODULES)


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_one_way(layer):
    above = set(LAYERS[LAYERS.index(layer) + 1 :])
    wrong = [f"{p.relative_to(ROOT)}: {n}" for p in modules(layer) for n in imported(p) if n.split(".")[0] in above]
    assert wrong == []


def test_there_are_no_relative_imports_between_modules():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for layer in LAYERS
        for path in modules(layer)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert wrong == []


def test_every_pure_module_is_there():
    assert {f"{path.parent.name}/{path.stem}" for path in pure_modules()} == {
        f"{package}/{name}" for package, names in PURE.items() for name in names
    }


@pytest.mark.parametrize("path", pure_modules(), ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_pure_modules_do_no_io(path):
    locks = {"threading.Lock", "threading.RLock"} if str(path.relative_to(ROOT)) in MAY_LOCK else set()
    assert {name for name in imported(path) if is_io(name)} - locks == set()
    calls = {
        node.func.id
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert calls & {"open", "print", "input"} == set()


@pytest.mark.parametrize("path", pure_modules(), ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_pure_modules_read_no_clock(path):
    reads = [
        f"{node.value.id}.{node.attr} in line {node.lineno}"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in CLOCK_READS
    ]
    assert reads == []


def test_the_engine_works_alone():
    """Of third parties it needs cffi, pydantic, pytricia and maxminddb, and no more."""
    names = (
        "aiosqlite alembic argon2 cryptography fastapi h11 httpx pyroute2 sqlalchemy structlog typer uvicorn watchfiles"
    )
    third_party = set(names.split())
    found = {name.split(".")[0] for path in modules("sentry_engine") for name in imported(path)}
    assert found & third_party == set()


def test_files_are_short_enough_to_be_read():
    sources = [path for suffix in (".py", ".c", ".h") for path in tracked(suffix)]
    long = {str(path.relative_to(ROOT)): n for path in sources if (n := len(path.read_text().splitlines())) > MAX_LINES}
    assert long == {}


def test_names_say_what_a_module_is_about():
    sources = [path for suffix in (".py", ".c", ".h") for path in tracked(suffix)]
    assert [
        str(path.relative_to(ROOT)) for path in sources if path.stem in EMPTY_NAMES or path.parent.name in EMPTY_NAMES
    ] == []


def test_every_source_names_its_licence():
    sources = [path for suffix in (".py", ".c", ".h") for path in tracked(suffix)]
    assert [
        str(path.relative_to(ROOT)) for path in sources if path.stat().st_size and LICENCE not in path.read_text()[:200]
    ] == []


def test_package_files_only_re_export():
    def is_plain(node: ast.stmt) -> bool:
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_names = isinstance(node, ast.Assign) and all(
            isinstance(t, ast.Name) and t.id.startswith("__") for t in node.targets
        )
        return is_text or is_names or isinstance(node, ast.Import | ast.ImportFrom)

    packages = [path for layer in LAYERS for path in modules(layer) if path.name == "__init__.py"]
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in packages
        for node in tree_of(path).body
        if not is_plain(node)
    ]
    assert wrong == []


def test_services_never_commit_behind_the_store():
    """Only the store's unit of work ends a transaction."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules("admin_api")
        if path.name != "database.py"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and node.attr in {"commit", "rollback"}
    ]
    assert wrong == []
