# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of challenges."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from admin_api.http.values import Body

LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
DnsName = Annotated[str, StringConstraints(max_length=253, pattern=rf"^{LABEL}(\.{LABEL})*$")]
BASE64URL = "[A-Za-z0-9_-]"


class AcmeChallengeCreate(Body):
    name: DnsName = Field(description="The DNS name that the ACME server validates.", examples=["vpn.example.org"])
    key_authorization: Annotated[
        str, StringConstraints(max_length=512, pattern=rf"^{BASE64URL}{{22,}}\.{BASE64URL}{{43}}$")
    ] = Field(
        description="RFC 8555 section 8.1: the challenge's token, a dot and the thumbprint of the account's key.",
        examples=["evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"],
    )


class AcmeChallenge(BaseModel):
    name: str
    expires_at: datetime = Field(description="Then the challenge is removed.")
