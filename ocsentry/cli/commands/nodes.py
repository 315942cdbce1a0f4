# SPDX-License-Identifier: GPL-3.0-or-later
"""``nodes``: the servers of a fleet."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from ocsentry.cli.durations import format_duration
from ocsentry.cli.invocation import Invocation
from ocsentry.cli.nouns import noun_group
from ocsentry.cli.tables import render_table

COLUMNS = ("name", "state", "sessions", "behind", "silence", "version", "epoch")
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The node's name.")]


def group() -> typer.Typer:
    text = "List the nodes of the fleet, drain them, and forget those that are gone."
    return noun_group(list_nodes, text, drain=drain, resume=resume, forget=forget, canary=canary)


def list_nodes(cli: Invocation) -> None:
    """List the nodes with their state, sessions, and how many changes they are behind."""
    rows = list(cli.server.items("nodes"))
    cli.emit_table(rows if cli.as_json else [_row(row) for row in rows], COLUMNS, "no nodes")


def drain(cli: Invocation, node: NameArgument) -> None:
    """Have a node take no new sessions and not be ready. Its clients go elsewhere."""
    found = cli.server.post(f"{_path(node)}:drain")
    cli.emit(found, f"node {node} drains; end it with: ocsentry node resume {node}")


def resume(cli: Invocation, node: NameArgument) -> None:
    """End the draining of a node."""
    found = cli.server.post(f"{_path(node)}:resume")
    cli.emit(found, f"node {node} serves")


def forget(cli: Invocation, node: NameArgument) -> None:
    """Forget a node that has left or is dead, with its sessions and addresses."""
    cli.server.delete(_path(node))
    cli.emit({"node": node}, f"forgot node {node}")


def canary(cli: Invocation) -> None:
    """Show the newest policy that was tried on some nodes first (rules apply --canary)."""
    found = cli.server.get("fleet")["canary"]
    if found is None:
        cli.emit(None, "no policy was tried on some nodes first")
        return
    how = f", {found['why']}" if found["why"] else ""
    end = f"by {found['ended_by']}{how}" if found["state"] != "running" else f"until {found['confirm_by']}"
    text = f"canary {found['proposal']} by {found['by']}: {found['state']} {end}\n"
    cli.emit(found, text + render_table(found["nodes"], ("name", "in_force", "sessions_cut")))


def _row(node: dict[str, Any]) -> dict[str, Any]:
    name = f"{node['name']} (this)" if node["this"] else node["name"]
    return node | {"name": name, "silence": format_duration(node["silence"])}


def _path(node: str) -> str:
    return f"nodes/{quote(node, safe='')}"
