# SPDX-License-Identifier: GPL-3.0-or-later
"""``token``: bearer tokens of the HTTP API."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from ocsentry.cli.completion import complete_tokens
from ocsentry.cli.durations import parse_duration
from ocsentry.cli.invocation import CommandError, Invocation
from ocsentry.cli.nouns import noun_group

COLUMNS = ("id", "name", "scopes", "created_at", "expires_at", "last_used_at")
DEFAULT_LIFETIME = "90d"
NEVER = "never"


def group() -> typer.Typer:
    return noun_group(
        list_tokens,
        "Manage the tokens of the HTTP API.",
        {
            "create": create,
            "revoke": revoke,
        },
    )


def create(
    cli: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The program or person that uses it.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(metavar="SCOPE", help="A scope, such as blocks:write. May be repeated. Default: every scope."),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Every scope that changes nothing.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Every scope, as without this option.")] = False,
    ttl: Annotated[
        str, typer.Option(metavar="TIME", help="Lifetime: 15m, 1h, 2d; never: until revoked.")
    ] = DEFAULT_LIFETIME,
) -> None:
    """Create a token and show it once."""
    if (scope is not None) + read_only + full > 1:
        raise CommandError("--scope, --read-only and --full exclude each other")
    body: dict[str, object] = {"name": name, "scopes": scope or _scopes(read_only=read_only)}
    until = "it is valid until revoked"
    if ttl != NEVER:
        ends = datetime.now(UTC) + timedelta(seconds=parse_duration(ttl))
        body["expires_at"], until = ends.isoformat(), f"it is valid until {ends:%Y-%m-%d %H:%M} UTC"
    token = cli.api.post("tokens", body)
    said = f"Store it now: it cannot be shown again. Scopes: {describe_scopes(token['scopes'])}; {until}."
    cli.emit(token, f"{token['token']}\n\n{said}")


def _scopes(*, read_only: bool) -> list[str]:
    from admin_api.http.identity import Scope

    return [scope.value for scope in Scope if not read_only or scope.value.endswith(":read")]


def describe_scopes(scopes: Iterable[str]) -> str:
    """Returns ``all (19)``, ``read-only (11)``, or the scopes themselves."""
    given = set(scopes)
    for name, preset in (("all", _scopes(read_only=False)), ("read-only", _scopes(read_only=True))):
        if given == set(preset):
            return f"{name} ({len(given)})"
    return ", ".join(sorted(given))


def list_tokens(cli: Invocation) -> None:
    """List the tokens, oldest first, without their secrets."""
    rows = sorted(cli.api.items("tokens"), key=lambda row: str(row["created_at"]))
    for row in [] if cli.as_json else rows:
        row["scopes"] = describe_scopes(row["scopes"])
    cli.emit_table(rows, COLUMNS, "no tokens")


def revoke(
    cli: Invocation,
    token: Annotated[str, typer.Argument(metavar="ID", help="The token's id.", autocompletion=complete_tokens)],
) -> None:
    """Revoke a token at once."""
    cli.api.delete(f"tokens/{token}")
    cli.emit({"id": token}, f"revoked token {token}")
