# SPDX-License-Identifier: GPL-3.0-or-later
"""``sessions``: list and end live sessions."""

from __future__ import annotations

from typing import Annotated

import typer

from ocsentry.cli.durations import format_bytes
from ocsentry.cli.invocation import CommandError, ConfigOption, Invocation, JsonOption, command

COLUMNS = ("id", "user", "address", "ipv4", "ipv6", "state", "transport", "started_at", "received", "sent")


def group() -> typer.Typer:
    app = typer.Typer(help="List and end sessions.", invoke_without_command=True)

    @app.callback()
    def sessions(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
        context.obj = context.obj.with_options(config, as_json=as_json)
        if context.invoked_subcommand is None:
            list_sessions(context.obj)

    command(app, "list")(list_sessions)
    command(app, "kill")(kill)
    return app


def list_sessions(cli: Invocation) -> None:
    """List the live sessions."""
    rows = cli.server.items("sessions")
    for row in [] if cli.as_json else rows:
        counters = row.get("counters") or row
        row["received"], row["sent"] = (format_bytes(counters.get(key, 0)) for key in ("rx_bytes", "tx_bytes"))
    cli.emit_table(rows, COLUMNS, "no sessions")


def kill(
    cli: Invocation,
    session: Annotated[str, typer.Argument(metavar="ID", help="The session's id, or its first characters.")],
) -> None:
    """End a session. Its client is told, and its cookie becomes invalid."""
    matching = [row["id"] for row in cli.server.items("sessions") if row["id"].startswith(session)]
    if not matching:
        raise CommandError(f"there is no session {session}")
    if len(matching) > 1 and session not in matching:
        raise CommandError(f"{session} matches the ids of {len(matching)} sessions")
    target = session if session in matching else matching[0]
    cli.server.delete(f"sessions/{target}")
    cli.emit({"id": target}, f"ended session {target}")
