# SPDX-License-Identifier: GPL-3.0-or-later
"""``token``: bearer tokens of the HTTP API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from ocsentry.cli.durations import parse_duration
from ocsentry.cli.invocation import Invocation, command

COLUMNS = ("id", "name", "scopes", "created_at", "expires_at", "last_used_at")


def group() -> typer.Typer:
    app = typer.Typer(help="Manage the tokens of the HTTP API.", no_args_is_help=True)
    command(app, "create")(create)
    command(app, "list")(list_tokens)
    command(app, "revoke")(revoke)
    return app


def create(
    cli: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The program or person that uses it.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(metavar="SCOPE", help="A scope, such as blocks:write. May be repeated. Default: every scope."),
    ] = None,
    ttl: Annotated[
        str | None, typer.Option(metavar="TIME", help="Lifetime: 15m, 1h, 2d. Default: until revoked.")
    ] = None,
) -> None:
    """Create a token and show it once."""
    body: dict[str, object] = {"name": name, "scopes": scope or _all_scopes()}
    if ttl is not None:
        body["expires_at"] = (datetime.now(UTC) + timedelta(seconds=parse_duration(ttl))).isoformat()
    token = cli.api.post("tokens", body)
    cli.emit(token, f"{token['token']}\n\nStore it now: it cannot be shown again.")


def _all_scopes() -> list[str]:
    from admin_api.http.identity import Scope

    return [scope.value for scope in Scope]


def list_tokens(cli: Invocation) -> None:
    """List the tokens, without their secrets."""
    cli.emit_table(cli.api.items("tokens"), COLUMNS, "no tokens")


def revoke(cli: Invocation, token: Annotated[str, typer.Argument(metavar="ID", help="The token's id.")]) -> None:
    """Revoke a token at once."""
    cli.api.delete(f"tokens/{token}")
    cli.emit({"id": token}, f"revoked token {token}")
