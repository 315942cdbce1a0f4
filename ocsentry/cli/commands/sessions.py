# SPDX-License-Identifier: GPL-3.0-or-later
"""``sessions``: list and end live sessions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocsentry.cli.completion import complete_groups, complete_sessions, complete_users
from ocsentry.cli.durations import format_bytes, parse_duration
from ocsentry.cli.invocation import CommandError, Invocation, count
from ocsentry.cli.nouns import DryRunOption, given, noun_group
from ocsentry.cli.tables import render_facts

if TYPE_CHECKING:
    from collections.abc import Iterable

HISTORY_COLUMNS = ("user", "address", "ipv4", "started_at", "ended_at", "end_reason", "transport", "received", "sent")
WAITING_COLUMNS = ("id", "user", "groups", "address", "user_agent", "logged_in_at")
COLUMNS = ("id", "user", "address", "ipv4", "ipv6", "state", "transport", "started_at", "received", "sent")


IdArgument = Annotated[
    str,
    typer.Argument(metavar="ID", help="The session's id, or its first characters.", autocompletion=complete_sessions),
]


UserOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only of this user.", autocompletion=complete_users)
]


def group() -> typer.Typer:
    return noun_group(list_sessions, "List and end sessions.", show=show, history=history, waiting=waiting, kill=kill)


def list_sessions(
    cli: Invocation,
    user: UserOption = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only of members of this group.", autocompletion=complete_groups)
    ] = None,
    network: Annotated[str | None, typer.Option(metavar="CIDR", help="Only from sources inside this network.")] = None,
    node: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this node of a fleet.")] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="KEY", help="user, started_at, rx_bytes or tx_bytes; -KEY: falling.")
    ] = None,
) -> None:
    """List the live sessions, in a fleet of all nodes."""
    rows = cli.server.items("sessions", **given(user=user, group=group, network=network, node=node, sort=sort))
    in_fleet = any(row.get("node") for row in rows)
    _emit_sessions(cli, rows, (*COLUMNS[:2], "node", *COLUMNS[2:]) if in_fleet else COLUMNS)


def history(
    cli: Invocation,
    user: UserOption = None,
    address: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Only from this source.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only sessions that started since: 1h, 2d.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="The latest N.")] = 50,
) -> None:
    """List past and live sessions, newest first, with their ends and what they carried."""
    began = None if since is None else (datetime.now(UTC) - timedelta(seconds=parse_duration(since))).isoformat()
    rows = cli.api.each("sessions/history", **given(user=user, address=address, since=began))
    _emit_sessions(cli, list(islice(rows, limit)), HISTORY_COLUMNS)


def waiting(cli: Invocation, user: UserOption = None) -> None:
    """List the logins whose clients have not opened their tunnel yet."""
    cli.emit_table(list(cli.server.each("sessions/waiting", **given(user=user))), WAITING_COLUMNS, "no logins wait")


def show(cli: Invocation, session: IdArgument) -> None:
    """Show everything about a live session."""
    found = cli.server.get(f"sessions/{_find(cli, session)}")
    facts = {key: value for key, value in found.items() if key != "counters"} | found["counters"]
    cli.emit(found, render_facts(facts))


def _emit_sessions(cli: Invocation, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    cli.emit_table(rows if cli.as_json else show_traffic(rows), columns, "no sessions")


def show_traffic(sessions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns rows with ``received`` and ``sent``, for live sessions and for records of past ones."""
    rows = []
    for session in sessions:
        counters = session.get("counters") or session
        received, sent = (format_bytes(counters.get(key, 0)) for key in ("rx_bytes", "tx_bytes"))
        rows.append(session | {"received": received, "sent": sent})
    return rows


def kill(
    cli: Invocation,
    session: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]",
            help="The session's id, or its first characters.",
            autocompletion=complete_sessions,
            show_default=False,
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="All sessions of this user instead.", autocompletion=complete_users),
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Shown to the client.")] = "",
    dry_run: DryRunOption = False,
) -> None:
    """End a session, or all of a user. The clients are told, and their cookies become invalid."""
    if (session is None) == (user is None):
        raise CommandError("name a session, or a user with --user")
    query = given(reason=reason, dry_run=dry_run)
    would = "would end" if dry_run else "ended"
    if user is not None:
        answer = cli.server.delete("sessions", user=user, **query)
        cli.emit(answer, f"{would} {count(answer['sessions_cut'], 'session')} of {user}")
        return
    target = _find(cli, str(session))
    cli.server.delete(f"sessions/{target}", **query)
    cli.emit({"id": target, "dry_run": dry_run}, f"{would} session {target}")


def _find(cli: Invocation, session: str) -> str:
    """Returns the id that ``session`` is, or begins. Raises ``CommandError`` if it is none, or not one alone."""
    matching = [str(row["id"]) for row in cli.server.items("sessions") if row["id"].startswith(session)]
    if not matching:
        raise CommandError(f"there is no session {session}")
    if len(matching) > 1 and session not in matching:
        raise CommandError(f"{session} matches the ids of {len(matching)} sessions")
    return session if session in matching else matching[0]
