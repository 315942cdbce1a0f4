# SPDX-License-Identifier: GPL-3.0-or-later
"""Enrols users for one-time passwords: none -> pending (a secret is made) -> active (a code has confirmed it)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.http.problems import ApiError, ProblemKind, invalid_value
from sentry_engine.records import dataclass
from vpn_frontend.auth.totp.codes import clean_code, find_step, make_backup_codes, make_secret

if TYPE_CHECKING:
    from admin_api.second_factors.totp_issuer import TotpIssuer
    from admin_api.store import Store, UnitOfWork
    from admin_api.store.tables import Totp, User


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The state of a user's enrolment. ``row`` is ``None`` without one."""

    user: User
    row: Totp | None
    backup_codes: int  # not used yet


async def get_enrolment(store: Store, name: str) -> Enrolment:
    """Raises ``ApiError`` if the user does not exist."""
    async with store.read() as unit:
        user = await _get_user(unit, name)
        return Enrolment(user, await unit.totp.get(user), await unit.totp.count_backup_codes(user))


async def begin_enrolment(store: Store, issuer: TotpIssuer, name: str, *, by: str) -> tuple[Enrolment, bytes]:
    """Make a secret for a user, which logins do not need until it is confirmed. Returns it too.

    Raises ``ApiError`` if the user does not exist or has a confirmed one.
    """
    secret = make_secret()
    async with store.write() as unit:
        user = await _get_user(unit, name)
        row = await unit.totp.get(user)
        if row is not None and row.confirmed_at is not None:
            raise ApiError(ProblemKind.ALREADY_EXISTS, f"{user.name} is enrolled already; reset the enrolment first")
        row = await unit.totp.begin(user, issuer.box.seal(secret, user.key))
        await unit.audit.add(by, "totp_enrolment_begun", user.name)
    return Enrolment(user, row, 0), secret


async def confirm_enrolment(
    store: Store, issuer: TotpIssuer, name: str, code: str, *, by: str
) -> tuple[Enrolment, tuple[str, ...]]:
    """Activate a user's secret by one of its codes. Returns the backup codes, which are kept as digests only.

    Raises ``ApiError`` if there is nothing to confirm or the code is wrong.
    """
    codes = make_backup_codes()
    async with store.write() as unit:
        user = await _get_user(unit, name)
        row = await unit.totp.get(user)
        if row is None:
            raise ApiError(ProblemKind.NOT_FOUND, f"No enrolment of {user.name} waits for a code")
        if row.confirmed_at is not None:
            raise ApiError(ProblemKind.ALREADY_EXISTS, f"The enrolment of {user.name} is confirmed already")
        now = store.clock.wall().timestamp()
        step = find_step(issuer.box.open(row.sealed_secret, user.key), clean_code(code), now)
        if step is None:
            raise invalid_value("/code", "the code is wrong; check the clock of the device")
        await unit.totp.confirm(row, step, [issuer.box.digest_code(one, user.key) for one in codes])
        await unit.audit.add(by, "totp_enrolment_confirmed", user.name)
    return Enrolment(user, row, len(codes)), codes


async def reset_enrolment(store: Store, name: str, *, by: str) -> None:
    """Remove a user's secret and backup codes. Raises ``ApiError`` if there are none."""
    async with store.write() as unit:
        user = await _get_user(unit, name)
        if not await unit.totp.remove(user):
            raise ApiError(ProblemKind.NOT_FOUND, f"{user.name} is not enrolled")
        await unit.audit.add(by, "totp_reset", user.name)


async def _get_user(unit: UnitOfWork, name: str) -> User:
    user = await unit.users.get(name)
    if user is None:
        raise ApiError(ProblemKind.NOT_FOUND, f"There is no user {name}")
    return user
