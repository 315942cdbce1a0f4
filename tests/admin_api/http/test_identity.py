# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens as text, and the scopes of a principal."""

from __future__ import annotations

import pytest

from admin_api.http.identity import Principal, Scope, mint_token, parse_token, secret_matches

pytestmark = pytest.mark.asyncio


class TestIdentity:
    async def test_minted_tokens_are_read_back(self):
        minted = mint_token()
        token_id, secret = parse_token(minted.text)
        assert token_id == minted.id
        assert secret_matches(secret, minted.digest)
        assert not secret_matches(secret[::-1], minted.digest)
        assert len({mint_token().text for _ in range(100)}) == 100

    async def test_every_write_scope_implies_its_read(self):
        for scope in Scope:
            resource, _, right = scope.value.partition(":")
            if right == "write":
                principal = Principal("x", frozenset({scope}))
                assert principal.may(Scope(f"{resource}:read"))
                assert not Principal("x", frozenset({Scope(f"{resource}:read")})).may(scope)
