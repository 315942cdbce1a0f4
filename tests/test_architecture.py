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
# The rooms (folders and modules) of each package from the ground up. A room imports only rooms before it. Imports for
# type checking count too: they also say which room knows which.
FLOORS = {
    "sentry_engine": (
        "native", "late_names", "records", "deadlines", "addresses", "verdict", "errors", "gc_pause", "cores",
        "prefixes", "geoip", "detectors", "rules", "formats", "wolfsentry", "policy", "engine", "exchange",
    ),
    "vpn_frontend": (
        "native", "http_headers", "fair_table", "settings", "ocserv", "gateway", "ports", "radius", "protocol",
        "kdc_proxy", "auth", "sessions", "accounting", "connections", "testing", "validation", "former_sessions",
        "host_accounts", "tls_files", "hosts", "server",
    ),
    "admin_api": (
        "clock", "progress", "log_events", "ports", "event_schemas", "http", "session_settings", "connections",
        "metrics", "server_event", "event_hub", "store", "second_factors", "workers", "retention", "roles",
        "one_time_codes", "token_uses", "enforcement", "fleet", "long_operations", "time_series", "single_sign_on",
        "services", "dependencies", "authentication", "idempotency", "audit", "blocks", "operations", "events",
        "groups", "penalties", "policy", "rules", "feeds", "sessions", "tokens", "console_links", "totp", "devices",
        "users", "webhooks", "settings", "acme_challenges", "nodes", "decisions", "addresses", "stats", "first_steps",
        "health", "respond_async", "vocabulary", "openapi", "reference", "console", "app", "api_reference", "control",
        "server",
    ),
    "ocsentry": (
        "errors", "late_sessions", "observability", "outbound", "rule_sources", "configuration", "api_client",
        "privileges", "user_files", "login_methods", "setup", "acme", "demo", "occtl", "runtime", "cli",
    ),
}  # fmt: skip
MAX_LINES = 500
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
LICENCE = "SPDX-License-Identifier: GPL-3.0-or-later"

# Sans-IO: time comes as an argument, bytes come in and go out. A folder holds the rule for every module in it.
IO_MODULES = {"asyncio", "socket", "ssl", "select", "subprocess", "sqlite3", "http", "urllib.request", "threading"}
CONVERTERS = {f"socket.{name}" for name in ("AF_INET", "AF_INET6", "inet_ntop", "inet_pton")}
PURE = (
    "sentry_engine/addresses.py",
    "sentry_engine/verdict.py",
    "sentry_engine/errors.py",
    "sentry_engine/prefixes.py",
    "sentry_engine/rules/",
    "sentry_engine/cores/",
    "sentry_engine/detectors/",
    "sentry_engine/engine/",
    "sentry_engine/exchange/",
    "vpn_frontend/ocserv/",
    "vpn_frontend/http_headers.py",
    "vpn_frontend/ports.py",
    "vpn_frontend/settings.py",
    "vpn_frontend/auth/composition.py",
    "vpn_frontend/auth/login_plan.py",
    "vpn_frontend/auth/second_factors.py",
    "vpn_frontend/auth/totp/codes.py",
    "vpn_frontend/auth/user_throttle.py",
    "vpn_frontend/auth/method.py",
    "vpn_frontend/auth/result.py",
    "vpn_frontend/auth/radius/grant.py",
    "vpn_frontend/accounting/interim.py",
    "vpn_frontend/accounting/ledger.py",
    "vpn_frontend/accounting/questions.py",
    "vpn_frontend/radius/attributes.py",
    "vpn_frontend/radius/packets.py",
    "vpn_frontend/protocol/",
    "vpn_frontend/sessions/",
    "vpn_frontend/gateway/interface.py",
)
LOCKS = {"threading.Lock", "threading.RLock"}  # a lock is no I/O: the engine may be asked from several threads
# What a module of a pure folder may use all the same, and why.
EXCEPTIONS = {
    "sentry_engine/engine/engine.py": {"time.monotonic", "time.time"},  # the default of ``now``, by contract
    "sentry_engine/cores/native/policies.py": {"time.monotonic"},  # how long a reader is waited for
    "vpn_frontend/sessions/records/recorder.py": {"asyncio"},  # the queue before the journal
    "vpn_frontend/sessions/live_sessions.py": {"asyncio"},  # other tasks run between slices
    "vpn_frontend/sessions/table.py": {"datetime.now"},  # the default of its clock
}
REFERENCE, FACTORY = "sentry_engine.cores.reference", "sentry_engine/cores/factory.py"
CLOCK_READS = {"time.time", "time.monotonic", "time.time_ns", "time.monotonic_ns", "datetime.now"}


@cache
def tracked(suffix: str) -> tuple[Path, ...]:
    listing = subprocess.run(["git", "ls-files", f"*{suffix}"], cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(path for line in listing.stdout.splitlines() if (path := ROOT / line).is_file())


def modules(package: str) -> list[Path]:
    return [path for path in tracked(".py") if path.relative_to(ROOT).parts[0] == package]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def pure_modules() -> list[Path]:
    return [path for path in tracked(".py") if name_of(path).startswith(PURE)]


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


@pytest.mark.parametrize(("room", "others"), [("lab", {"tests", "bench"}), ("bench", {"tests"})])
def test_the_lab_stands_below_tests_and_benchmarks(room, others):
    wrong = [f"{p.relative_to(ROOT)}: {n}" for p in modules(room) for n in imported(p) if n.split(".")[0] in others]
    assert modules(room)
    assert wrong == []


def room_of(name: str) -> str:
    """The folder or module below the package that holds the module ``name``; the package itself has none."""
    return name.partition(".")[2].partition(".")[0]


def module_name(path: Path) -> str:
    return name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def known_modules() -> frozenset[str]:
    return frozenset(module_name(path) for path in tracked(".py"))


def imported_modules(path: Path, node: ast.AST) -> set[str]:
    """The modules of this project that one import statement names."""
    known = known_modules()
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names} & known
    if not isinstance(node, ast.ImportFrom) or not node.module:
        return set()
    inner = {f"{node.module}.{alias.name}" for alias in node.names} & known
    plain = {node.module} if len(inner) < len(node.names) else set()
    return (inner | plain) & known - {module_name(path)}


@pytest.mark.parametrize("package", LAYERS)
def test_every_room_has_its_floor(package):
    rooms = {room_of(module_name(path)) for path in modules(package)} - {"", "__main__"}
    assert rooms - set(FLOORS[package]) == set(), "say in FLOORS what may import the new room"
    assert set(FLOORS[package]) - rooms == set()


@pytest.mark.parametrize("package", LAYERS)
def test_rooms_import_only_lower_rooms(package):
    floors = {room: floor for floor, room in enumerate(FLOORS[package])}
    wrong = sorted(
        {
            f"{name_of(path)} imports {name}"
            for path in modules(package)
            if (own := room_of(module_name(path))) in floors
            for node in ast.walk(tree_of(path))
            for name in imported_modules(path, node)
            if name.split(".")[0] == package and floors.get(room_of(name), -1) > floors[own]
        }
    )
    assert wrong == []


def statements_at_import(body: list[ast.stmt]) -> list[ast.stmt]:
    """What runs when a module is imported, without what is for type checkers alone."""
    found: list[ast.stmt] = []
    for node in body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            found += statements_at_import(node.orelse)
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            found += statements_at_import(
                [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
            )
        else:
            found.append(node)
    return found


def test_no_modules_import_each_other_in_a_circle():
    """Of imports that run: imports for type checking make no circle. Packages only re-export and do not count."""
    paths = [path for layer in LAYERS for path in modules(layer) if path.name != "__init__.py"]
    left = {
        module_name(path): {
            name for node in statements_at_import(tree_of(path).body) for name in imported_modules(path, node)
        }
        for path in paths
    }
    while free := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in free}
    circle = {name: sorted(needs & left.keys()) for name, needs in left.items()}
    assert circle == {}, "these import each other, or what does"


def test_there_are_no_relative_imports_between_modules():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for layer in LAYERS
        for path in modules(layer)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert wrong == []


def test_every_pure_place_is_there():
    names = [name_of(path) for path in pure_modules()]
    assert [place for place in PURE if not any(name.startswith(place) for name in names)] == []
    assert [name for name in EXCEPTIONS if name not in names] == []


@pytest.mark.parametrize("path", pure_modules(), ids=name_of)
def test_pure_modules_do_no_io(path):
    assert {name for name in imported(path) if is_io(name)} - LOCKS - EXCEPTIONS.get(name_of(path), set()) == set()
    calls = {
        node.func.id
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert calls & {"open", "print", "input"} == set()


@pytest.mark.parametrize("path", pure_modules(), ids=name_of)
def test_pure_modules_read_no_clock(path):
    reads = [
        f"{read} in line {node.lineno}"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (read := f"{node.value.id}.{node.attr}") in CLOCK_READS
        and read not in EXCEPTIONS.get(name_of(path), set())
    ]
    assert reads == []


def test_the_engine_works_alone():
    """Its only third-party packages are cffi, pydantic and maxminddb; pytricia for the reference core."""
    names = "aiosqlite alembic argon2 cryptography fastapi h11 httpx sqlalchemy structlog typer uvicorn"
    third_party = set(names.split())
    found = {name.split(".")[0] for path in modules("sentry_engine") for name in imported(path)}
    assert found & third_party == set()


def test_the_server_never_runs_on_the_reference_core():
    """It is the specification and the oracle; only callers of ``make_core`` that name it get it."""
    importers = {name_of(p) for layer in LAYERS for p in modules(layer) if REFERENCE in "".join(imported(p))}
    assert {name for name in importers if not name.startswith(REFERENCE.replace(".", "/"))} == {FACTORY}
    askers = {
        name_of(path)
        for layer in LAYERS
        for path in modules(layer)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and node.value == "reference"
    }
    assert askers == {FACTORY}


def test_records_are_made_by_the_decorator_that_loads_fast():
    """The standard one compiles seven methods of each class. It is for classes without slots, and what stays frozen."""
    standard = [
        name_of(path)
        for layer in LAYERS
        for path in modules(layer)
        for node in tree_of(path).body
        if isinstance(node, ast.ImportFrom) and node.module == "dataclasses"
        if "dataclass" in {alias.name for alias in node.names}
    ]
    assert sorted(standard) == ["admin_api/console/visit.py", "ocsentry/cli/invocation.py", "sentry_engine/verdict.py"]


def test_files_are_short_enough_to_be_read():
    sources = [path for suffix in (".py", ".c", ".h") for path in tracked(suffix)]
    long = {str(path.relative_to(ROOT)): n for path in sources if (n := len(path.read_text().splitlines())) > MAX_LINES}
    assert long == {}


def test_names_say_what_a_module_is_about():
    sources = [path for suffix in (".py", ".c", ".h") for path in tracked(suffix)]
    assert [
        name_of(path)
        for path in sources
        if (path.stem in EMPTY_NAMES or path.parent.name in EMPTY_NAMES)
        and path.parent != ROOT / "ocsentry" / "privileges" / "helper"  # the privileged helper process
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
        is_late = (  # names for type checkers, which are loaded late at run time
            isinstance(node, ast.If)
            and isinstance(node.test, ast.Name)
            and node.test.id == "TYPE_CHECKING"
            and all(map(is_plain, [*node.body, *node.orelse]))
        )
        return is_text or is_names or is_late or isinstance(node, ast.Import | ast.ImportFrom)

    packages = [path for layer in LAYERS for path in modules(layer) if path.name == "__init__.py"]
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in packages
        for node in tree_of(path).body
        if not is_plain(node)
    ]
    assert wrong == []


def test_services_never_commit_behind_the_store():
    """Only the store's unit of work ends a transaction, by the connection that implements it."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules("admin_api")
        if path.name not in {"database.py", "sqlite_connection.py"}
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and node.attr in {"commit", "rollback"}
    ]
    assert wrong == []
