# SPDX-License-Identifier: GPL-3.0-or-later
"""``cert``: the server's certificate, and how it is got from an ACME server."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocsentry.cli.invocation import CommandError, Invocation, command
from ocsentry.errors import OperatorError

if TYPE_CHECKING:
    from ocsentry.acme.issue import Issued, Issuer

TIMER = "ocsentry-acme.timer"
SYSTEMD_TIMEOUT = 30.0  # seconds


def group() -> typer.Typer:
    app = typer.Typer(help="Show the server's certificate, or get one from an ACME server.", no_args_is_help=True)
    command(app, "show")(show)
    command(app, "acme")(acme)
    return app


def show(cli: Invocation) -> None:
    """Show names, dates and pin of the certificate, and how it is renewed."""
    from ocsentry.acme.certificate import is_due
    from ocsentry.acme.state import AcmeFolder
    from ocsentry.setup.certificates import inspect_pair

    vpn = cli.config.values.vpn
    facts = inspect_pair(vpn.certificate, vpn.private_key)
    state = AcmeFolder(cli.config.path.parent).read()
    document = {
        "certificate": str(vpn.certificate),
        "names": facts.names,
        "not_before": facts.not_before.isoformat(),
        "not_after": facts.not_after.isoformat(),
        "self_signed": facts.self_signed,
        "pin": facts.pin,
        "acme": {"directory": state.directory, "error": state.error} if state.account else None,
        "due": bool(state.account) and is_due(facts),
    }
    origin = (
        f"by ACME, {state.directory}" if state.account else "self-signed" if facts.self_signed else "by an authority"
    )
    lines = [
        f"file     {vpn.certificate}",
        f"issued   {origin}",
        f"names    {', '.join(facts.names)}",
        f"until    {facts.not_after:%Y-%m-%d %H:%M} UTC",
        f"pin      {facts.pin}",
    ]
    cli.emit(document, "\n".join([*lines, *([f"failed   {state.error}"] if state.error else [])]))


def acme(
    cli: Invocation,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A DNS name of this server. May be repeated. Default: those it has now."),
    ] = None,
    email: Annotated[str, typer.Option(metavar="ADDRESS", help="Where the authority writes to.")] = "",
    agree: Annotated[bool, typer.Option("--agree-tos", help="Agree to the authority's terms of service.")] = False,
    directory: Annotated[
        str, typer.Option(metavar="URL", help="The ACME server. Default: the last one, or Let's Encrypt.")
    ] = "",
    staging: Annotated[bool, typer.Option("--staging", help="Let's Encrypt's server for trials.")] = False,
    ca: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="Authorities that the ACME server's own TLS needs, PEM.")
    ] = None,
    eab_key_id: Annotated[str, typer.Option(metavar="ID", help="Key id of an account at the authority.")] = "",
    eab_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its secret, base64url, in the file's first line.")
    ] = None,
    renew: Annotated[bool, typer.Option("--renew", help="Only renew what is due; for timers.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Although it is not due, or the last attempt failed.")] = False,
) -> None:
    """Get a certificate from an ACME server such as Let's Encrypt, put it in force, and keep it renewed.

    The server has to run and be reachable at port 443 under each name: the validation (tls-alpn-01) comes to the VPN's
    own port, and no client is disturbed. The private key stays, and so does the pin of clients.
    """
    from ocsentry.acme.issue import Wishes
    from ocsentry.acme.server import STAGING

    issuer = _issuer(cli)
    if renew:
        issued = issuer.renew()
        if issued is None:
            cli.emit({"changed": False}, "no certificate was ordered here: ocsentry cert acme")
            return
    else:
        wishes = Wishes(
            names=[one.lower().rstrip(".") for one in name or ()],
            email=email,
            directory=STAGING if staging else directory,
            authorities=ca,
            binding=_binding(eab_key_id, eab_key_file),
            accept_terms=lambda url: _accept(url, agreed=agree),
            force=force,
        )
        issued = issuer.issue(wishes)
    _tell(cli, issued)


def _issuer(cli: Invocation) -> Issuer:
    from ocsentry.acme.issue import Issuer
    from ocsentry.acme.state import AcmeFolder

    if not cli.server.running():
        raise CommandError("no server runs to answer the validation: start it first (systemctl start ocsentry)")
    vpn = cli.config.values.vpn
    return Issuer(
        folder=AcmeFolder(cli.config.path.parent),
        certificate=vpn.certificate,
        private_key=vpn.private_key,
        challenges=_Challenges(cli),
        reload=lambda: _reload(cli),
        version=version("ocsentry"),
    )


class _Challenges:
    """Challenges over the API of the running server."""

    def __init__(self, cli: Invocation) -> None:
        self._cli = cli

    def put(self, name: str, key_authorization: str) -> None:
        self._cli.server.post("acme-challenges", {"name": name, "key_authorization": key_authorization})

    def remove(self, name: str) -> None:
        from ocsentry.api_client.client import ClientError

        try:
            self._cli.server.delete(f"acme-challenges/{name}")
        except ClientError as error:  # it ends by itself; the cause of an order's failure counts more
            typer.echo(f"the challenge of {name} stays for some minutes: {error}", err=True)


def _reload(cli: Invocation) -> None:
    from ocsentry.api_client.client import ClientError

    try:
        cli.server.post("reload")
    except ClientError as error:
        raise CommandError(
            f"the certificate is on disk, and `ocsentry reload` puts it in force; it says: {error}"
        ) from None


def _binding(key_id: str, file: Path | None) -> tuple[str, bytes] | None:
    from ocsentry.acme.jws import decode

    if not key_id and file is None:
        return None
    if not key_id or file is None:
        raise CommandError("--eab-key-id and --eab-key-file belong together")
    try:
        return key_id, decode(file.read_text().splitlines()[0].strip())
    except (ValueError, IndexError):
        raise CommandError(f"{file}: no base64url in its first line") from None


def _accept(url: str, *, agreed: bool) -> None:
    if agreed:
        return
    if not sys.stdin.isatty() or not typer.confirm(f"Do you agree to the terms of service at {url}?", default=False):
        raise OperatorError(f"the authority has terms of service: {url}\nTo agree to them: --agree-tos")


def _tell(cli: Invocation, issued: Issued) -> None:
    facts = issued.facts
    by = _start_timer(cli)
    document = {
        "changed": issued.changed,
        "names": facts.names,
        "not_after": facts.not_after.isoformat(),
        "renewed_by": by,
    }
    state = "in force" if issued.changed else "nothing is due"
    later = f"renewed by {by}" if by else "renewed by nothing yet; run twice a day: ocsentry cert acme --renew"
    until = f"{facts.not_after:%Y-%m-%d %H:%M} UTC"
    cli.emit(document, f"{', '.join(facts.names)}: {state}, good until {until}; {later}")


def _start_timer(cli: Invocation) -> str | None:
    """Start the package's timer, which renews for the service. ``None``: there is none, or this is another server."""
    import subprocess

    from ocsentry.setup.init import SERVICE_CONFIG

    if cli.config.path != SERVICE_CONFIG:
        return None
    command = ["systemctl", "--quiet", "enable", "--now", TIMER]
    try:
        started = subprocess.run(command, check=False, capture_output=True, timeout=SYSTEMD_TIMEOUT).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return None
    return TIMER if started else None
