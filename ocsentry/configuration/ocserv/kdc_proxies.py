# SPDX-License-Identifier: GPL-3.0-or-later
"""``kkdcp = PATH REALM PROTOCOL@SERVER:PORT``: Kerberos KDCs that clients reach without a tunnel."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocsentry.configuration.ocserv.target import Target
    from vpn_frontend.ocserv.grammar import Entry

FORM = "write PATH REALM tcp@SERVER:PORT"


def read_kdcs(target: Target, entries: tuple[Entry, ...]) -> None:
    """Sets ``vpn.kdc_proxy``. A server's name is looked up at the start."""
    found = [one for entry in entries if (one := _read(target, entry)) is not None]
    if found:
        target.set("vpn.kdc_proxy", found, entries[-1])


def _read(target: Target, entry: Entry) -> dict[str, str] | None:
    """One line; ``None``: it was refused."""
    words = entry.value.split()
    path, realm, place = words if len(words) == 3 else ("", "", "")
    protocol, _, server = place.partition("@")
    host, _, port = server.rpartition(":")
    if protocol not in ("tcp", "udp") or not host or not port.isdigit() or not path.startswith("/"):
        target.refuse(entry, f"{entry.value!r} names no KDC: {FORM}")
        return None
    if protocol == "udp":
        target.differs(entry, f"{server} is asked over TCP")
    try:
        address = _find(target, host.strip("[]"))
    except (OSError, IndexError) as error:
        target.refuse(entry, f"{host} cannot be found: {error}")
        return None
    return {"path": path, "realm": realm, "server": f"[{address}]:{port}" if ":" in address else f"{address}:{port}"}


def _find(target: Target, host: str) -> str:
    """The host's first address. Raises ``OSError``, or ``IndexError`` if it has none."""
    try:
        return str(ip_address(host))
    except ValueError:
        return target.around.resolve(host)[0]
