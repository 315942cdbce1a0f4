# SPDX-License-Identifier: GPL-3.0-or-later
"""Users whom an outside server authenticates: RADIUS, LDAP, an identity provider. The directory need not have them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from vpn_frontend.ports import DIRECTORY_DEADLINE, UserRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vpn_frontend.ports import UserDirectory


async def find_external_user(users: UserDirectory, name: str, groups: Sequence[str] = ()) -> UserRecord:
    """The record of a user whom an outside server has accepted, with ``groups`` of that server.

    A record of the directory holds if there is one: a disabled user stays refused, limits and static addresses apply,
    and its groups follow those of the outside server. Otherwise the name is case-folded, as the directory compares
    names: other spellings are no further users with limits of their own. Raises what the directory raises.
    """
    async with asyncio.timeout(DIRECTORY_DEADLINE):
        known = await users.find(name)
    if known is None:
        return UserRecord(name.casefold(), groups=tuple(groups), external=True)
    return _join(known, groups)


def recall_external_user(users: UserDirectory, name: str, groups: Sequence[str] = ()) -> UserRecord | None:
    """The result of ``find_external_user`` if the directory's record is known without waiting; ``None``: it is not."""
    known = users.recall(name)
    return None if known is None else _join(known, groups)


def _join(known: UserRecord, groups: Sequence[str]) -> UserRecord:
    return replace(known, groups=tuple(dict.fromkeys((*groups, *known.groups))), external=True)
