# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal keeps of an open session, so that a later process can give it back to its client.

The text holds the digest of the cookie, never the cookie. Settings are not in it: they are resolved again from user and
groups. What an outside server or a file said of the user at the login is in it, because nothing tells it again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING

from vpn_frontend.ports import Device, RemoteLogin, UserRecord, VpnEvent
from vpn_frontend.sessions.address_pool import InnerAddresses
from vpn_frontend.sessions.cookies import DIGEST_SIZE
from vpn_frontend.sessions.persistence.plain_values import from_plain, to_plain

if TYPE_CHECKING:
    from typing import Any

    from vpn_frontend.ports import EventSink
    from vpn_frontend.sessions.session import Session
    from vpn_frontend.settings import Address

VERSION = 1
MAX_TEXT = 1 << 20  # characters; settings of one user
_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps makes an encoder for each call


class ResumptionError(ValueError):
    """The text is none of this version."""


@dataclass(slots=True)
class Resumption:
    """One open session. ``user`` is whole for users of outside servers and of files; else name and groups count."""

    id: str
    number: int
    digest: bytes
    host: str
    user: UserRecord
    kept_user: bool  # the directory may not know all of ``user``
    groups: tuple[str, ...]
    device: Device
    remote: RemoteLogin | None
    certificate_digest: bytes
    strap_keys: tuple[bytes, ...]
    login_at: float  # CLOCK_MONOTONIC
    logged_in_at: datetime
    started_at: datetime
    login_address: Address | None
    address: Address  # of the client on its last channel
    port: int
    local_address: Address | None
    local_port: int
    tls_version: str
    cipher: str
    user_agent: str
    hostname: str
    addresses: InnerAddresses
    mtu: int
    dpd: int
    mobile: bool
    hooked: bool


def render_resumption(session: Session) -> str:
    """Requires a session with a tunnel. Raises ``TypeError`` for settings that cannot be kept."""
    peer, addresses, user = session.peer, session.addresses, session.user
    if peer is None or addresses is None:
        raise ValueError(f"session {session.id} never had a tunnel")
    kept = user.external or bool(user.file_layers)
    document: dict[str, Any] = {
        "version": VERSION,
        "number": session.number,
        "digest": session.digest.hex(),
        "host": session.host,
        "user": user.name,
        "user_groups": user.groups,
        "groups": session.groups,
        "login_at": session.login_at,
        "logged_in_at": session.logged_in_at.isoformat(),
        "started_at": session.started_at.isoformat(),
        "login_address": _text(session.login_address),
        "address": str(peer.address),
        "port": peer.port,
        "local_address": _text(peer.local_address),
        "local_port": peer.local_port,
        "tls_version": peer.tls_version,
        "cipher": peer.cipher,
        "user_agent": session.user_agent,
        "hostname": session.hostname,
        "ipv4": _text(addresses.ipv4),
        "ipv6": _text(addresses.ipv6),
        "mtu": session.mtu,
        "dpd": session.dpd,
        "mobile": session.mobile,
        "hooked": session.hooked,
    }
    if kept:
        document["record"] = to_plain(replace(user, password_hash=None))
    if session.remote is not None:
        document["remote"] = to_plain(session.remote)
    if session.device != _NO_DEVICE:
        document["device"] = to_plain(session.device)
    if session.certificate_digest:
        document["certificate_digest"] = session.certificate_digest.hex()
    if session.strap_keys:
        document["strap_keys"] = [key.hex() for key in session.strap_keys]
    return _encode(document)


def resumption_of(session: Session, events: EventSink) -> str:
    """``render_resumption``; empty for a session that no later process can give back."""
    try:
        return render_resumption(session)
    except TypeError as error:  # of settings from outside: the session itself is none the worse
        events.emit(VpnEvent.BACKEND_FAILED, what="keeping a session", error=repr(error))
        return ""


def parse_resumption(session_id: str, text: str) -> Resumption:
    """Raises ``ResumptionError``."""
    if len(text) > MAX_TEXT:
        raise ResumptionError("it is too long")
    try:
        return _read(session_id, json.loads(text))
    except ResumptionError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ResumptionError(f"{type(error).__name__}: {error}") from error


def _read(session_id: str, document: dict[str, Any]) -> Resumption:
    if document["version"] != VERSION:
        raise ResumptionError(f"it is of version {document['version']!r}, not {VERSION}")
    record, remote = from_plain(document.get("record")), from_plain(document.get("remote"))
    device = from_plain(document.get("device"))
    ipv4, ipv6 = _address(document["ipv4"], 4), _address(document["ipv6"], 6)
    found = Resumption(
        id=session_id,
        number=int(document["number"]),
        digest=bytes.fromhex(document["digest"]),
        host=str(document["host"]),
        user=record or UserRecord(str(document["user"]), groups=_names(document["user_groups"])),
        kept_user=record is not None,
        groups=_names(document["groups"]),
        device=device or _NO_DEVICE,
        remote=remote,
        certificate_digest=bytes.fromhex(document.get("certificate_digest", "")),
        strap_keys=tuple(bytes.fromhex(key) for key in document.get("strap_keys", ())),
        login_at=float(document["login_at"]),
        logged_in_at=_moment(document["logged_in_at"]),
        started_at=_moment(document["started_at"]),
        login_address=_address(document["login_address"]),
        address=ip_address(document["address"]),
        port=int(document["port"]),
        local_address=_address(document["local_address"]),
        local_port=int(document["local_port"]),
        tls_version=str(document["tls_version"]),
        cipher=str(document["cipher"]),
        user_agent=str(document["user_agent"]),
        hostname=str(document["hostname"]),
        addresses=InnerAddresses(ipv4, ipv6),  # type: ignore[arg-type]  # of these families, see _address
        mtu=int(document["mtu"]),
        dpd=int(document["dpd"]),
        mobile=document["mobile"] is True,
        hooked=document["hooked"] is True,
    )
    if len(found.digest) != DIGEST_SIZE or found.number < 1 or found.mtu < 1 or found.dpd < 0:
        raise ResumptionError("a value is out of range")
    if (ipv4 is None and ipv6 is None) or not isinstance(found.user, UserRecord) or not found.user.name:
        raise ResumptionError("it has no inner address, or no user")
    if not isinstance(remote, RemoteLogin | None) or not isinstance(found.device, Device):
        raise ResumptionError("a part of it is of another kind")
    return found


_NO_DEVICE = Device()


def _text(address: Address | None) -> str | None:
    return None if address is None else str(address)


def _address(text: str | None, version: int | None = None) -> Address | None:
    if text is None:
        return None
    address = ip_address(str(text))
    if version not in (None, address.version):
        raise ResumptionError(f"{address} is of the other family")
    return address


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ResumptionError("a time has no zone")
    return moment


def _names(values: list[str]) -> tuple[str, ...]:
    return tuple(map(str, values))
