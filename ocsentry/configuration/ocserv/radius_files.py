# SPDX-License-Identifier: GPL-3.0-or-later
"""radcli's files, which ``radius[config=FILE]`` names: servers, their secrets, timeouts.

``FILE`` has lines of ``key value``: ``authserver HOST[:PORT[:SECRET]]``, several separated by commas; ``acctserver``
likewise; ``servers FILE`` with lines of ``HOST SECRET``; ``radius_timeout``, ``radius_retries``, ``default_realm``.
"""

from __future__ import annotations

from dataclasses import field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

LOGIN_PORT, ACCOUNTING_PORT = 1812, 1813
MAX_PORT = 65_535


class RadiusFileError(ValueError):
    """A file that cannot be used; the text names it."""


@dataclass(frozen=True, slots=True)
class NamedServer:
    """``address`` is ``ADDRESS:PORT``."""

    address: str
    accounting: str
    secret: bytes


@dataclass(slots=True)
class RadiusFile:
    servers: list[NamedServer] = field(default_factory=list)
    timeout: int | None = None
    retries: int | None = None
    dead_time: int | None = None
    default_realm: str = ""
    ignored: list[str] = field(default_factory=list)  # keys without effect


KNOWN = frozenset(
    {"authserver", "acctserver", "servers", "radius_timeout", "radius_retries", "radius_deadtime", "default_realm"}
)
WITHOUT_EFFECT = frozenset(
    {"dictionary", "seqfile", "mapfile", "login_tries", "login_timeout", "nologin", "issue", "auth_order"}
)


def read_radius_file(
    path: Path, read: Callable[[Path], bytes], resolve: Callable[[str], tuple[str, ...]]
) -> RadiusFile:
    """Raises ``RadiusFileError``."""
    values = dict(_lines(path, read))
    file = RadiusFile(
        ignored=sorted(set(values) - KNOWN - WITHOUT_EFFECT), default_realm=values.get("default_realm", "")
    )
    numbers = ("radius_timeout", "radius_retries", "radius_deadtime")
    file.timeout, file.retries, file.dead_time = (_number(path, values, key) for key in numbers)
    named = Path(values["servers"]) if "servers" in values else None
    secrets = {}
    if named is not None:
        named = named if named.is_absolute() or not (path.parent / named).exists() else path.parent / named
        # A line names a server, or a pair of client and server.
        secrets = {host: secret for names, secret in _lines(named, read) for host in names.split("/")}
    accounting = [_server(path, text, ACCOUNTING_PORT) for text in _listed(values.get("acctserver", ""))]
    for number, text in enumerate(_listed(values.get("authserver", ""))):
        host, port, secret = _server(path, text, LOGIN_PORT)
        secret = secret or secrets.get(host, "")
        if not secret:
            raise RadiusFileError(f"{path}: server {host} has no secret{f' in {named}' if named else ''}")
        other = accounting[number] if number < len(accounting) else (host, ACCOUNTING_PORT, "")
        login, account = _address(path, host, resolve), _address(path, other[0], resolve)
        file.servers.append(NamedServer(_endpoint(login, port), _endpoint(account, other[1]), secret.encode()))
    if not file.servers:
        raise RadiusFileError(f"{path}: authserver names no server")
    return file


def _lines(path: Path, read: Callable[[Path], bytes]) -> list[tuple[str, str]]:
    try:
        text = read(path).decode()
    except OSError as error:
        raise RadiusFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise RadiusFileError(f"{path}: is not UTF-8") from None
    found = []
    for line in text.splitlines():
        words = line.split(maxsplit=1)
        if words and not words[0].startswith("#"):
            found.append((words[0], words[1].strip() if len(words) > 1 else ""))
    return found


def _listed(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _number(path: Path, values: dict[str, str], key: str) -> int | None:
    text = values.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise RadiusFileError(f"{path}: {key}: {text!r} is not a number")
    return int(text)


def _server(path: Path, text: str, default: int) -> tuple[str, int, str]:
    """``HOST``, ``HOST:PORT`` or ``HOST:PORT:SECRET``; IPv6 in brackets."""
    host, rest = text, ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        rest = rest.removeprefix(":")
    elif text.count(":") in (1, 2):
        host, _, rest = text.partition(":")
    port, _, secret = rest.partition(":")
    if port and not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= MAX_PORT):
        raise RadiusFileError(f"{path}: the port of server {host} is not one")  # it may be a secret
    return host, int(port) if port else default, secret


def _address(path: Path, host: str, resolve: Callable[[str], tuple[str, ...]]) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        found = resolve(host)
        return next((address for address in found if "." in address), found[0])  # as most servers listen
    except (OSError, IndexError):
        raise RadiusFileError(f"{path}: {host!r} has no address") from None


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
