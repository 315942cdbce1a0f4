# SPDX-License-Identifier: GPL-3.0-or-later
"""What all commands share: ``--config`` and ``--json``, output and errors.

A command is a plain function whose first parameter is an ``Invocation``; ``command`` registers it with Typer and adds
the two options. It prints its answer with ``emit`` and fails by raising ``CommandError``. ``run`` turns every error
that an operator can cause into a nonzero exit code and one readable line on standard error, or one JSON object with
``--json``.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from typer._click.exceptions import NoArgsIsHelpError

from ocsentry.cli.tables import print_table
from ocsentry.errors import OperatorError, describe_os_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ocsentry.api_client.client import ApiClient, SocketClient
    from ocsentry.configuration.model import LoadedConfig

OCSERV_SUFFIX = ".conf"  # of a configuration of ocserv
DEBUG_VARIABLE = "OCSENTRY_DEBUG"

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file [env: OCSENTRY_CONFIG].", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class CommandError(OperatorError):
    """The command was used wrongly, or what it names does not exist."""


@dataclass
class Invocation:
    """One run of one command."""

    config_path: Path | None = None
    as_json: bool = False

    def with_options(self, config_path: Path | None, *, as_json: bool) -> Invocation:
        """Returns the invocation of a subcommand, with the options given after it."""
        return Invocation(config_path or self.config_path, as_json or self.as_json)

    @property
    def configured(self) -> bool:
        """True if a configuration file is found."""
        from ocsentry.configuration.model import ConfigError, find_config

        try:
            find_config(self.config_path)
        except ConfigError:
            return False
        return True

    @cached_property
    def config(self) -> LoadedConfig:
        from ocsentry.configuration.model import find_config, load_config

        path = find_config(self.config_path)
        if path.suffix == OCSERV_SUFFIX:
            from ocsentry.configuration.ocserv.loading import load_ocserv

            return load_ocserv(path).config
        return load_config(path)

    @cached_property
    def server(self) -> SocketClient:
        """The running server, over its Unix socket."""
        from ocsentry.api_client.client import SocketClient
        from ocsentry.configuration.model import ConfigError, find_config, socket_of

        try:
            return SocketClient(self.config.values.admin.socket)
        except ConfigError:
            socket = socket_of(find_config(self.config_path))
            if socket is None or not SocketClient(socket).running():
                raise
            return SocketClient(socket)  # of a server that runs with what the file said before

    @cached_property
    def api(self) -> ApiClient:
        """The running server, or without one the same API in this process; for what only the database holds."""
        if self.server.running():
            return self.server
        from ocsentry.api_client.offline import OfflineClient

        return OfflineClient(self.config)

    def emit(self, document: object, text: str | None = None) -> None:
        """Print ``document`` with ``--json``, otherwise ``text`` (``None``: nothing)."""
        if self.as_json:
            typer.echo(json.dumps(document, default=str, ensure_ascii=False))
        elif text is not None:
            typer.echo(text)

    def emit_table(self, rows: Sequence[dict[str, Any]], columns: Iterable[str], empty: str) -> None:
        """Print ``rows`` as a JSON array, or as a table of the named columns."""
        if rows and not self.as_json:
            print_table(rows, tuple(columns))
        else:
            self.emit(list(rows), empty)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Returns ``1 session``, ``2 sessions``. ``plural``: of a noun that takes no s."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def command(app: typer.Typer, name: str, alias: str = "") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register the decorated function as the command ``name`` of ``app``, with the shared options.

    ``alias`` is another name, which the help does not list.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        def carry_out(context: typer.Context, arguments: dict[str, Any]) -> None:
            function(context.obj, **arguments)

        app.command(name)(with_options_of(function, carry_out))
        if alias:
            app.command(alias, hidden=True)(with_options_of(function, carry_out))
        return function

    return register


def with_options_of(
    function: Callable[..., None], carry_out: Callable[[typer.Context, dict[str, Any]], None]
) -> Callable[..., None]:
    """Returns a function for Typer with the options of ``function`` and the shared ones, which calls ``carry_out``.

    The context's ``obj`` is then the ``Invocation`` with the shared options; the dictionary has those of ``function``.
    """

    def invoke(context: typer.Context, config: ConfigOption, as_json: JsonOption, **arguments: object) -> None:
        context.obj = context.obj.with_options(config, as_json=as_json)
        carry_out(context, arguments)

    hints = get_type_hints(function, include_extras=True)
    own = [p.replace(annotation=hints[p.name]) for p in list(inspect.signature(function).parameters.values())[1:]]
    kind = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter("config", kind, default=None, annotation=ConfigOption),
        inspect.Parameter("as_json", kind, default=False, annotation=JsonOption),
    ]
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [context, *(p.replace(kind=kind) for p in own), *shared]
    invoke.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    invoke.__annotations__ = {p.name: p.annotation for p in parameters}
    invoke.__name__, invoke.__doc__ = function.__name__, function.__doc__
    return invoke


def run(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run ``app``. Returns the exit code; the operator never sees a traceback."""
    fail = _fail_as_json if "--json" in arguments else _fail
    try:
        answer = app(args=list(arguments), standalone_mode=False)
    except OperatorError as error:
        return fail(str(error), error.exit_code)
    except NoArgsIsHelpError as error:
        typer.echo(error.format_message(), err=True)
        return error.exit_code
    except typer.TyperException as error:
        return fail(error.format_message(), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter reports an error at exit
        return 141
    except Exception as error:  # any other error; the debug variable shows its traceback
        if os.environ.get(DEBUG_VARIABLE):
            raise
        return fail(_readable(error), 1)
    return answer if isinstance(answer, int) else 0


def _readable(error: Exception) -> str:
    if isinstance(error, OSError):
        return describe_os_error(error)
    detail = " ".join(str(error).split())
    return f"{detail or type(error).__name__} (set {DEBUG_VARIABLE}=1 for a traceback)"


def _fail(text: str, exit_code: int) -> int:
    typer.echo(f"ocsentry: {text}", err=True)
    return exit_code


def _fail_as_json(text: str, exit_code: int) -> int:
    typer.echo(json.dumps({"error": text, "exit_code": exit_code}, ensure_ascii=False), err=True)
    return exit_code
