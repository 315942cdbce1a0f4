# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of VPN users, and the ``UserRecord`` that the VPN reads."""

from __future__ import annotations

import unicodedata
from dataclasses import field
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from admin_api.session_settings.overrides import read_user_settings
from admin_api.store.tables import Membership, User
from sentry_engine.records import dataclass
from vpn_frontend.auth.password.hash_cost import OWN_SCHEME, scheme_of
from vpn_frontend.ports import UserRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.clock import Clock
    from admin_api.store.change_log import ChangeLog

MAX_SAMPLED = 10_000  # imported users whose hashes are looked at when the server starts


@dataclass(frozen=True, slots=True)
class UserAttributes:
    """What an operator sets, except name and password."""

    groups: tuple[str, ...] = ()
    enabled: bool = True
    max_same_clients: int | None = None
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None
    expires_at: datetime | None = None
    note: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)  # a document that ``read_user_settings`` reads


def fold_name(name: str) -> str:
    """Returns the comparison key of a user name (RFC 8265, 3.3, UsernameCaseMapped)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).lower())


def as_record(user: User) -> UserRecord:
    """Returns the user as the VPN knows it."""
    return UserRecord(
        name=user.name,
        password_hash=user.password_hash,
        groups=user.groups,
        enabled=user.enabled,
        max_same_clients=user.max_same_clients,
        ipv4=None if user.ipv4 is None else IPv4Address(user.ipv4),
        ipv6=None if user.ipv6 is None else IPv6Address(user.ipv6),
        expires_at=user.expires_at,
        overrides=read_user_settings(user.settings),
    )


class UserRepository:
    """Adds, reads and removes users."""

    def __init__(self, session: AsyncSession, clock: Clock, changes: ChangeLog) -> None:
        self._session = session
        self._clock = clock
        self._changes = changes
        self.changed = False  # this unit of work has changed a user

    async def add(self, name: str, password_hash: str, attributes: UserAttributes) -> User:
        now = self._clock.wall()
        user = User(
            key=fold_name(name), name=name, password_hash=password_hash, created_at=now, updated_at=now, version=1
        )
        self._assign(user, attributes)
        self._session.add(user)
        await self._flush(user, user.groups)
        return user

    async def replace(self, user: User, attributes: UserAttributes, password_hash: str | None = None) -> None:
        before = user.groups
        self._assign(user, attributes)
        if password_hash is not None:
            user.password_hash = password_hash
        user.updated_at = self._clock.wall()
        user.version += 1
        await self._flush(user, before, ends=password_hash is not None)

    def preview(self, user: User, attributes: UserAttributes) -> None:
        """Change the loaded row and write nothing: a dry run takes no lock of the database."""
        with self._session.no_autoflush:
            self._assign(user, attributes)

    async def get(self, name: str) -> User | None:
        return await self._session.scalar(select(User).where(User.key == fold_name(name)))

    async def record(self, name: str) -> UserRecord | None:
        user = await self.get(name)
        return None if user is None else as_record(user)

    async def hash_samples(self) -> Sequence[str]:
        """One password hash of each scheme that users have, except that of our own hashes."""
        foreign = ~User.password_hash.startswith(OWN_SCHEME, autoescape=True)
        hashes = await self._session.stream_scalars(select(User.password_hash).where(foreign).limit(MAX_SAMPLED))
        found: dict[str | None, str] = {}
        async for encoded in hashes:
            found.setdefault(scheme_of(encoded), encoded)
        return [*found.values()]

    async def with_address(self, ipv4: IPv4Address | None, ipv6: IPv6Address | None) -> Sequence[User]:
        """Returns the users that hold one of these inner addresses."""
        wanted = [(User.ipv4, ipv4), (User.ipv6, ipv6)]
        found: list[User] = []
        for column, address in wanted:
            if address is not None:
                found += await self._session.scalars(select(User).where(column == str(address)))
        return found

    async def page(
        self,
        *,
        after: str | None,
        limit: int,
        group: str | None = None,
        enabled: bool | None = None,
        falling: bool = False,
    ) -> Sequence[User]:
        """Returns users by their keys, those that follow ``after`` in the order that is asked for."""
        query = select(User).order_by(User.key.desc() if falling else User.key).limit(limit)
        if after is not None:
            query = query.where(User.key < after if falling else User.key > after)
        if enabled is not None:
            query = query.where(User.enabled.is_(enabled))
        if group is not None:
            query = query.where(User.memberships.any(Membership.group_name == group))
        return (await self._session.scalars(query)).all()

    async def remove(self, user: User) -> None:
        await self._session.delete(user)
        await self._flush(user, user.groups, ends=True)

    async def _flush(self, user: User, groups_before: Sequence[str], *, ends: bool = False) -> None:
        """``ends``: the user's sessions do."""
        self.changed = True
        self._changes.note("user", user.key, name=user.name, groups_before=list(groups_before), ends=ends)
        await self._session.flush()
        if ends:
            await self._changes.revoke(user.name)

    @staticmethod
    def _assign(user: User, attributes: UserAttributes) -> None:
        user.enabled = attributes.enabled
        user.max_same_clients = attributes.max_same_clients
        user.ipv4 = None if attributes.ipv4 is None else str(attributes.ipv4)
        user.ipv6 = None if attributes.ipv6 is None else str(attributes.ipv6)
        user.expires_at = attributes.expires_at
        user.note = attributes.note
        user.settings = dict(attributes.settings)
        kept = {membership.group_name: membership for membership in user.memberships}
        user.memberships = [
            kept.get(group) or Membership(group_name=group) for group in dict.fromkeys(attributes.groups)
        ]
        for position, membership in enumerate(user.memberships):
            membership.position = position
