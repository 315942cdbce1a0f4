# SPDX-License-Identifier: GPL-3.0-or-later
"""``init``, ``serve``, ``doctor``, ``status``, ``steps``: set up, run and check the server."""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocsentry.cli.durations import format_duration
from ocsentry.cli.invocation import CommandError, Invocation, command, count
from ocsentry.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.setup.checks.result import CheckResult
    from ocsentry.setup.client_traffic import ClientTraffic

    RunServer = Callable[..., None]

MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def add_commands(app: typer.Typer) -> None:
    command(app, "init")(init)
    command(app, "serve")(serve)
    command(app, "doctor")(doctor)
    command(app, "status")(status)
    command(app, "steps", "step")(steps)
    command(app, "reload")(reload)


def init(
    cli: Invocation,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="Target folder; created if missing. Default: the present one; of a packaged program the service's.",
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name or address of this server, for the certificate. May be repeated."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="The VPN's port. Default: 443, with --demo 4443.")
    ] = None,
    full_tunnel: Annotated[bool, typer.Option("--full-tunnel", help="Clients send all traffic here.")] = False,
    lan: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="A network behind this server for clients. May be repeated."),
    ] = None,
    dns: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="A name server for clients. Default with --full-tunnel: this host's."),
    ] = None,
    email: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where a certificate authority writes to, for `cert acme`.")
    ] = "",
    demo: Annotated[bool, typer.Option("--demo", help="Set up a demo: port 4443 and a user with a password.")] = False,
) -> None:
    """Create a working configuration, key, certificate, rules and database, and show an admin token once.

    On a terminal it asks for name, e-mail address and what clients reach, where no option says it. For the service of a
    package it also sets up forwarding and address translation.
    """
    from ocsentry.acme.state import AcmeFolder
    from ocsentry.setup.init import init_server, render_init_result
    from ocsentry.setup.layout import Layout

    layout = Layout.default() if directory is None else Layout.single(directory.absolute())
    names = list(name or ())
    if sys.stdin.isatty() and not (demo or cli.as_json or names or full_tunnel or lan):
        names, email, full_tunnel, lan = _ask(email)
    traffic = _client_traffic(lan or (), dns or (), full_tunnel=full_tunnel)
    acme = AcmeFolder(layout.folder)
    contact = acme.read().with_email(email)  # refused before anything is written
    made = init_server(layout, names=names, port=port, demo=demo, email=email, traffic=traffic)
    if email:
        acme.write(contact)
    cli.emit(made.document(), render_init_result(made))


def _ask(email: str) -> tuple[list[str], str, bool, list[str]]:
    """Returns names and contact of the server, whether all traffic uses the tunnel, and networks behind the server."""
    names = typer.prompt("Name of this server for clients (empty: its host name)", default="", show_default=False)
    if names and not email:
        asked = "E-mail address for a certificate authority, used by `ocsentry cert acme` (empty: none)"
        email = typer.prompt(asked, default="", show_default=False)
    if typer.confirm("Do clients send all their traffic through the tunnel?", default=False):
        return names.split(), email, True, []
    networks = typer.prompt("Networks behind this server for clients (empty: none)", default="", show_default=False)
    return names.split(), email, False, networks.replace(",", " ").split()


def _client_traffic(lan: Sequence[str], dns: Sequence[str], *, full_tunnel: bool) -> ClientTraffic:
    from ipaddress import ip_address, ip_network

    from ocsentry.setup.client_traffic import ClientTraffic, host_resolvers

    try:
        networks = tuple(map(ip_network, lan))
        servers = tuple(map(ip_address, dns))
    except ValueError as error:
        raise CommandError(str(error)) from None
    if full_tunnel and networks:
        raise CommandError("--lan says nothing beside --full-tunnel: all traffic goes through the tunnel")
    return ClientTraffic(full_tunnel, networks, servers or (host_resolvers() if full_tunnel else ()))


def serve(
    cli: Invocation,
    check: Annotated[bool, typer.Option("--check", help="Only check whether the server can start.")] = False,
    ocserv_conf: Annotated[
        Path | None, typer.Option("--ocserv-conf", metavar="FILE", help="Run this configuration of ocserv.")
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            "--state-dir",
            metavar="DIR",
            help="With --ocserv-conf: folder for database and socket [default: one below /var/lib/ocsentry].",
        ),
    ] = None,
    pid_file: Annotated[
        Path | None, typer.Option("--pid-file", "-p", metavar="FILE", help="Write the process id to this file.")
    ] = None,
    foreground: Annotated[  # noqa: ARG001 - always so; scripts for ocserv pass it
        bool, typer.Option("--foreground", "-f", hidden=True)
    ] = False,
    debug: Annotated[int | None, typer.Option("--debug", "-d", metavar="N", min=0, hidden=True)] = None,
) -> None:
    """Run the server in the foreground until SIGTERM or SIGINT. SIGHUP reloads rules and certificate."""
    if ocserv_conf is not None:
        _serve_ocserv(cli, ocserv_conf, state_dir, pid_file, debug, check=check)
        return
    if state_dir is not None or debug is not None:
        raise CommandError("--state-dir and --debug go with --ocserv-conf; otherwise the configuration says it")
    if check:
        _check(cli, cli.config)
        return
    _refuse_wrong_user(cli.config)
    _load_server()(cli.config, pid_file=pid_file)


def _refuse_wrong_user(config: LoadedConfig) -> None:
    if os.geteuid() != 0:
        return
    from ocsentry.setup.service_user import ServiceUser

    if problem := ServiceUser.find_or_self(config).start_problem(config.path):
        raise CommandError(problem)


def _serve_ocserv(
    cli: Invocation, file: Path, state: Path | None, pid_file: Path | None, debug: int | None, *, check: bool
) -> None:
    from ocsentry.configuration.ocserv.loading import load_ocserv, write_state

    if check:
        with TemporaryDirectory() as folder:
            loaded = load_ocserv(file, Path(folder) if state is None else state)
            if state is None:
                write_state(loaded)
            _check(cli, loaded.config, loaded.report())
        return
    loaded = load_ocserv(file, state, debug)
    write_state(loaded)
    _load_server()(
        loaded.config,
        pid_file=pid_file or loaded.pid_file,
        socket_link=loaded.translation.occtl_socket,
        notes=loaded.translation.notes,
    )


def _load_server() -> RunServer:
    """Returns ``run_server``. Garbage collection is off until the server runs: hardly anything that is loaded ends."""
    gc.disable()
    from ocsentry.runtime.process import run_server

    return run_server


def _check(cli: Invocation, config: LoadedConfig, notes: Sequence[str] = ()) -> None:
    from ocsentry.setup.doctor import find_start_failures
    from ocsentry.setup.preflight import check_startup

    problems = check_startup(config) or find_start_failures(config)
    if problems:
        raise CommandError("\n".join(problems))
    document: dict[str, object] = {"problems": []}
    cli.emit(document | ({"notes": list(notes)} if notes else {}), "\n".join([*notes, f"{config.path}: OK"]))


def doctor(
    cli: Invocation,
    archive: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="With --bundle: the archive. Default: ocsentry-support-TIME.tar.gz here."
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 also if there are warnings only.")] = False,
    bundle: Annotated[
        bool, typer.Option("--bundle", help="Write an archive for a support request instead, without secrets.")
    ] = False,
) -> None:
    """Check the host and the configuration, and show how to fix what is wrong.

    With --bundle it writes one archive with versions, configuration, findings, counts, recent events and the log's end.
    """
    from ocsentry.setup.doctor import run_checks

    if bundle:
        _write_bundle(cli, archive)
        return
    if archive is not None:
        raise CommandError("a file goes with --bundle")
    results = run_checks(cli.config)
    failed = sum(result.level == "fail" for result in results)
    document = [asdict(result) for result in results]
    cli.emit(document, "\n".join(map(_result_line, results)))
    if failed:
        raise CommandError(f"{count(failed, 'check')} failed")
    warned = sum(result.level == "warn" for result in results)
    if strict and warned:
        raise CommandError(count(warned, "warning"))


def _write_bundle(cli: Invocation, archive: Path | None) -> None:
    from ocsentry.configuration.model import find_config
    from ocsentry.setup.support.bundle import make_bundle

    target = archive or Path(f"ocsentry-support-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    if target.exists():
        raise CommandError(f"{target} exists already")
    path = find_config(cli.config_path)
    try:
        config: LoadedConfig | OperatorError = cli.config
    except OperatorError as error:
        config = error
    made = make_bundle(path, config, target)
    note = "It names users and addresses, and holds no secrets: look at it before you send it."
    lines = [f"{target}: {count(len(made.files), 'file')}. {note}"]
    if isinstance(config, OperatorError):
        lines.append(f"without the findings of doctor, as the configuration is not valid: {config}")
    cli.emit({"archive": str(target), **asdict(made)}, "\n".join(lines))


def _result_line(result: CheckResult) -> str:
    fix = f"\n       fix: {result.fix}" if result.fix else ""
    command = f"\n       run: {result.command}" if result.command else ""
    return f"{MARKS[result.level]}  {result.check}: {result.detail}{fix}{command}"


def status(cli: Invocation) -> None:
    """Show the status of the running server."""
    document = cli.server.get("status")
    cli.emit(document, _render_status(document))


def steps(cli: Invocation) -> None:
    """Show the steps from a new server to one in use, and which are done."""
    answer = cli.server.get("first-steps")
    lines = [f"{answer['done']} of {len(answer['steps'])} steps are done"]
    for step in answer["steps"]:
        lines.append(f"{'ok  ' if step['done'] else 'OPEN'}  {step['title']}: {step['detail']}")
        lines += [] if step["done"] else [f"       how: {step['how']}"]
    cli.emit(answer, "\n".join(lines))


def reload(cli: Invocation) -> None:
    """Reload configuration, rules and certificates. An error changes nothing, and is this command's error."""
    report = cli.server.post("reload")
    lines = [f"in force: {', '.join(report['in_force'])}"] if report["in_force"] else []
    lines += [f"needs a restart: {', '.join(report['needs_restart'])}"] if report["needs_restart"] else []
    if report["policy"] is not None:
        policy = report["policy"]
        lines.append(f"policy version {policy['version']}; {count(policy['sessions_cut'], 'session')} disconnected")
    cli.emit(report, "\n".join(lines))


def _pool_use(one: dict[str, Any]) -> str:
    """The addresses in use, of how many if that is a number to run out of."""
    return f"{one['network']}: {one['used']}" + (f" of {one['addresses']}" if one["addresses"] < 10**9 else " in use")


def _certificate_of(one: dict[str, Any]) -> str:
    """Whose certificate it is, and when it ends."""
    note = ", self-signed" if one["self_signed"] else ""
    return f"certificate of the {'VPN' if one['use'] == 'vpn' else 'API'}, {one['expires_at']}{note}"


def _render_status(document: dict[str, Any]) -> str:
    policy = document["policy"]
    lines = [
        f"ocsentry {document['version']}, up {format_duration(document['uptime'])}",
        f"ready     {'yes' if document['ready'] else 'NO'}",
        *(f"          {problem}" for problem in document["problems"]),
        *(f"restart   needed for {key}" for key in document.get("needs_restart", ())),
        f"sessions  {document['sessions']} ({count(document['leases'], 'lease')})",
        f"policy    version {policy['version']}, {count(policy['rules'], 'rule')}{_sources_of(policy['files'])}",
        f"blocks    {document['blocks']}",
        f"penalties {document['penalties']}",
        *(f"pool      {_pool_use(one)}" for one in document.get("pools", ())),
        *(f"ends      {_certificate_of(one)}" for one in document.get("certificates", ())),
    ]
    return "\n".join(lines)


def _sources_of(names: Sequence[str]) -> str:
    """Returns `` from 2 files`` and, for documents of the API, `` and the API``."""
    from admin_api.enforcement.api_rules import DOCUMENT_PREFIX

    files = sum(not name.startswith(DOCUMENT_PREFIX) for name in names)
    sources = [count(files, "file")] * bool(files) + ["the API"] * (files < len(names))
    return f" from {' and '.join(sources)}" if sources else ""
