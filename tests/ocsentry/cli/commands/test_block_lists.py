# SPDX-License-Identifier: GPL-3.0-or-later
"""``ocsentry blocks import|export``: what is sent, and what is told of the answer."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from ocsentry.cli.commands.block_lists import export_blocks, import_blocks
from ocsentry.cli.invocation import CommandError
from ocsentry.cli.progress import progress_bar

REPORT = {"created": 2, "changed": 0, "unchanged": 1, "refused": 0, "sessions_cut": 1, "errors": []}


class Server:
    """Takes uploads, and gives the same export to all."""

    def __init__(self, report):
        self.report, self.sent = report, []

    def upload(self, resource, content, **how):
        self.sent.append((resource, b"".join(content), how))
        return self.report

    def download(self, resource, **query):
        self.sent.append((resource, query))
        yield from ("198.51.100.0/24\n", "203.0.113.7/32\n")


@pytest.fixture
def printed():
    return []


@pytest.fixture
def cli(printed, monkeypatch):
    monkeypatch.delenv("SSH_CLIENT", raising=False)
    return SimpleNamespace(server=Server(REPORT), as_json=False, emit=lambda _, text: printed.append(text))


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.txt", "text/plain"), ("a.CSV", "text/csv"), ("a.jsonl", "application/x-ndjson"), ("a", "text/plain")],
)
def test_a_file_is_sent_in_the_format_of_its_suffix(cli, printed, tmp_path, name, media_type):
    (tmp_path / name).write_text("198.51.100.0/24\n")
    import_blocks(cli, tmp_path / name, dry_run=True, ttl="1h")
    how = {"media_type": media_type, "length": 16, "dry_run": True, "ttl": 3600}
    assert cli.server.sent == [("blocks:import", b"198.51.100.0/24\n", how)]
    assert printed == ["2 would be blocked, 0 extended, 1 unchanged, 0 refused; 1 session would be disconnected"]


def test_refused_lines_are_told_and_end_with_an_error(cli, printed, tmp_path):
    cli.server.report = REPORT | {"refused": 3, "errors": [{"line": 4, "detail": "not a network"}]}
    (tmp_path / "list").write_text("x\n")
    with pytest.raises(CommandError, match=r"^3 lines refused$"):
        import_blocks(cli, tmp_path / "list")
    assert printed[0].splitlines() == [
        "line 4: not a network",
        "and 2 other lines",
        "2 blocked, 0 extended, 1 unchanged, 3 refused; 1 session disconnected",
    ]


def test_an_export_to_a_file(cli, printed, tmp_path):
    export_blocks(cli, tmp_path / "blocks.csv")
    assert cli.server.sent == [("blocks:export", {"format": "csv"})]
    assert (tmp_path / "blocks.csv").read_text() == "198.51.100.0/24\n203.0.113.7/32\n"
    assert printed == [f"wrote 2 blocks to {tmp_path / 'blocks.csv'}"]


def test_an_export_that_breaks_off_leaves_no_file(cli, tmp_path):
    def broken(*_, **__):
        yield "198.51.100.0/24\n"
        raise CommandError("gone")

    cli.server.download = broken
    (tmp_path / "blocks.txt").write_text("before")
    with pytest.raises(CommandError):
        export_blocks(cli, tmp_path / "blocks.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["blocks.txt"]
    assert (tmp_path / "blocks.txt").read_text() == "before"


def test_a_pipe_gets_no_bar(capsys):
    with progress_bar("importing", 10, in_bytes=True) as advance:
        advance(10)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert Console(stderr=True).is_terminal
    with progress_bar("importing", 10, in_bytes=True) as advance:
        advance(10)
    assert "importing" in terminal.getvalue()
