# SPDX-License-Identifier: GPL-3.0-or-later
"""``top``: the sessions by what they carry now, renewed until interrupted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocsentry.cli.durations import format_bytes, format_duration
from ocsentry.cli.invocation import CommandError, Invocation, command, count
from ocsentry.cli.tables import fit_table, on_terminal, render_table
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLUMNS = ("user", "address", "inner", "transport", "from_client", "to_client", "total", "id")
SORTS = ("rate", "total", "user")
OTHER_LINES = 6  # of the screen: status, headings and the prompt


def add_commands(app: typer.Typer) -> None:
    command(app, "top")(top)


@dataclass(frozen=True, slots=True)
class Reading:
    """The sessions at one time, in seconds of a monotonic clock."""

    at: float
    status: dict[str, Any]
    sessions: Sequence[dict[str, Any]]


def top(
    cli: Invocation,
    interval: Annotated[
        float, typer.Option("--interval", "-d", min=0.2, max=60, metavar="SECONDS", help="Time between two readings.")
    ] = 2.0,
    rounds: Annotated[
        int | None,
        typer.Option("--count", "-n", min=1, metavar="N", help="End after N. Default: 1 if piped, else no end."),
    ] = None,
    sort: Annotated[str, typer.Option(metavar="KEY", help="Order: rate, total or user.")] = "rate",
) -> None:
    """Show the busiest sessions and their rates, as they change. Piped or with --json it prints one reading."""
    if sort not in SORTS:
        raise CommandError(f"--sort: write {', '.join(SORTS[:-1])} or {SORTS[-1]}, not {sort!r}")
    live = on_terminal() and not cli.as_json
    left = rounds if rounds is not None else None if live else 1
    before = _read(cli)
    if live:
        _show_live(cli, before, interval, left, sort)
        return
    while left:
        time.sleep(interval)
        after = _read(cli)
        rows = compare(before, after, sort)
        cli.emit({"status": after.status, "sessions": rows}, f"{headline(after)}\n{_plain(rows)}")
        before, left = after, left - 1


def _show_live(cli: Invocation, before: Reading, interval: float, left: int | None, sort: str) -> None:
    from rich.console import Console, Group
    from rich.live import Live

    console = Console()
    with Live(console=console, screen=left is None, auto_refresh=False) as screen:
        while left is None or left > 0:
            time.sleep(interval)
            after = _read(cli)
            rows = [_show(row) for row in compare(before, after, sort)[: max(1, console.height - OTHER_LINES)]]
            screen.update(Group(headline(after), fit_table(rows, COLUMNS)), refresh=True)
            before, left = after, None if left is None else left - 1


def _read(cli: Invocation) -> Reading:
    return Reading(time.monotonic(), cli.server.get("status"), cli.server.items("sessions"))


def compare(before: Reading, after: Reading, sort: str = "rate") -> list[dict[str, Any]]:
    """Returns the sessions with their rates in bytes a second, in the order of ``sort``."""
    earlier = {session["id"]: session["counters"] for session in before.sessions}
    seconds = max(after.at - before.at, 1e-6)
    rows = [_rates(session, earlier.get(session["id"], {}), seconds) for session in after.sessions]
    keys = {
        "rate": lambda row: (-row["from_client"] - row["to_client"], row["user"]),
        "total": lambda row: (-row["total"], row["user"]),
        "user": lambda row: (row["user"], row["id"]),
    }
    return sorted(rows, key=keys[sort])


def _rates(session: Mapping[str, Any], before: Mapping[str, int], seconds: float) -> dict[str, Any]:
    counters = session["counters"]
    return {
        "user": session["user"],
        "address": session["address"],
        "inner": session["ipv4"] or session["ipv6"],
        "transport": session["transport"],
        "from_client": max(0, counters["rx_bytes"] - before.get("rx_bytes", 0)) / seconds,
        "to_client": max(0, counters["tx_bytes"] - before.get("tx_bytes", 0)) / seconds,
        "total": counters["rx_bytes"] + counters["tx_bytes"],
        "id": session["id"],
    }


def _show(row: Mapping[str, Any]) -> dict[str, Any]:
    rates = {name: f"{format_bytes(row[name])}/s" for name in ("from_client", "to_client")}
    return {**row, **rates, "total": format_bytes(row["total"])}


def headline(reading: Reading) -> str:
    status = reading.status
    ready = "ready" if status["ready"] else f"NOT READY: {'; '.join(status['problems'])}"
    parts = (
        f"up {format_duration(status['uptime'])}",
        ready,
        count(status["sessions"], "session"),
        count(status["blocks"], "block"),
        count(status["penalties"], "penalty", "penalties"),
    )
    return "  ".join(parts)


def _plain(rows: Sequence[Mapping[str, Any]]) -> str:
    return render_table([_show(row) for row in rows], COLUMNS) if rows else "no sessions"
