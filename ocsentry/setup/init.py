# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates a server's files: configuration, key and certificate, rules, and a database with an admin token."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from admin_api.http.identity import Scope
from ocsentry.api_client.offline import OfflineClient
from ocsentry.configuration.model import load_config
from ocsentry.errors import OperatorError
from ocsentry.setup import host_network
from ocsentry.setup.certificates import inspect_pair, local_names, make_self_signed, utc_now
from ocsentry.setup.client_traffic import ClientTraffic
from ocsentry.setup.layout import Layout
from sentry_engine.records import dataclass
from vpn_frontend.gateway.tun import ipv6_is_off

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ocsentry.configuration.model import LoadedConfig

VPN_PORT = 443
DEMO_VPN_PORT = 4443
ADMIN_PORT = 8443
DEMO_ADMIN_PORT = 4444
DEMO_USER = "demo"
CONFIG_FILE = "ocsentry.toml"
SERVICE_CONFIG = Path("/etc/ocsentry") / CONFIG_FILE
REACHES_SERVER = ClientTraffic()
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
    names: tuple[str, ...] = ()  # as asked for
    email: str = ""
    notes: tuple[str, ...] = ()  # what was set up beside the files, or is left to do

    def document(self) -> dict[str, Any]:
        user = None if self.user is None else {"name": self.user.name, "password": self.user.password}
        return {
            "config": str(self.config.path),
            "token": self.token,
            "pin": self.pin,
            "user": user,
            "email": self.email or None,
            "notes": list(self.notes),
        }


def init_server(
    directory: Path | Layout,
    *,
    names: Iterable[str] = (),
    port: int | None = None,
    demo: bool = False,
    email: str = "",
    traffic: ClientTraffic = REACHES_SERVER,
) -> InitResult:
    """Create a server in ``directory``. Raises ``InitError``; never changes an existing file.

    ``email`` is told to be the contact of `cert acme`, whose state the caller writes.
    For a service, a layout with a user, the host's network is set up too if ``traffic`` needs it.
    """
    layout = directory if isinstance(directory, Layout) else Layout.single(directory.absolute())
    folder = layout.folder
    asked = tuple(names)
    listen_port = port or (DEMO_VPN_PORT if demo else VPN_PORT)
    try:
        made = _write_files(layout, listen_port, traffic, demo=demo)
        make_self_signed(
            folder / "server.crt", folder / "server.key", dict.fromkeys([*asked, *local_names()]), utc_now()
        )
    except FileExistsError as error:
        raise InitError(f"{error.filename} exists already; name another folder with --dir") from None
    except OSError as error:
        raise InitError(f"{error.filename or folder}: {error.strerror}") from None
    config = load_config(folder / CONFIG_FILE)
    user = DemoUser(DEMO_USER, secrets.token_urlsafe(PASSWORD_BYTES)) if demo else None
    token = _fill_store(config, user)
    notes = () if demo else tuple(_set_up_network(config, layout, traffic))
    layout.give([*made, *(folder / name for name in ("server.crt", "server.key"))])
    pin = inspect_pair(config.values.vpn.certificate, config.values.vpn.private_key).pin
    return InitResult(config, token, pin, user, asked, email, notes)


def _write_files(layout: Layout, port: int, traffic: ClientTraffic, *, demo: bool) -> list[Path]:
    """Returns the files and folders that were written."""
    layout.make_folders()
    starter = files("ocsentry") / "starter"
    device = "ocsdemo0" if demo else "ocs0"
    values = {
        "LISTEN": f"*:{port}",
        "ADMIN": f"127.0.0.1:{DEMO_ADMIN_PORT if demo else ADMIN_PORT}",
        "DEVICE": device,
        **traffic.settings(ipv6=not ipv6_is_off(device)),
        **layout.settings(),
    }
    text = (starter / CONFIG_FILE).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    _write_new(layout.folder / CONFIG_FILE, text)
    rules = layout.folder / "rules"
    rules.mkdir(exist_ok=True)
    made = [layout.folder / CONFIG_FILE, rules]
    for rule_file in sorted((starter / "rules").iterdir(), key=lambda file: file.name):
        made.append(rules / rule_file.name)
        _write_new(made[-1], rule_file.read_text())
    return made


def _set_up_network(config: LoadedConfig, layout: Layout, traffic: ClientTraffic) -> Iterator[str]:
    """Yields what was done, or what is left to do."""
    if not traffic.needs_forwarding:
        yield "clients reach this server alone: see vpn.network.routes, or `init --full-tunnel`, `init --lan NETWORK`"
        return
    if traffic.full_tunnel and not traffic.dns:
        yield "name servers for clients: none was found; set vpn.network.dns"
    if not layout.user:
        yield f"forwarding and address translation, as root: ocsentry network up --config {config.path}"
        return
    try:
        host_network.load_rules(config)
        host_network.forward(config)
    except host_network.NetworkError as error:
        yield f"forwarding is not set up: {error}; then: ocsentry network up"
    else:
        yield f"forwarding and address translation: {host_network.rules_file(config)}, {host_network.SYSCTL_FILE}"


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


def _program() -> str:
    """This program as the caller's shell finds it: in an environment that is not active by its path."""
    return "ocsentry" if shutil.which("ocsentry") else shlex.quote(str(Path(sys.argv[0]).absolute()))


def render_init_result(made: InitResult) -> str:
    """Returns the text that ``init`` prints."""
    path = made.config.path
    facts = [
        f"configuration    {path}",
        f"certificate pin  {made.pin}",
        f"API token        {made.token}" + ("    (shown only once)" if made.user is None else ""),
    ]
    if made.user is not None:
        host = "ADDRESS-OF-THIS-MACHINE"
        return "\n".join(
            [
                *facts,
                "",
                "see a client blocked, as root on this machine:",
                f"  {_program()} demo --config {path}",
                "connect, as root on another machine:",
                f"  {connect_command(made, host)}",
            ]
        )
    steps = [f"ocsentry user add NAME --config {path}", f"ocsentry serve --config {path}"]
    if path == SERVICE_CONFIG:
        steps = ["ocsentry user add NAME", "systemctl enable --now ocsentry"]
    if made.email:
        named = "".join(f" --name {name}" for name in made.names)
        steps.append(f"ocsentry cert acme{named}" + ("" if path == SERVICE_CONFIG else f" --config {path}"))
    return "\n".join([*facts, *made.notes, "", "next:", *(f"  {step}" for step in steps)])
