# SPDX-License-Identifier: GPL-3.0-or-later
"""The Typer application with all groups of commands, and the program's entry point."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ocsentry.cli.invocation import ConfigOption, Invocation, JsonOption, run
from sentry_engine.gc_pause import collector_paused

if TYPE_CHECKING:
    from collections.abc import Sequence

TOOLS = ("occtl", "ocpasswd")


class Part(NamedTuple):
    """A module of ``ocsentry.cli.commands``, and the words that it adds, which it does not need to be loaded for."""

    module: str
    words: tuple[str, ...]
    noun: bool = False  # a group of commands: the second word is its other number, which the help does not list


PARTS = (
    Part("service", ("init", "serve", "doctor", "status", "steps", "step", "reload")),
    Part("activity.top", ("top",)),
    Part("activity.stats", ("stats",)),
    Part(
        "activity.history",
        ("events", "event", "decisions", "decision", "places", "place", "audit", "penalties", "penalty"),
    ),
    Part("activity.address", ("address",)),
    Part("blocks", ("block", "unblock")),
    Part("archive", ("backup", "restore")),
    Part("policy.rules", ("explain",)),
    Part("block_lists", ("blocks",), noun=True),
    Part("feeds", ("feeds", "feed"), noun=True),
    Part("nodes", ("nodes", "node"), noun=True),
    Part("console", ("console",)),
    Part("demo", ("demo",)),
    Part("database", ("db",), noun=True),
    Part("policy.rules", ("rules", "rule"), noun=True),
    Part("sessions", ("sessions", "session"), noun=True),
    Part("accounts.users", ("user", "users"), noun=True),
    Part("accounts.groups", ("group", "groups"), noun=True),
    Part("accounts.tokens", ("token", "tokens"), noun=True),
    Part("webhooks", ("webhook", "webhooks"), noun=True),
    Part("operations", ("operations", "operation"), noun=True),
    Part("settings", ("settings", "setting"), noun=True),
    Part("imports", ("import",), noun=True),
    Part("network", ("network",), noun=True),
    Part("certificates", ("cert", "certs"), noun=True),
    Part("ocserv_tools", TOOLS),
)


def build_app(word: str | None = None) -> typer.Typer:
    """Returns the Typer application with every command, or with those of the module alone that has ``word``."""
    app = typer.Typer(
        name="ocsentry",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},  # of every command below it, too
    )
    app.callback(no_args_is_help=True)(_root)
    for part in [part for part in PARTS if word in part.words] or PARTS:
        module = import_module(f"ocsentry.cli.commands.{part.module}")
        if not part.noun:
            module.add_commands(app)
            continue
        group = module.group()
        for number, name in enumerate(part.words):
            app.add_typer(group, name=name, hidden=number > 0)
    return app


def find_command(arguments: Sequence[str]) -> str | None:
    """Returns the first word that is no option of the program itself; ``None``: none, or the program's help."""
    rest = iter(arguments)
    for one in rest:
        if one in {"--config", "-c"}:
            next(rest, None)
        elif one in {"--help", "-h"}:
            return None
        elif not one.startswith("-"):
            return one
    return None


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ocsentry {version('ocsentry')}")
        raise typer.Exit


def _root(
    context: typer.Context,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    show_version: Annotated[  # noqa: ARG001 - its callback has answered and left
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """A VPN server for OpenConnect and AnyConnect clients, with a policy engine that decides who may connect."""
    context.obj = Invocation(config, as_json)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with ``arguments`` (default: the process arguments) and exit."""
    os.umask(os.umask(0o077) | 0o027)  # files that a command creates are not readable by others
    given = list(sys.argv[1:] if arguments is None else arguments)
    invoked_as = Path(sys.argv[0]).name
    if arguments is None and invoked_as in TOOLS:
        given = [invoked_as, *given]
    os.environ.setdefault(
        "PYDANTIC_DISABLE_PLUGINS", "__all__"
    )  # else it searches all packages, and runs what it finds
    with collector_paused():  # what is loaded stays
        app = build_app(find_command(given))
    sys.exit(run(app, given or ["--help"]))
