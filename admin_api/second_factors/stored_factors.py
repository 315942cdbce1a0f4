# SPDX-License-Identifier: GPL-3.0-or-later
"""The second factors of the store's users, for the method ``totp``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.store.identities.users import fold_name
from vpn_frontend.auth.totp.secret import OtpSecret

if TYPE_CHECKING:
    from admin_api.second_factors.secret_box import SecretBox
    from admin_api.store import Store


class StoredFactors:
    """Implements ``SecondFactors``. Users of other directories have none, unless the store has their name too."""

    def __init__(self, store: Store, box: SecretBox) -> None:
        self._store = store
        self._box = box

    async def find_secret(self, user: str) -> OtpSecret | None:
        async with self._store.read() as unit:
            found = await unit.totp.find_active(user)
        return None if found is None else OtpSecret(self._box.open(found[1], found[0]))

    async def use_step(self, user: str, step: int, login: str) -> bool:
        async with self._store.write() as unit:
            return await unit.totp.use_step(user, step, login)

    async def use_backup_code(self, user: str, code: str, login: str) -> bool:
        digest = self._box.digest_code(code, fold_name(user))
        async with self._store.write() as unit:
            return await unit.totp.use_backup_code(user, digest, login)
