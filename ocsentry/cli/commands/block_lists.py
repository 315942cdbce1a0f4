# SPDX-License-Identifier: GPL-3.0-or-later
"""``blocks``: the blocks in force, listed, imported and exported, with progress bars."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from admin_api.blocks.line_formats import MEDIA_TYPES, LineFormat
from ocsentry.cli.commands.blocks import ssh_client
from ocsentry.cli.durations import parse_duration
from ocsentry.cli.invocation import CommandError, Invocation, count
from ocsentry.cli.nouns import DryRunOption, given, noun_group
from ocsentry.cli.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

BLOCK_COLUMNS = ("cidr", "expires_at", "created_by", "reason", "id")
CHUNK = 64 * 1024  # bytes
STANDARD = "-"
SUFFIXES = {".csv": LineFormat.CSV, ".ndjson": LineFormat.NDJSON, ".jsonl": LineFormat.NDJSON}
FormatOption = Annotated[
    LineFormat | None, typer.Option("--format", help="Of the lines. Default: by the file's suffix, otherwise text.")
]


def group() -> typer.Typer:
    text = "List, import and export the blocks in force."
    return noun_group(list_blocks, text, **{"import": import_blocks}, export=export_blocks)


def list_blocks(cli: Invocation) -> None:
    """List the blocks in force."""
    cli.emit_table(cli.server.items("blocks"), BLOCK_COLUMNS, "no blocks")


def import_blocks(
    cli: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Networks, one per line; - is standard input.")],
    form: FormatOption = None,
    ttl: Annotated[str | None, typer.Option(metavar="TIME", help="Duration, of lines without one.")] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Of lines without one.")] = "",
    dry_run: DryRunOption = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also lines with your own address or a very wide network.")
    ] = False,
) -> None:
    """Block the networks of a file: text, CSV (cidr, reason, ttl) or NDJSON. Lines in force stay if a later one fails.

    Ends with 1 if the server refused lines; the others are in force.
    """
    seconds = None if ttl is None else parse_duration(ttl)
    query = given(dry_run=dry_run, force=force, ttl=seconds, reason=reason, protect=ssh_client(os.environ))
    length = None if str(file) == STANDARD else file.stat().st_size
    stream = sys.stdin.buffer if str(file) == STANDARD else file.open("rb")
    media_type = MEDIA_TYPES[form or SUFFIXES.get(file.suffix.lower(), LineFormat.TEXT)]
    with stream, progress_bar("importing", length, in_bytes=True, quiet=cli.as_json) as advance:
        chunks = _chunks(stream, advance)
        report = cli.server.upload("blocks:import", chunks, media_type=media_type, length=length, **query)
    cli.emit(report, "\n".join(report_lines(report, dry_run=dry_run)))
    if report["refused"]:
        raise CommandError(f"{count(report['refused'], 'line')} refused")


def export_blocks(
    cli: Invocation,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Written when complete. Default: standard output.")
    ] = None,
    form: FormatOption = None,
) -> None:
    """Export the blocks in force, as lines that `blocks import` reads. With --json as NDJSON."""
    by_name = LineFormat.NDJSON if cli.as_json else SUFFIXES.get("" if file is None else file.suffix.lower())
    chosen = form or by_name or LineFormat.TEXT
    total = None if not sys.stderr.isatty() else int(cli.server.get("status")["blocks"])
    with progress_bar("exporting", total, in_bytes=False, quiet=cli.as_json) as advance:
        parts = _counted(cli.server.download("blocks:export", format=chosen.value), advance)
        if file is None:
            for part in parts:
                typer.echo(part, nl=False)
            return
        fresh = file.with_name(f"{file.name}.new")
        try:
            with fresh.open("w", encoding="utf-8") as stream:
                lines = sum(stream.write(part) and part.count("\n") for part in parts)
            fresh.replace(file)
        finally:
            fresh.unlink(missing_ok=True)
    cli.emit({"file": str(file), "blocks": lines}, f"wrote {count(lines, 'block')} to {file}")


def report_lines(report: Mapping[str, Any], *, dry_run: bool) -> Iterator[str]:
    """Yields the refused lines that the server told, and a summary."""
    for error in report["errors"]:
        yield f"line {error['line']}: {error['detail']}"
    if report["refused"] > len(report["errors"]):
        yield f"and {count(report['refused'] - len(report['errors']), 'other line')}"
    made = f"{report['created']} {'would be ' if dry_run else ''}blocked"
    cut = f"{count(report['sessions_cut'], 'session')} {'would be ' if dry_run else ''}disconnected"
    yield f"{made}, {report['changed']} extended, {report['unchanged']} unchanged, {report['refused']} refused; {cut}"


def _chunks(stream: BinaryIO, advance: Callable[[int], None]) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk
        advance(len(chunk))


def _counted(parts: Iterator[str], advance: Callable[[int], None]) -> Iterator[str]:
    for part in parts:
        yield part
        advance(part.count("\n"))
