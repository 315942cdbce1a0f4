# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds, changes and removes users. Needs only the store, so the command line works without a server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from admin_api.http.etags import etag_of_version, find_unchanged
from admin_api.http.problems import ApiError, ProblemKind
from admin_api.progress import advance, pass_no_return
from admin_api.store.identities.users import as_record
from sentry_engine.records import dataclass
from vpn_frontend.auth.password.hashes import hash_password

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from admin_api.store import Store, UnitOfWork, UserAttributes
    from admin_api.store.tables import User
    from admin_api.users.schemas import UserBody, UserCreate, UserReplace
    from vpn_frontend.ports import UserRecord


async def create_user(store: Store, new: UserCreate, *, by: str) -> User:
    """Raises ``ApiError`` if the name or an inner address is taken."""
    (user,) = await create_users(store, [new], by=by)
    return user


async def create_users(store: Store, news: Sequence[UserCreate], *, by: str) -> list[User]:
    """Add all users, or none if one cannot be added. Raises ``ApiError``."""
    hashes = []
    for new in news:
        hashes.append(await _hash(new))  # what takes long
        advance(len(hashes), len(news))
    pass_no_return()
    users = []
    async with store.write() as unit:
        for new, password_hash in zip(news, hashes, strict=True):
            if await unit.users.get(new.name) is not None:
                raise ApiError(ProblemKind.ALREADY_EXISTS, f"There is a user {new.name} already")
            attributes = new.attributes()
            await _refuse_taken(unit, new.name, attributes)
            assert password_hash is not None  # noqa: S101 - the schema requires one
            users.append(await unit.users.add(new.name, password_hash, attributes))
            await unit.audit.add(by, "user_created", new.name, **_detail(attributes))
    return users


@dataclass(frozen=True, slots=True)
class UserChange:
    """A user before and after a change. ``user`` is the changed row."""

    before: UserRecord
    after: UserRecord
    user: User
    new_password: bool


async def replace_user(
    store: Store,
    name: str,
    make_body: Callable[[User], UserReplace],
    *,
    if_match: str | None,
    by: str,
    dry_run: bool = False,
) -> UserChange:
    """Replace everything but the name by what ``make_body`` makes of the present user. A dry run stores nothing.

    Raises ``ApiError`` if the user does not exist, has changed since it was read, or an inner address is taken.
    """
    async with store.read() as unit:  # the password is hashed outside the transaction
        change = make_body(await get_user(unit, name, if_match))
    password_hash = None if dry_run else await _hash(change)
    async with store.read() if dry_run else store.write() as unit:
        user = await get_user(unit, name, if_match)
        change, before = make_body(user), as_record(user)
        attributes = change.attributes()
        await _refuse_taken(unit, name, attributes)
        if dry_run:
            unit.users.preview(user, attributes)
        else:
            await unit.users.replace(user, attributes, password_hash)
            detail = _detail(attributes) | {"password_changed": password_hash is not None}
            await unit.audit.add(by, "user_replaced", user.name, **detail)
    new_password = change.password is not None or change.password_hash is not None
    return UserChange(before, as_record(user), user, new_password)


async def remove_user(store: Store, name: str, *, if_match: str | None, by: str) -> User:
    """Raises ``ApiError`` if the user does not exist or has changed since it was read."""
    async with store.write() as unit:
        user = await get_user(unit, name, if_match)
        await unit.users.remove(user)
        await unit.locations.remove(user.name)
        await unit.devices.remove_all(user.name)
        await unit.audit.add(by, "user_removed", user.name)
    return user


def etag_of_user(user: User) -> str:
    return etag_of_version(user.key, user.version, user.created_at)


async def get_user(unit: UnitOfWork, name: str, if_match: str | None) -> User:
    """Raises ``ApiError`` if the user does not exist or has changed since it was read."""
    return find_unchanged(await unit.users.get(name), etag_of_user, if_match, f"user {name}")


async def _hash(body: UserBody) -> str | None:
    if body.password is None:
        return body.password_hash
    return await asyncio.to_thread(hash_password, body.password.get_secret_value())


async def _refuse_taken(unit: UnitOfWork, name: str, attributes: UserAttributes) -> None:
    mine = await unit.users.get(name)
    for holder in await unit.users.with_address(attributes.ipv4, attributes.ipv6):
        if mine is None or holder.id != mine.id:
            raise ApiError(ProblemKind.ADDRESS_TAKEN, f"{holder.name} has this inner address")


def _detail(attributes: UserAttributes) -> dict[str, object]:
    return {
        "groups": list(attributes.groups),
        "enabled": attributes.enabled,
        "max_same_clients": attributes.max_same_clients,
        "expires_at": attributes.expires_at and attributes.expires_at.isoformat(),
        "settings": dict(attributes.settings),
    }
