# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates a server's files: configuration, key and certificate, rules, and a database with an admin token."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from admin_api.http.identity import Scope
from ocsentry.api_client.offline import OfflineClient
from ocsentry.configuration.model import load_config
from ocsentry.errors import OperatorError
from ocsentry.setup.certificates import inspect_pair, local_names, make_self_signed, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ocsentry.configuration.model import LoadedConfig

VPN_PORT = 443
DEMO_VPN_PORT = 4443
ADMIN_PORT = 8443
DEMO_ADMIN_PORT = 4444
DEMO_USER = "demo"
PASSWORD_BYTES = 12  # random bytes; 16 characters of base64


class InitError(OperatorError):
    """Nothing, or not everything, was created; the text says why."""


@dataclass(frozen=True, slots=True)
class DemoUser:
    name: str
    password: str


@dataclass(frozen=True, slots=True)
class InitResult:
    """What ``init_server`` created. ``token`` and the demo password are stored nowhere else."""

    config: LoadedConfig
    token: str
    pin: str
    user: DemoUser | None

    def document(self) -> dict[str, Any]:
        user = None if self.user is None else {"name": self.user.name, "password": self.user.password}
        return {"config": str(self.config.path), "token": self.token, "pin": self.pin, "user": user}


def init_server(
    directory: Path, *, names: Iterable[str] = (), port: int | None = None, demo: bool = False
) -> InitResult:
    """Create a server in ``directory``. Raises ``InitError``; never changes an existing file."""
    directory = directory.absolute()
    listen_port = port or (DEMO_VPN_PORT if demo else VPN_PORT)
    try:
        _write_files(directory, listen_port, demo=demo)
        make_self_signed(
            directory / "server.crt", directory / "server.key", dict.fromkeys([*names, *local_names()]), utc_now()
        )
    except FileExistsError as error:
        raise InitError(f"{error.filename} exists already; name another folder with --dir") from None
    except OSError as error:
        raise InitError(f"{error.filename or directory}: {error.strerror}") from None
    config = load_config(directory / "ocsentry.toml")
    user = DemoUser(DEMO_USER, secrets.token_urlsafe(PASSWORD_BYTES)) if demo else None
    token = _fill_store(config, user)
    pin = inspect_pair(config.values.vpn.certificate, config.values.vpn.private_key).pin
    return InitResult(config, token, pin, user)


def _write_files(directory: Path, port: int, *, demo: bool) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    starter = files("ocsentry") / "starter"
    values = {
        "LISTEN": f"*:{port}",
        "ADMIN": f"127.0.0.1:{DEMO_ADMIN_PORT if demo else ADMIN_PORT}",
        "DEVICE": "ocsdemo0" if demo else "ocs0",
    }
    text = (starter / "ocsentry.toml").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    _write_new(directory / "ocsentry.toml", text)
    (directory / "rules").mkdir(exist_ok=True)
    for rule_file in sorted((starter / "rules").iterdir(), key=lambda file: file.name):
        _write_new(directory / "rules" / rule_file.name, rule_file.read_text())


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)


def _fill_store(config: LoadedConfig, user: DemoUser | None) -> str:
    api = OfflineClient(config)
    if user is not None:
        api.post("users", {"name": user.name, "password": user.password, "note": "demo"})
    return str(api.post("tokens", {"name": "init", "scopes": [scope.value for scope in Scope]})["token"])


def connect_command(made: InitResult, host: str) -> str:
    """Returns the command that connects a stock client. The password is piped, so the process list does not show it."""
    if made.user is None:
        raise ValueError("only a demo server has a user")
    port = made.config.vpn.listen[0].port
    return (
        f"echo '{made.user.password}' | openconnect --user={made.user.name} --passwd-on-stdin "
        f"--servercert {made.pin} https://{host}:{port}"
    )


def render_init_result(made: InitResult) -> str:
    """Returns the text that ``init`` prints."""
    path = made.config.path
    facts = [
        f"configuration    {path}",
        f"certificate pin  {made.pin}",
        f"API token        {made.token}    (shown only once)",
    ]
    if made.user is not None:
        return "\n".join([*facts, "", "connect, as root:", f"  {connect_command(made, '127.0.0.1')}"])
    steps = [f"ocsentry user add NAME --config {path}", f"ocsentry serve --config {path}"]
    return "\n".join([*facts, "", "next:", *(f"  {step}" for step in steps)])
