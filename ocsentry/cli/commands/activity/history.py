# SPDX-License-Identifier: GPL-3.0-or-later
"""``events``, ``decisions``, ``places``, ``audit``, ``penalties``: what happened, and what follows from it."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocsentry.cli.commands.blocks import read_network
from ocsentry.cli.invocation import CommandError, Invocation, command, count
from ocsentry.cli.nouns import given, noun_group
from ocsentry.cli.tables import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=2048, metavar="N", help="The latest N.")]
UserOption = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only of this user.")]
AddressOption = Annotated[str | None, typer.Option("--address", metavar="ADDRESS", help="Only of this source.")]
DECISION_COLUMNS = ("at", "address", "event", "user", "verdict", "reason", "rule")
COUNTRY_COLUMNS = ("country", "accepted", "refused")
NETWORK_COLUMNS = ("asn", "accepted", "refused")
AUDIT_COLUMNS = ("serial", "at", "actor", "action", "target")
PENALTY_COLUMNS = ("network", "until", "strikes", "reason", "rule_id")


def add_commands(app: typer.Typer) -> None:
    command(app, "events", "event")(events)
    command(app, "decisions", "decision")(decisions)
    command(app, "places", "place")(places)
    app.add_typer(noun_group(audit, "Show changes made by operators, newest first.", verify=verify), name="audit")
    penalties_help = "List the sources in the penalty box, and end penalties."
    penalty_group = noun_group(penalties, penalties_help, forgive=forgive)
    app.add_typer(penalty_group, name="penalties")
    app.add_typer(penalty_group, name="penalty", hidden=True)


def events(
    cli: Invocation,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show events as they happen, until interrupted.")
    ] = False,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", metavar="KIND", help="Only events of this kind. May be repeated.")
    ] = None,
    user: UserOption = None,
    address: AddressOption = None,
) -> None:
    """Show the latest events: logins, sessions, blocks, changes of policy."""
    wanted = {name: value for name, value in (("user", user), ("address", as_address(address))) if value is not None}
    stream = cli.server.stream("events") if follow else cli.server.stream("events", after="all", follow=False)
    for event in _filter(stream, frozenset(kind or ()), wanted):
        if follow or event["kind"] != "gap":
            cli.emit(event, event_line(event))


def _filter(
    stream: Iterable[dict[str, Any]], kinds: frozenset[str], wanted: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """Yields the events of ``kinds`` (none: of all) whose fields have the wanted values. A gap always passes."""
    for event in stream:
        of_kind = not kinds or event["kind"] in kinds
        if event["kind"] == "gap" or (of_kind and all(event["fields"].get(k) == v for k, v in wanted.items())):
            yield event


def event_line(event: dict[str, Any]) -> str:
    fields = " ".join(f"{key}={value}" for key, value in event["fields"].items() if value not in (None, ""))
    return clean(f"{event['at']}  {event['kind']}  {fields}")


def decisions(
    cli: Invocation,
    limit: LimitOption = 50,
    user: UserOption = None,
    address: AddressOption = None,
    verdict: Annotated[
        str | None, typer.Option("--verdict", metavar="WORD", help="Only accept, reject or rate_limited.")
    ] = None,
) -> None:
    """Show the latest verdicts, newest first, with their reason and rule."""
    query = {"user": user, "address": as_address(address), "verdict": verdict}
    rows = cli.server.get("decisions", limit=limit, **query)["items"]
    cli.emit_table(rows if cli.as_json else decision_rows(rows), DECISION_COLUMNS, "no decisions")


def decision_rows(decided: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the rows of a table for verdicts of the API."""
    return [{"at": row["at"], "event": row["kind"], **row["fields"]} for row in decided]


def places(
    cli: Invocation,
    networks: Annotated[bool, typer.Option("--networks", help="By autonomous system instead of country.")] = False,
) -> None:
    """Count verdicts by the place of their sources, most refused first. Needs GeoIP databases."""
    answer = cli.server.get("decisions/places")
    columns, rows = (NETWORK_COLUMNS, "networks") if networks else (COUNTRY_COLUMNS, "countries")
    cli.emit_table(answer if cli.as_json else answer[rows], columns, "no verdict about a source with a known place")


def audit(
    cli: Invocation,
    limit: LimitOption = 50,
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="Only changes by this caller.")] = None,
    action: Annotated[str | None, typer.Option(metavar="WORD", help="Only changes of this kind.")] = None,
) -> None:
    """Show changes made by operators, newest first."""
    rows = cli.api.each("audit", **given(actor=actor, action=action))
    cli.emit_table(list(islice(rows, limit)), AUDIT_COLUMNS, "no changes")


def verify(cli: Invocation) -> None:
    """Verify the chain of digests over all changes. An altered or missing row is an error."""
    answer = cli.api.get("audit/verify")
    if not answer["intact"]:
        raise CommandError(f"the audit is broken at row {answer['first_broken']}: it was altered or removed")
    cli.emit(answer, "the audit is intact")


def penalties(cli: Invocation) -> None:
    """List the sources in the penalty box."""
    cli.emit_table(cli.server.items("penalties"), PENALTY_COLUMNS, "no penalties")


def forgive(
    cli: Invocation,
    network: Annotated[str | None, typer.Argument(metavar="[CIDR]", help="An address or a network.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="End all penalties.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say how many would end.")] = False,
) -> None:
    """End penalties, and forget the failures that led to them."""
    if (network is None) != everything:
        raise CommandError("name an address or a network, or give --all")
    cidr = None if network is None else str(read_network(network))
    answer = cli.server.delete("penalties", network=cidr, dry_run=dry_run or None)
    ended = count(answer["forgiven"], "penalty", "penalties")
    cli.emit(answer, f"would end {ended}" if dry_run else f"ended {ended}")


def as_address(text: str | None) -> str | None:
    """Returns the address as the server writes it. Raises ``CommandError`` for what is none."""
    try:
        return None if text is None else str(ip_address(text))
    except ValueError:
        raise CommandError(f"{text!r} is not an IPv4 or IPv6 address") from None
