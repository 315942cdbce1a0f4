# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal keeps of an open session, so that a later process can give it back to its client.

The text holds what the session's own row does not (``ports.SESSION_ROW``), and of that only what is not the usual. It
holds the digest of the cookie, never the cookie. Settings are not in it: they are resolved again from user and groups.
What an outside server or a file said of the user at the login is in it, because nothing tells it again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from ipaddress import ip_address
from operator import attrgetter
from typing import TYPE_CHECKING

from sentry_engine.addresses import show_address
from sentry_engine.records import dataclass
from vpn_frontend.ports import NO_DEVICE, Device, RemoteLogin, UserRecord
from vpn_frontend.sessions.addresses.pool import InnerAddresses
from vpn_frontend.sessions.cookies import DIGEST_SIZE
from vpn_frontend.sessions.persistence.plain_values import from_plain, to_plain
from vpn_frontend.sessions.session import ToldUsage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from vpn_frontend.ports import SessionView
    from vpn_frontend.sessions.session import Peer, Session
    from vpn_frontend.settings import Address

VERSION = 2
WHOLE_VERSION = 1  # repeats its row; read until the client has another channel
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
    told: ToldUsage | None


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class ResumptionDraft:
    """A copy of what ``render`` needs. Most short sessions have ended before the journal asks for the text."""

    view: SessionView
    changed: bool  # the row holds the user agent, host name and groups of an earlier channel
    user: UserRecord
    peer: Peer
    digest: bytes
    login_at: float
    login_address: Address | None
    hostname: str
    certificate_digest: bytes
    strap_keys: tuple[bytes, ...]
    mobile: bool
    hooked: bool
    told: ToldUsage | None

    def render(self) -> str:
        """Raises ``TypeError`` for settings that cannot be kept."""
        view, user, peer = self.view, self.user, self.peer
        # Written without the encoder, which costs several times as much: numbers, and texts without escapes.
        usual = (
            f'{{"version":{VERSION},"number":{view.number},"digest":"{self.digest.hex()}","login_at":{self.login_at!r},'
            f'"logged_in_at":"{view.logged_in_at.isoformat()}","mtu":{view.mtu},"dpd":{view.dpd}}}'
        )
        document: dict[str, Any] = {}
        if self.login_address is not None:
            document["login_address"] = show_address(self.login_address)
        if peer.local_address is not None:
            document["local_address"], document["local_port"] = show_address(peer.local_address), peer.local_port
        if user.groups != view.groups:
            document["user_groups"] = user.groups
        if self.changed or self.hostname != view.hostname:
            document["hostname"] = self.hostname
        if self.changed:
            document["user_agent"], document["groups"] = view.user_agent, view.groups
        if user.external or user.file_layers:
            document["record"] = to_plain(replace(user, password_hash=None))
        if view.remote is not None:
            document["remote"] = to_plain(view.remote)
        if view.device != NO_DEVICE:
            document["device"] = _device_fields(view.device)
        document |= self._marks()
        return f"{usual[:-1]},{_encode(document)[1:]}" if document else usual

    def _marks(self) -> dict[str, Any]:
        """What few sessions have."""
        marks = {
            "host": self.view.host,
            "certificate_digest": self.certificate_digest.hex(),
            "strap_keys": [key.hex() for key in self.strap_keys],
            "mobile": self.mobile,
            "hooked": self.hooked,
            "told": self.told and (self.told.rx_bytes, self.told.tx_bytes, self.told.at.isoformat()),
        }
        return {name: value for name, value in marks.items() if value}


def draft_resumption(session: Session, view: SessionView, *, changed: bool = False) -> ResumptionDraft:
    """``view`` is the session's of now. Raises ``ValueError`` if it never had a tunnel."""
    if session.peer is None:
        raise ValueError(f"session {session.id} never had a tunnel")
    return ResumptionDraft(
        view,
        changed,
        session.user,
        session.peer,
        session.digest,
        session.login_at,
        session.login_address,
        session.hostname,
        session.certificate_digest,
        session.strap_keys,
        session.mobile,
        session.hooked,
        session.told,
    )


def parse_resumption(session_id: str, text: str, row: Mapping[str, Any]) -> Resumption:
    """``row`` has the values of ``ports.SESSION_ROW``. Raises ``ResumptionError``."""
    if len(text) > MAX_TEXT:
        raise ResumptionError("it is too long")
    try:
        return _read(session_id, {**_USUAL, **row, **json.loads(text)})
    except ResumptionError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ResumptionError(f"{type(error).__name__}: {error}") from error


def _read(session_id: str, document: dict[str, Any]) -> Resumption:
    if document["version"] not in (VERSION, WHOLE_VERSION):
        raise ResumptionError(f"it is of version {document['version']!r}, not {VERSION}")
    record, remote = from_plain(document.get("record")), from_plain(document.get("remote"))
    ipv4, ipv6 = _address(document["ipv4"], 4), _address(document["ipv6"], 6)
    user_groups = document.get("user_groups", document["groups"])
    found = Resumption(
        id=session_id,
        number=int(document["number"]),
        digest=bytes.fromhex(document["digest"]),
        host=str(document["host"]),
        user=record or UserRecord(str(document["user"]), groups=_names(user_groups)),
        kept_user=record is not None,
        groups=_names(document["groups"]),
        device=_device(document.get("device")),
        remote=remote,
        certificate_digest=bytes.fromhex(document["certificate_digest"]),
        strap_keys=tuple(bytes.fromhex(key) for key in document["strap_keys"]),
        login_at=float(document["login_at"]),
        logged_in_at=_moment(document["logged_in_at"]),
        started_at=_moment(document["started_at"]),
        login_address=_address(document["login_address"]),
        address=ip_address(str(document["address"])),
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
        told=_told(document["told"]),
    )
    if len(found.digest) != DIGEST_SIZE or found.number < 1 or found.mtu < 1 or found.dpd < 0:
        raise ResumptionError("a value is out of range")
    if (ipv4 is None and ipv6 is None) or not isinstance(found.user, UserRecord) or not found.user.name:
        raise ResumptionError("it has no inner address, or no user")
    if not isinstance(remote, RemoteLogin | None):
        raise ResumptionError("a part of it is of another kind")
    return found


_USUAL: dict[str, Any] = {
    "host": "",
    "certificate_digest": "",
    "strap_keys": (),
    "mobile": False,
    "hooked": False,
    "told": None,
    "login_address": None,
    "local_address": None,
    "local_port": 0,
}
_device_fields = attrgetter("name", "platform", "platform_version", "kind", "unique_id")


def _device(value: Any) -> Device:  # noqa: ANN401 - of JSON
    if value is None:
        return NO_DEVICE
    found = Device(*value) if isinstance(value, list) else from_plain(value)
    if not isinstance(found, Device) or not all(isinstance(text, str) for text in _device_fields(found)):
        raise ResumptionError("its device is of another kind")
    return found


def _address(text: object, version: int | None = None) -> Address | None:
    if text is None:
        return None
    address = ip_address(str(text))
    if version not in (None, address.version):
        raise ResumptionError(f"{address} is of the other family")
    return address


def _told(value: list[Any] | None) -> ToldUsage | None:
    return None if value is None else ToldUsage(int(value[0]), int(value[1]), _moment(value[2]))


def _moment(value: str | datetime) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ResumptionError("a time has no zone")
    return moment


def _names(values: list[str]) -> tuple[str, ...]:
    return tuple(map(str, values))
