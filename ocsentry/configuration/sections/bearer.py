# SPDX-License-Identifier: GPL-3.0-or-later
"""``[auth.bearer]``: whose tokens clients may log in with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from ocsentry.configuration.fields import Section, field
from vpn_frontend.auth.oidc.claims import OidcClaims, file_of_url, is_secure_url

if TYPE_CHECKING:
    from vpn_frontend.auth.bearer.tokens import BearerRules

CLAIMS = OidcClaims()
MAX_REQUIRED = 32


class BearerSection(Section):
    configuration_url: str = field(
        "",
        "The provider's metadata (`https://…/.well-known/openid-configuration`), which names its keys; `http://` on "
        "this host only. With `file://` the metadata, and keys that it names so, are files of one folder.",
        max_length=1024,
    )
    audience: str = field("", "Value that a token's `aud` has to have: it was made for this server.", max_length=256)
    user_claim: str = field(CLAIMS.user, "As `auth.oidc.user_claim`.", min_length=1, max_length=256)
    groups_claim: str = field(CLAIMS.groups, "As `auth.oidc.groups_claim`.", min_length=1, max_length=256)
    required_claims: dict[str, bool | int | float | str | list[str]] = Field(
        {},
        description="Claims that a token has to have with exactly these values. `iss` stands for the issuer of the "
        "metadata.",
        max_length=MAX_REQUIRED,
    )

    require_times: bool = field(False, "Refuse tokens without `iat` or `nbf`.")

    @field_validator("configuration_url")
    @classmethod
    def _url_is_secure(cls, url: str) -> str:
        if url and not is_secure_url(url) and file_of_url(url) is None:
            raise ValueError("should be an https:// or file:// URL")
        return url

    def find_problem(self) -> str | None:
        """Why the method ``bearer`` cannot be used; ``None``: it can."""
        missing = next((key for key in ("configuration_url", "audience") if not getattr(self, key)), None)
        return None if missing is None else f"auth.bearer.{missing} is missing"

    def rules(self) -> BearerRules:
        """For the method."""
        from vpn_frontend.auth.bearer.tokens import BearerRules  # noqa: PLC0415 - with cryptography, and seldom needed

        claims = OidcClaims(self.user_claim, self.groups_claim)
        return BearerRules(self.configuration_url, self.audience, claims, self.required_claims, self.require_times)
