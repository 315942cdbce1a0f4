# SPDX-License-Identifier: GPL-3.0-or-later
"""``webhook``: receivers of events over HTTP."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from ocsentry.cli.completion import complete_webhooks
from ocsentry.cli.invocation import CommandError, Invocation, count
from ocsentry.cli.nouns import NoteOption, noun_group
from ocsentry.cli.tables import render_facts

COLUMNS = ("id", "source", "url", "kinds", "enabled", "pending", "dead")
DELIVERY_COLUMNS = ("id", "kind", "state", "attempts", "created_at", "next_at", "status", "error")
TEST_WAIT = 20.0  # seconds; a request has 15
POLL = 0.2  # seconds

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The webhook's id.", autocompletion=complete_webhooks, show_default=False)
]
KindOption = Annotated[
    list[str] | None,
    typer.Option(metavar="KIND", help="A kind of event. May be repeated. Default: all but decision."),
]


def group() -> typer.Typer:
    return noun_group(
        list_webhooks,
        "Manage webhooks: receivers of events over HTTP.",
        {
            "add": add,
            "show": show,
            "set": change,
            "del": remove,
            "test": test,
            "deliveries": deliveries,
            "redeliver": redeliver,
        },
    )


def add(
    cli: Invocation,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where events are sent by POST.")],
    kind: KindOption = None,
    note: NoteOption = None,
) -> None:
    """Add a webhook and show its secret once."""
    made = cli.api.post("webhooks", {"url": url, "kinds": kind or [], "note": note or ""})
    said = "Store it now, in the receiver: it cannot be shown again."
    cli.emit(made, f"added webhook {made['id']}\n{made['secret']}\n\n{said}")


def list_webhooks(cli: Invocation) -> None:
    """List the webhooks, without their secrets."""
    cli.emit_table(cli.api.items("webhooks"), COLUMNS, "no webhooks")


def show(cli: Invocation, webhook: IdArgument) -> None:
    """Show one webhook, without its secret: why it was disabled, and what waits to be sent."""
    found = cli.api.get(f"webhooks/{webhook}")
    cli.emit(found, render_facts(found))


def change(
    cli: Invocation,
    webhook: IdArgument,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Where events are sent.")] = None,
    kind: KindOption = None,
    note: NoteOption = None,
    enable: Annotated[bool | None, typer.Option("--enable/--disable", help="Queue and send events, or not.")] = None,
) -> None:
    """Change a webhook. Its secret stays."""
    wanted = {"url": url, "kinds": kind, "note": note, "enabled": enable}
    patch = {name: value for name, value in wanted.items() if value is not None}
    if not patch:
        raise CommandError("name something to change: --url, --kind, --note, --enable or --disable")
    cli.emit(cli.api.patch(f"webhooks/{webhook}", patch), f"changed webhook {webhook}")


def remove(cli: Invocation, webhook: IdArgument) -> None:
    """Delete a webhook and what waits to be sent to it."""
    cli.api.delete(f"webhooks/{webhook}")
    cli.emit({"id": webhook}, f"deleted webhook {webhook}")


def test(cli: Invocation, webhook: IdArgument) -> None:
    """Send a test, and tell what the receiver answered."""
    queued = cli.server.post(f"webhooks/{webhook}:test")
    end = time.monotonic() + TEST_WAIT
    while not (found := cli.server.get(f"webhooks/{webhook}/deliveries/{queued['id']}"))["attempts"]:
        if time.monotonic() > end:
            raise CommandError(f"not sent after {TEST_WAIT:.0f} seconds: see `ocsentry webhook deliveries {webhook}`")
        time.sleep(POLL)
    if found["state"] != "delivered":
        raise CommandError(f"the test failed: {found['error']}")
    cli.emit(found, f"the receiver answered {found['status']}")


def deliveries(
    cli: Invocation,
    webhook: IdArgument,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="pending, delivered or dead.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows.")] = 20,
) -> None:
    """List the deliveries of a webhook, newest first."""
    rows = cli.api.get(f"webhooks/{webhook}/deliveries", state=state, limit=limit)["items"]
    cli.emit_table(rows, DELIVERY_COLUMNS, "no deliveries")


def redeliver(
    cli: Invocation,
    webhook: IdArgument,
    delivery: Annotated[list[str] | None, typer.Argument(metavar="[DELIVERY]...", help="Ids of deliveries.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="All that were given up.")] = False,
) -> None:
    """Send deliveries again."""
    if bool(delivery) is dead:
        raise CommandError("name deliveries, or give --dead")
    ids = delivery or [str(row["id"]) for row in cli.api.items(f"webhooks/{webhook}/deliveries", state="dead")]
    queued: list[Any] = [cli.api.post(f"webhooks/{webhook}/deliveries/{one}:redeliver") for one in ids]
    cli.emit(queued, f"queued {count(len(queued), 'delivery', 'deliveries')}")
