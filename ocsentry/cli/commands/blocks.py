# SPDX-License-Identifier: GPL-3.0-or-later
"""``block`` and ``unblock``: one block of a running server."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Annotated

import typer

from admin_api.http.values import parse_network
from ocsentry.cli.completion import complete_blocks
from ocsentry.cli.durations import parse_duration
from ocsentry.cli.invocation import CommandError, Invocation, command, count
from ocsentry.cli.nouns import DryRunOption
from vpn_frontend.settings import Network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocsentry.api_client.client import ApiClient

# A change that is in force, while the database cannot be written.
NOT_STORED = "; not stored yet, because the database cannot be written: a restart before that undoes it"
BLOCK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CidrArgument = Annotated[str, typer.Argument(metavar="CIDR", help="An address or a network, such as 198.51.100.0/24.")]


def add_commands(app: typer.Typer) -> None:
    command(app, "block")(block)
    command(app, "unblock")(unblock)


def block(
    cli: Invocation,
    cidr: CidrArgument,
    ttl: Annotated[
        str | None, typer.Option(metavar="TIME", help="Duration: 90s, 15m, 1h, 2d. Default: until unblocked.")
    ] = None,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Shown to the disconnected clients and stored with the block.")
    ] = "",
    dry_run: DryRunOption = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Block even your own address, more than an IPv4 /8 or an IPv6 /19, or more than 20 sessions.",
        ),
    ] = False,
) -> None:
    """Block an address or a network, and disconnect its sessions, at once."""
    body: dict[str, object] = {"cidr": str(read_network(cidr)), "reason": reason}
    if ttl is not None:
        body["ttl"] = parse_duration(ttl)
    answer = cli.server.post(
        "blocks", body, dry_run=dry_run or None, force=force or None, protect=ssh_client(os.environ)
    )
    sessions = count(answer["sessions_cut"], "session")
    until = f" until {answer['expires_at']}" if answer.get("expires_at") else ""
    done = f"blocked {answer['cidr']}{until}; {sessions} disconnected" + (
        "" if answer.get("stored", True) else NOT_STORED
    )
    cli.emit(answer, f"{sessions} would be disconnected" if dry_run else done)


def unblock(
    cli: Invocation,
    target: Annotated[
        str,
        typer.Argument(
            metavar="CIDR", help="The address or network, or the block's id.", autocompletion=complete_blocks
        ),
    ],
) -> None:
    """Remove a block."""
    found = _find(cli.server, target)
    for one in found:
        one["stored"] = cli.server.delete(f"blocks/{one['id']}") is None
    cli.emit(found, "\n".join(f"unblocked {one['cidr']}" + ("" if one["stored"] else NOT_STORED) for one in found))


def ssh_client(environment: Mapping[str, str]) -> str | None:
    """The address that the operator's SSH session comes from; ``None`` without one."""
    words = environment.get("SSH_CLIENT", "").split()
    try:
        return str(ip_address(words[0])) if words else None
    except ValueError:
        return None


def read_network(text: str) -> Network:
    try:
        return parse_network(text)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _find(server: ApiClient, target: str) -> list[dict[str, object]]:
    """Returns the block of this id or network. Asks for these alone: there may be a million."""
    if BLOCK_ID.fullmatch(target):
        return [server.get(f"blocks/{target}")]
    network = str(read_network(target))
    if by_network := server.items("blocks", cidr=network):
        return by_network
    covering = server.items("blocks", covers=str(ip_network(network).network_address))
    wider = [str(row["cidr"]) for row in covering if _covers(str(row["cidr"]), network)]
    hint = f" (it is inside the block of {', '.join(wider)})" if wider else ""
    raise CommandError(f"there is no block of {network}{hint}")


def _covers(outer: str, inner: str) -> bool:
    wide, narrow = ip_network(outer), ip_network(inner)
    return wide.version == narrow.version and wide.supernet_of(narrow)  # type: ignore[arg-type]
