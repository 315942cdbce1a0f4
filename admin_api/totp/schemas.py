# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of one-time passwords. Only the answers to enrolment and confirmation have secrets."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from admin_api.http.values import Body, View


class TotpView(View):
    state: Literal["none", "pending", "active"] = Field(
        description="`pending`: a secret is made, and no code has confirmed it. Logins need a code when it is `active`."
    )
    created_at: datetime | None
    confirmed_at: datetime | None
    backup_codes: int = Field(description="Backup codes that are not used.")


class TotpEnrolment(TotpView):
    secret: str = Field(description="The secret in base32. It is never shown again.")
    uri: str = Field(description="The same as an `otpauth` URI.")
    svg: str = Field(description="The URI as a QR code.")


class TotpCode(Body):
    code: Annotated[SecretStr, Field(min_length=6, max_length=16, description="The code that the app shows now.")]


class TotpConfirmation(TotpView):
    codes: list[str] = Field(description="The backup codes, each for one login. They are never shown again.")
