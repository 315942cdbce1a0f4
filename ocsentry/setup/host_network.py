# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets the host up to carry packets of clients: forwarding, address translation, and protection from other hosts.

Both are kept over a restart of the host: forwarding in a file of sysctl.d(5), the packet rules in a file beside the
configuration, which ``ocsentry-network.service`` loads. The rules are one nftables table for both families.
"""

from __future__ import annotations

import subprocess
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocsentry.configuration.model import LoadedConfig
    from vpn_frontend.settings import Network

TABLE = "ocsentry_clients"
RULES_FILE = "network.nft"  # beside the configuration
SYSCTL_FILE = Path("/etc/sysctl.d/60-ocsentry.conf")
ROUTES6 = Path("/proc/net/ipv6_route")
RTF_DEFAULT_BY_RA = 0x0004_0000 | 0x0001_0000  # linux/ipv6_route.h: RTF_ADDRCONF, RTF_DEFAULT
NO_NETWORK = "0" * 32
DEADLINE = 20.0  # seconds for nft or sysctl


class NetworkError(OperatorError):
    """The host's network could not be set up. The text names the program and what it said."""


def rules_file(config: LoadedConfig) -> Path:
    return config.path.parent / RULES_FILE


def render_rules(config: LoadedConfig) -> str:
    """Returns the packet rules for the device and all pools of ``config``, for nft."""
    vpn = config.vpn
    pools = [pool for pool in (vpn.network.ipv4_pool, vpn.network.ipv6_pool, *vpn.more_pools()) if pool is not None]
    text = (files("ocsentry") / "starter" / RULES_FILE).read_text()
    text = text.replace("@DEVICE@", vpn.network.device)
    for family in (4, 6):
        text = text.replace(f"@POOLS{family}@", _elements(pool for pool in pools if pool.version == family))
    return text


def _elements(pools: Iterable[Network]) -> str:
    listed = ", ".join(map(str, pools))
    return f"elements = {{ {listed} }}" if listed else "# no pool of this family"


def render_forwarding(config: LoadedConfig) -> str:
    """Returns the settings for sysctl.d that forward packets of the families with a pool."""
    network = config.vpn.network
    lines = ["# Written by ocsentry: packets of VPN clients are forwarded."]
    if network.ipv4_pool is not None:
        lines.append("net.ipv4.ip_forward = 1")
    if network.ipv6_pool is not None:
        # A host that forwards ignores router advertisements, and loses a default route that it has from them.
        lines += [f"net.ipv6.conf.{device}.accept_ra = 2" for device in advertised_devices()]
        lines.append("net.ipv6.conf.all.forwarding = 1")
    return "\n".join(lines) + "\n"


def advertised_devices() -> list[str]:
    """Returns the devices over which this host has a default IPv6 route from router advertisements."""
    try:
        rows = [line.split() for line in ROUTES6.read_text().splitlines()]
    except OSError:
        return []  # the kernel has no IPv6
    found = [row[9] for row in rows if row[0] == NO_NETWORK and row[1] == "00" and _is_advertised(int(row[8], 16))]
    return list(dict.fromkeys(found))


def _is_advertised(flags: int) -> bool:
    return flags & RTF_DEFAULT_BY_RA == RTF_DEFAULT_BY_RA


def load_rules(config: LoadedConfig, *, rewrite: bool = False) -> Path:
    """Put the packet rules in force, from their file, which is written if it is missing. Raises ``NetworkError``."""
    file = rules_file(config)
    if rewrite or not file.exists():
        file.write_text(render_rules(config))
    _run("nft", "-f", str(file))
    return file


def remove_rules() -> None:
    """Remove the table. Does nothing if it is not there."""
    text = f"table inet {TABLE}\ndelete table inet {TABLE}\n"
    _run("nft", "-f", "-", stdin=text)


def forward(config: LoadedConfig) -> None:
    """Forward packets of clients, now and after a restart of the host. Raises ``NetworkError``."""
    file = SYSCTL_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(render_forwarding(config))
    file.chmod(0o644)
    _run("sysctl", "-q", "-p", str(file))


def _run(*command: str, stdin: str | None = None) -> None:
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=DEADLINE, check=False)
    except FileNotFoundError:
        package = {"nft": "nftables", "sysctl": "procps"}[command[0]]
        raise NetworkError(f"the program {command[0]} is missing: apt-get install -y {package}") from None
    except subprocess.TimeoutExpired:
        raise NetworkError(f"{command[0]} does not answer") from None
    if done.returncode:
        raise NetworkError(f"{' '.join(command)}: {' '.join(done.stderr.split())}")
