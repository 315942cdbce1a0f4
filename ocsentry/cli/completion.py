# SPDX-License-Identifier: GPL-3.0-or-later
"""Values for the shell's completion, asked of the running server. Without an answer nothing is completed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer  # its annotations are read at run time

from ocsentry.cli.invocation import Invocation

if TYPE_CHECKING:
    from ocsentry.api_client.client import SocketClient

MAX_ROWS = 200  # of one list; a longer one is completed from its first rows


def complete_users(context: typer.Context, incomplete: str) -> list[str]:
    return _complete(context, "users", "name", incomplete)


def complete_groups(context: typer.Context, incomplete: str) -> list[str]:
    return _complete(context, "groups", "name", incomplete)


def complete_rules(context: typer.Context, incomplete: str) -> list[str]:
    return _complete(context, "rules", "id", incomplete)


def complete_sessions(context: typer.Context, incomplete: str) -> list[str]:
    return _complete(context, "sessions", "id", incomplete)


def complete_blocks(context: typer.Context, incomplete: str) -> list[str]:
    return _complete(context, "blocks", "cidr", incomplete)


def complete_feeds(context: typer.Context, incomplete: str) -> list[str]:
    return _complete(context, "feeds", "id", incomplete)


def complete_tokens(context: typer.Context, incomplete: str) -> list[str]:
    return _complete(context, "tokens", "id", incomplete)


def complete_webhooks(context: typer.Context, incomplete: str) -> list[str]:
    return _complete(context, "webhooks", "id", incomplete)


def complete_operations(context: typer.Context, incomplete: str) -> list[str]:
    return _complete(context, "operations", "id", incomplete)


def _complete(context: typer.Context, resource: str, key: str, incomplete: str) -> list[str]:
    """Returns the values that begin with ``incomplete``. Never raises: an error would end up in the operator's line."""
    try:
        rows: list[dict[str, Any]] = _server(context).get(resource, limit=MAX_ROWS)["items"]
    except Exception:  # noqa: BLE001 - no server, no permission, no configuration
        return []
    return [value for row in rows if (value := str(row[key])).startswith(incomplete)]


def _server(context: typer.Context) -> SocketClient:
    return (context.find_object(Invocation) or Invocation()).server
