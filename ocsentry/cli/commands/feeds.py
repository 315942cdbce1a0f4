# SPDX-License-Identifier: GPL-3.0-or-later
"""``feeds``: the block lists that rule files name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from ocsentry.cli.commands.policy.rule_exchange import put_rule_file
from ocsentry.cli.completion import complete_feeds
from ocsentry.cli.durations import format_duration, parse_duration
from ocsentry.cli.invocation import CommandError, Invocation, count
from ocsentry.cli.nouns import noun_group
from ocsentry.cli.tables import render_facts
from sentry_engine.formats.document_model import FORMAT_VERSION

COLUMNS = ("id", "entries", "age", "source", "problem")
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The feed's id.", autocompletion=complete_feeds)]


def group() -> typer.Typer:
    text = "List, add and refresh the block lists that rule files name."
    return noun_group(list_feeds, text, show=show, add=add, refresh=refresh)


def list_feeds(
    cli: Invocation,
    failing: Annotated[bool, typer.Option("--failing", help="Only those whose last download failed.")] = False,
) -> None:
    """List the feeds with the number of their networks, their age, and why the last download failed."""
    rows = [row for row in cli.server.items("feeds") if row["problem"] or not failing]
    shown = rows if cli.as_json else [_row(row) for row in rows]
    cli.emit_table(shown, COLUMNS, "no feed fails" if failing else "no feeds")


def show(cli: Invocation, feed: IdArgument) -> None:
    """Show one feed."""
    found = cli.server.get(_path(feed))
    cli.emit(found, render_facts(found))


def add(
    cli: Invocation,
    feed: Annotated[str, typer.Argument(metavar="ID", help="A name for the feed.")],
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="An https URL, or the path of a file.")],
    refresh: Annotated[str | None, typer.Option(metavar="TIME", help="Between two downloads: 6h, 1d.")] = None,
    min_entries: Annotated[
        int | None, typer.Option("--min-entries", metavar="N", min=1, help="Refuse a shorter list.")
    ] = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="A remark.")] = None,
) -> None:
    """Add a feed as a rule file `feed-ID.json` in the rules folder. A running server puts it in force at once."""
    values = {
        "id": feed,
        "url": source if "://" in source else None,
        "path": None if "://" in source else str(Path(source).absolute()),
        "refresh_sec": None if refresh is None else parse_duration(refresh),
        "min_entries": min_entries,
        "description": description,
    }
    section = {key: value for key, value in values.items() if value is not None}
    document = {"wolfsentry": {"version": FORMAT_VERSION, "rules": [], "feeds": [section]}}
    name = f"feed-{NOT_IN_NAMES.sub('-', feed)}.json"
    target = put_rule_file(cli, name, lambda: json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    cli.emit({"feed": feed, "file": str(target)}, f"added feed {feed} in {target}; a running server applies it at once")


def refresh(
    cli: Invocation,
    feed: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="Default: all that have a URL.", autocompletion=complete_feeds),
    ] = None,
) -> None:
    """Download feeds now. A new list is in force before the command returns; a failed download changes nothing."""
    from ocsentry.api_client.client import ClientError

    named = [row["id"] for row in cli.server.items("feeds") if row["url"]] if feed is None else [feed]
    done: list[dict[str, Any]] = []
    failed: list[str] = []
    for one in named:
        try:
            done.append(cli.server.post(f"{_path(one)}:refresh"))
        except ClientError as error:
            failed.append(f"{one}: {error}")
    lines = [
        f"{row['feed']}: {count(row['entries'], 'network')}{'' if row['changed'] else ', unchanged'}" for row in done
    ]
    cli.emit(done, "\n".join(lines) or None if named else "no feed has a URL")
    if failed:
        raise CommandError("\n".join(failed))


def _row(feed: dict[str, Any]) -> dict[str, Any]:
    age = None if feed["age"] is None else format_duration(feed["age"])
    return feed | {"age": age, "source": feed["url"] or feed["path"]}


def _path(feed: str) -> str:
    return f"feeds/{quote(feed, safe='')}"
