# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates and revokes tokens. Needs only the store, so the command line works without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.http.identity import Scope, mint_token

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from admin_api.store import Store
    from admin_api.store.tables import Token


async def create_token(
    store: Store, name: str, scopes: Iterable[Scope], *, by: str, expires_at: datetime | None = None
) -> tuple[Token, str]:
    """Returns the row and the token's text, which is never stored."""
    minted = mint_token()
    granted = sorted({scope.value for scope in scopes})
    async with store.write() as unit:
        row = await unit.tokens.add(
            minted.id, minted.digest, name=name, scopes=granted, created_by=by, expires_at=expires_at
        )
        await unit.audit.add(by, "token_created", minted.id, name=name, scopes=granted)
    return row, minted.text


async def revoke_token(store: Store, token_id: str, *, by: str) -> bool:
    """Returns false if there is no such token."""
    async with store.write() as unit:
        if not await unit.tokens.remove(token_id):
            return False
        await unit.audit.add(by, "token_revoked", token_id)
    return True
