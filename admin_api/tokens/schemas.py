# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of tokens."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from admin_api.http.identity import Scope
from admin_api.http.values import NO_CONTROLS, Body, Moment, View

TokenName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_CONTROLS)]


class TokenCreate(Body):
    name: TokenName = Field(description="The program or person that uses it.", examples=["grafana"])
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope), description="Write implies read.")
    expires_at: Moment | None = None


class TokenView(View):
    id: str
    name: str
    scopes: list[str]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="Accurate to one minute.")


class TokenCreated(TokenView):
    token: str = Field(description="Shown only once and never stored.")
