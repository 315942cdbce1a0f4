# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node needs of its fleet: the secret, the database and its schema, a name of its own, and a sane clock."""

from __future__ import annotations

import shlex
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.setup.checks.result import CheckResult
from ocsentry.setup.checks.running import server_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from admin_api.fleet.link import Link, Row
    from ocsentry.configuration.model import LoadedConfig

OLDEST = 150_000  # server_version_num of PostgreSQL 15
PROCESSES = Path("/proc")
DAEMONS = frozenset(("babeld", "bgpd", "bird", "bird6", "gobgpd", "isisd", "ospf6d", "ospfd", "ripd", "ripngd"))
WAIT = 2.0  # seconds for each answer of the database
WRONG_CLOCK = 5.0  # seconds between the clocks of this machine and of the database
FACTS = (
    "SELECT current_setting('server_version_num'), current_setting('server_version'),"
    " has_database_privilege(current_database(), 'CREATE'), extract(epoch FROM clock_timestamp()),"
    " to_regclass('alembic_version') IS NOT NULL, to_regclass('fleet.nodes') IS NOT NULL, current_database()"
)
REVISION = "SELECT max(version_num) FROM alembic_version"
HEARD = (
    "SELECT round(extract(epoch FROM clock_timestamp() - b.seen_at)::numeric, 1) FROM fleet.nodes n"
    " JOIN fleet.beats b ON b.node = n.id WHERE n.name = $1 AND n.state <> 'left'"
    " AND b.seen_at > clock_timestamp() - make_interval(secs => $2)"
)


def check_fleet(config: LoadedConfig) -> Iterator[CheckResult]:
    """Yields nothing for a server without a fleet."""
    if not config.values.fleet.name:
        return
    yield from _check_secret(config)
    if config.values.fleet.addresses == "routed":
        yield _check_routing()
    try:
        from admin_api.fleet.link import Link, LinkError, hosts_of  # noqa: PLC0415 - needs the driver
    except ImportError:
        return  # the check of the driver reports it
    link = Link(hosts_of(config.store_url))
    try:
        yield from _check_store(config, link)
    except LinkError as error:
        detail = f"cannot be asked: {error}"
        yield CheckResult("fleet: database", "fail", detail, "see store.url, the network and the database's own log")
    finally:
        link.close()


def _check_secret(config: LoadedConfig) -> Iterator[CheckResult]:
    name, path = "fleet: secret", config.values.fleet.secret_file
    if path is None or not path.exists():
        fix = "copy it from another node, or make it for the first: openssl rand -hex 32"
        yield CheckResult(name, "fail", f"{path} is missing", fix)
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        command = f"chmod 600 {shlex.quote(str(path))}"
        yield CheckResult(name, "fail", f"{path} has the mode {mode:o}", "take it from all others", command)
    else:
        yield CheckResult(name, "ok", f"{path} is its owner's alone")


def _check_routing() -> CheckResult:
    """Routed addresses are of use only where something tells the network of this node's routes."""
    found = sorted({comm.strip() for comm in _names_of_processes()} & DAEMONS)
    if found:
        return CheckResult("fleet: routing", "ok", f"{', '.join(found)} can announce the routes of this node's clients")
    detail = "no routing daemon runs here: the network does not learn which node has an address"
    fix = "have FRR (redistribute kernel) or BIRD (learn) announce them, or set fleet.addresses to nat"
    return CheckResult("fleet: routing", "warn", detail, fix)


def _names_of_processes() -> Iterator[str]:
    for process in PROCESSES.glob("[0-9]*/comm"):
        try:
            yield process.read_text()
        except OSError:  # it has ended
            continue


def _check_store(config: LoadedConfig, link: Link) -> Iterator[CheckResult]:
    before = time.time()
    (facts,) = link.call(FACTS, (), WAIT)
    after = time.time()
    number, version, may_create, moment, has_schema, has_fleet, database = facts
    if int(number or 0) < OLDEST:
        yield CheckResult("fleet: database", "fail", f"PostgreSQL {version}", "upgrade it to 15 or newer")
    else:
        yield CheckResult("fleet: database", "ok", f"PostgreSQL {version} answers")
    if has_fleet != "t" and may_create != "t":
        command = f"GRANT CREATE ON DATABASE {database} TO ..."
        detail = "the schema is missing, and this user may not make it"
        yield CheckResult("fleet: schema", "fail", detail, f"as the database's owner: {command}")
    else:
        yield _compare_schema(link.call(REVISION, (), WAIT) if has_schema == "t" else [])
    yield _compare_clocks(float(moment or 0), before, after)
    if has_fleet == "t" and server_process(config) is None:
        yield from _check_name(config, link)


def _compare_schema(found: list[Row]) -> CheckResult:
    from admin_api.store.schema import newest_revision  # noqa: PLC0415 - loads the database's library

    here, there = newest_revision(), found[0][0] if found else None
    if there is None or there == here:
        return CheckResult("fleet: schema", "ok", f"{there or 'none yet'}; this version has {here}")
    if there < here:
        return CheckResult("fleet: schema", "ok", f"{there}; this version upgrades it to {here} at its start")
    detail = f"{there} is newer than {here}, which this version has"
    return CheckResult("fleet: schema", "fail", detail, "upgrade ocsentry on this node, as on the others")


def _compare_clocks(moment: float, before: float, after: float) -> CheckResult:
    """The database's clock was read between ``before`` and ``after`` of this machine's."""
    apart = max(before - moment, moment - after, 0.0)
    if apart > WRONG_CLOCK:
        detail = f"{apart:.0f} s apart from the database's: records have wrong times; the fleet works all the same"
        return CheckResult("fleet: clock", "warn", detail, "set the time by NTP on all nodes")
    return CheckResult("fleet: clock", "ok", f"at most {apart + after - before:.1f} s apart from the database's")


def _check_name(config: LoadedConfig, link: Link) -> Iterator[CheckResult]:
    """Asked where no server runs: a node of this name that is heard is another server."""
    name = config.values.fleet.name
    heard = link.call(HEARD, (name, config.values.fleet.dead_after), WAIT)
    if heard:
        detail = f"another server is the node {name}: heard {heard[0][0]} s ago"
        yield CheckResult("fleet: name", "fail", detail, "give this one another fleet.name, or stop the other one")
    else:
        yield CheckResult("fleet: name", "ok", f"no other server is the node {name}")
