# SPDX-License-Identifier: GPL-3.0-or-later
"""``demo``: shows on this host what a block does to a client."""

from __future__ import annotations

import getpass
import signal
import sys

import typer

from ocsentry.cli.invocation import CommandError, Invocation, command


def add_commands(app: typer.Typer) -> None:
    command(app, "demo")(demo)


def demo(cli: Invocation) -> None:
    """Connect a real client, block it, and show what it is told and why. Leaves nothing behind.

    Needs a running server, root and openconnect. The client is in a network namespace of its own, with a user of its
    own: no route of this host changes, and no other client is touched.
    """
    from ocsentry.cli.commands.policy.rules import render_explanation
    from ocsentry.demo.scenes import require_programs, run_demo

    require_programs()
    if not cli.server.running():
        raise CommandError("no server runs: start it with make run, or ocsentry serve")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # also then nothing is left behind
    tell = _no_word if cli.as_json else typer.echo
    if link := _console_link(cli):
        tell(f"Watch it in a browser, signed in once: {link}\n")
    shown = run_demo(cli.config, cli.server, tell, lambda: _pause(cli))
    why = f"4  Why: ocsentry explain {shown.address}\n\n{render_explanation(shown.explanation)}"
    cli.emit(shown.document(), f"{why}\n\nThe block, the user and the network of the client are gone again.")


def _console_link(cli: Invocation) -> str:
    link = cli.server.post("console-links", {"name": getpass.getuser(), "role": "viewer"})
    return str(link["url"])


def _pause(cli: Invocation) -> None:
    if sys.stdin.isatty() and not cli.as_json:
        typer.prompt("   Enter blocks it", default="", show_default=False, prompt_suffix="")


def _no_word(_: str) -> None:
    """With --json only the result is printed."""
