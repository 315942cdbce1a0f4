# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes this server a node of its fleet, if ``[fleet]`` says so. Its modules, and the driver, are loaded only then."""

from __future__ import annotations

import hashlib
import socket
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.configuration.key_file import KEY_SIZE
from ocsentry.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from admin_api.fleet.node import FleetNode
    from admin_api.fleet.settings import FleetSettings
    from admin_api.ports import ReadinessCheck
    from admin_api.services import Services
    from admin_api.store import Store
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.runtime.live_settings import LiveSettings
    from vpn_frontend.ports import EventSink
    from vpn_frontend.server import VpnServer
    from vpn_frontend.sessions.fleet.port import Fleet

MACHINE_ID = Path("/etc/machine-id")


@asynccontextmanager
async def open_fleet(
    config: LoadedConfig,
    store: Store,
    events: EventSink,
    read_key: Callable[[Path, int], bytes],
    listener: socket.socket | None,
) -> AsyncIterator[FleetNode | None]:
    """Yields this server as a joined node; ``None`` without a fleet. ``listener``: for its peers.

    Raises ``OperatorError``.
    """
    if not config.values.fleet.name:
        yield None
        return
    from admin_api.fleet.link import LinkError  # noqa: PLC0415
    from admin_api.fleet.membership.beats import JoinRefusedError  # noqa: PLC0415
    from admin_api.fleet.node import FleetNode  # noqa: PLC0415

    node = FleetNode(config.store_url, fleet_settings(config, read_key), store, events, listener)
    try:
        await node.start()
    except JoinRefusedError as error:
        raise OperatorError(f"{config.path}: {error}") from error
    except LinkError as error:
        raise OperatorError(f"{config.path}: store.url: the fleet cannot be joined: {error}") from error
    try:
        yield node
    finally:
        await node.stop()


def fleet_settings(config: LoadedConfig, read_key: Callable[[Path, int], bytes]) -> FleetSettings:
    """What ``[fleet]`` says of this node. Raises ``OperatorError`` for a secret that cannot be used."""
    from admin_api.fleet.settings import FleetSettings  # noqa: PLC0415

    section = config.values.fleet
    peer = section.peer_url or ("" if section.peer_listen is None else f"https://{section.peer_listen}")
    return FleetSettings(
        name=section.name,
        secret=_read_secret(config, read_key),
        instance=_instance(config),
        version=version("ocsentry"),
        peer_url=peer,
        dead_after=float(section.dead_after),
        addresses=section.addresses,
        on_store_loss=section.on_store_loss,
        in_split=section.in_split,
    )


def fleet_checks(node: FleetNode | None) -> dict[str, ReadinessCheck]:
    """The readiness of this server as a node."""
    return {} if node is None else {"fleet": node.check}


def fleet_of(node: FleetNode | None) -> Fleet | None:
    """What the VPN asks of the other nodes. Its sessions go on there when this node stops."""
    return None if node is None else node.sessions.admission


def follow_fleet(node: FleetNode | None, services: Services, live: LiveSettings, vpn: VpnServer) -> None:
    """Apply what other nodes change from now on, and carry out what they ask of sessions."""
    if node is not None:
        if vpn.entrance is not None:
            node.sessions.attach(vpn.entrance, vpn.written)
        node.follow(
            enforcement=services.enforcement,
            sessions=services.sessions,
            engine=services.engine,
            settings=services.settings,
            read_settings=live.read_again,
            read_webhooks=services.webhooks.apply,
            lift=services.kernel.lift,
        )


def _read_secret(config: LoadedConfig, read_key: Callable[[Path, int], bytes]) -> bytes:
    path = config.values.fleet.secret_file
    if path is None:
        raise OperatorError(f"{config.path}: fleet.secret_file: name the file with the secret that all nodes share")
    where = f"{config.path}: fleet.secret_file: {path}"
    try:
        secret = bytes.fromhex(read_key(path, 2 * KEY_SIZE + 2).decode("ascii").strip())
    except OSError as error:
        fix = f"copy it from another node, or make it for the first: openssl rand -hex {KEY_SIZE}"
        raise OperatorError(f"{where}: cannot be read: {error.strerror or error}: {fix}") from error
    except ValueError:
        secret = b""
    if len(secret) != KEY_SIZE:
        raise OperatorError(f"{where}: not a key of {2 * KEY_SIZE} hexadecimal digits: openssl rand -hex {KEY_SIZE}")
    return secret


def _instance(config: LoadedConfig) -> str:
    """The same text after each restart of this server, and of no other one: by machine and configuration file."""
    try:
        machine = MACHINE_ID.read_text().strip()
    except OSError:
        machine = ""
    return hashlib.sha256(f"{machine} {socket.gethostname()} {config.path}".encode()).hexdigest()
