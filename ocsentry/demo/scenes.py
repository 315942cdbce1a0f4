# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo shows: connect, block, the client's end, its next attempt, the reason, unblock."""

from __future__ import annotations

import re
import secrets
import time
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address
from shutil import which
from typing import TYPE_CHECKING, Any

from ocsentry.api_client.client import ClientError
from ocsentry.demo.client import DemoClient, answers
from ocsentry.demo.network import DemoError, open_network
from ocsentry.setup.certificates import inspect_pair
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocsentry.api_client.client import ApiClient
    from ocsentry.configuration.model import LoadedConfig

USER_PREFIX = "demo-"
NOTE = "ocsentry demo"
REASON = "demo: scans"
BLOCK_TTL = 300  # seconds; the block ends by itself if the demo is killed
END_DEADLINE = 30.0  # seconds until a blocked client has ended
FAREWELL = re.compile(r"disconnect: *(?:[0-9a-f]{2} *)?'?(.*?)'?$")
PROGRAMS = {"openconnect": "openconnect", "ip": "iproute2", "ping": "iputils-ping"}


@dataclass(frozen=True, slots=True)
class Shown:
    """``milliseconds``: from the request for the block until the client had ended."""

    address: str
    ipv4: str
    milliseconds: int
    told: str
    refused_again: bool
    explanation: dict[str, Any]

    def document(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "ipv4": self.ipv4,
            "milliseconds": self.milliseconds,
            "told": self.told,
            "refused_again": self.refused_again,
            "explanation": self.explanation,
        }


def require_programs() -> None:
    """Raises ``DemoError`` with the command that installs what is missing."""
    missing = [package for program, package in PROGRAMS.items() if which(program) is None]
    if missing:
        raise DemoError(f"programs are missing: apt install {' '.join(missing)}")


def run_demo(config: LoadedConfig, api: ApiClient, tell: Callable[[str], None], pause: Callable[[], None]) -> Shown:
    """``tell`` shows a line, ``pause`` waits for the operator. Leaves nothing behind. Raises ``DemoError``."""
    with ExitStack() as made:
        network = open_network(_address_of(config))
        made.callback(network.close)
        user, password = _make_user(api, made)
        vpn = config.values.vpn
        pin = inspect_pair(vpn.certificate, vpn.private_key).pin
        connect = (network, config.vpn.listen[0].port, user, password, pin)

        client = DemoClient(*connect)
        made.callback(client.stop)
        pool = config.vpn.network.ipv4_pool
        if pool is None:
            raise DemoError("the demo needs vpn.network.ipv4_pool")
        ipv4 = client.await_tunnel(str(pool))
        gateway = str(next(pool.hosts()))
        tell(f"1  {user}, a real openconnect on a network of its own, is connected from {network.client} as {ipv4}.")
        tell(f"   ping {gateway} through the tunnel: {'answered' if answers(network, gateway) else 'no answer'}")
        pause()

        began = time.monotonic()
        block = api.post("blocks", {"cidr": str(network.client), "reason": REASON, "ttl": BLOCK_TTL})
        made.callback(_forget, api, f"blocks/{block['id']}")
        ended = client.await_end(END_DEADLINE)
        took = round((time.monotonic() - began) * 1000)
        if not ended:
            raise DemoError("the client goes on after its address was blocked")
        told = next((found[1] for line in client.lines if (found := FAREWELL.search(line))), "")
        tell(f"2  ocsentry block {network.client} --reason '{REASON}': the client ended after {took} ms. It was told:")
        tell(f"   {told or client.lines[-1]}")

        again = DemoClient(*connect)
        made.callback(again.stop)
        refused = again.await_end(END_DEADLINE) and not any("Configured as" in line for line in again.lines)
        tell(f"3  It tries again: {'refused before TLS; ' if refused else ''}{_why(again.lines)}")
        explanation = api.get("explain", address=str(network.client), event="connect")
    return Shown(str(network.client), ipv4, took, told, refused, explanation)


def _address_of(config: LoadedConfig) -> IPv4Address | None:
    """The server's IPv4 address that a client can reach; ``None``: any of this host. Raises ``DemoError``."""
    addresses = [endpoint.address for endpoint in config.vpn.listen]
    if any(address.is_unspecified for address in addresses):
        return None
    usable = [one for one in addresses if isinstance(one, IPv4Address) and not one.is_loopback]
    if not usable:
        raise DemoError("vpn.listen has no IPv4 address that a client on another network reaches")
    return usable[0]


def _make_user(api: ApiClient, made: ExitStack) -> tuple[str, str]:
    """A user for this demo alone. Those of demos that were killed are removed."""
    for row in api.items("users"):
        if row["name"].startswith(USER_PREFIX) and row.get("note") == NOTE:
            _forget(api, f"users/{row['name']}")
    name, password = f"{USER_PREFIX}{secrets.token_hex(3)}", secrets.token_urlsafe(12)
    api.post("users", {"name": name, "password": password, "note": NOTE})
    made.callback(_forget, api, f"users/{name}")
    return name, password


def _forget(api: ApiClient, resource: str) -> None:
    with suppress(ClientError):  # it may be gone already
        api.delete(resource)


def _why(lines: list[str]) -> str:
    return next((line for line in reversed(lines) if "fail" in line.lower()), lines[-1] if lines else "no word")
