# SPDX-License-Identifier: GPL-3.0-or-later
"""The headers of every answer."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.asyncio


class TestHeaders:
    async def test_on_every_answer(self, server):
        for path in ("/healthz", "/api/v1/blocks", "/nothing", "/openapi.json"):
            answer = await server.anonymous.get(path)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-store"
            assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])
