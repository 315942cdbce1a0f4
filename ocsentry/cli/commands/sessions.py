# SPDX-License-Identifier: GPL-3.0-or-later
"""``sessions``: list and end live sessions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any

import typer

from ocsentry.cli.completion import complete_groups, complete_sessions, complete_users
from ocsentry.cli.durations import format_bytes, parse_duration
from ocsentry.cli.invocation import CommandError, ConfigOption, Invocation, JsonOption, command
from ocsentry.cli.nouns import given
from ocsentry.cli.tables import show_cell

HISTORY_COLUMNS = ("user", "address", "ipv4", "started_at", "ended_at", "end_reason", "transport", "received", "sent")
COLUMNS = ("id", "user", "address", "ipv4", "ipv6", "state", "transport", "started_at", "received", "sent")


IdArgument = Annotated[
    str,
    typer.Argument(metavar="ID", help="The session's id, or its first characters.", autocompletion=complete_sessions),
]


UserOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only of this user.", autocompletion=complete_users)
]


def group() -> typer.Typer:
    app = typer.Typer(help="List and end sessions.", invoke_without_command=True)

    @app.callback()
    def sessions(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
        context.obj = context.obj.with_options(config, as_json=as_json)
        if context.invoked_subcommand is None:
            list_sessions(context.obj)

    command(app, "list")(list_sessions)
    command(app, "show")(show)
    command(app, "history")(history)
    command(app, "kill")(kill)
    return app


def list_sessions(
    cli: Invocation,
    user: UserOption = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only of members of this group.", autocompletion=complete_groups)
    ] = None,
    network: Annotated[str | None, typer.Option(metavar="CIDR", help="Only from sources inside this network.")] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="KEY", help="user, started_at, rx_bytes or tx_bytes; -KEY: falling.")
    ] = None,
) -> None:
    """List the live sessions."""
    query = given(user=user, group=group, network=network, sort=sort)
    _emit_sessions(cli, cli.server.items("sessions", **query), COLUMNS)


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


def show(cli: Invocation, session: IdArgument) -> None:
    """Show everything about a live session."""
    found = cli.server.get(f"sessions/{_find(cli, session)}")
    facts = {key: value for key, value in found.items() if key != "counters"} | found["counters"]
    width = max(map(len, facts))
    cli.emit(found, "\n".join(f"{key:{width}}  {show_cell(value)}" for key, value in facts.items()))


def _emit_sessions(cli: Invocation, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    for row in [] if cli.as_json else rows:
        counters = row.get("counters") or row
        row["received"], row["sent"] = (format_bytes(counters.get(key, 0)) for key in ("rx_bytes", "tx_bytes"))
    cli.emit_table(rows, columns, "no sessions")


def kill(cli: Invocation, session: IdArgument) -> None:
    """End a session. Its client is told, and its cookie becomes invalid."""
    target = _find(cli, session)
    cli.server.delete(f"sessions/{target}")
    cli.emit({"id": target}, f"ended session {target}")


def _find(cli: Invocation, session: str) -> str:
    """Returns the id that ``session`` is, or begins. Raises ``CommandError`` if it is none, or not one alone."""
    matching = [str(row["id"]) for row in cli.server.items("sessions") if row["id"].startswith(session)]
    if not matching:
        raise CommandError(f"there is no session {session}")
    if len(matching) > 1 and session not in matching:
        raise CommandError(f"{session} matches the ids of {len(matching)} sessions")
    return session if session in matching else matching[0]
