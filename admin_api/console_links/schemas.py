# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of one-time links."""

from datetime import datetime

from pydantic import BaseModel, Field

from admin_api.http.values import Body
from admin_api.roles import Role
from admin_api.tokens.schemas import TokenName


class ConsoleLinkCreate(Body):
    name: TokenName = Field("operator", description="The person who signs in; the audit names it.", examples=["ana"])
    role: Role = Field(Role.ADMIN, description="What the person may do.")


class ConsoleLink(BaseModel):
    code: str = Field(description="Good for one sign-in. Shown only once.")
    url: str = Field(description="The console's address with the code. Empty: the API has no TCP port.")
    role: Role
    expires_at: datetime
