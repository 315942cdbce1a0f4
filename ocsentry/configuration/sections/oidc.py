# SPDX-License-Identifier: GPL-3.0-or-later
"""``[auth.oidc]``: the provider that the method ``oidc`` sends the user's browser to."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from ocsentry.configuration.fields import OptionalPath, Section, field
from vpn_frontend.auth.oidc.claims import OidcClaims, is_secure_url

CLAIMS = OidcClaims()


class OidcSection(Section):
    issuer: str = field(
        "", "The provider's issuer identifier, an `https://` URL; `http://` on this host only.", max_length=1024
    )
    client_id: str = field("", "Name under which the VPN is registered at the provider.", max_length=256)
    client_secret_file: OptionalPath = field(
        "", "File with the client's secret. The server's user need not read it. Empty: a public client."
    )
    client_key_file: OptionalPath = field(
        "",
        "Private key in PEM that signs instead of a secret (`private_key_jwt`): RSA, P-256, P-384, P-521 or Ed25519, "
        "without a password.",
    )
    client_key_id: str = field(
        "", "Name of that key at the provider. Empty: its thumbprint (RFC 7638).", max_length=256
    )
    scopes: tuple[str, ...] = field(CLAIMS.scopes, "Scopes that are asked for, beside `openid`.", max_length=16)
    user_claim: str = field(
        CLAIMS.user, "Claim that names the user. `email` counts only if the provider has verified it.", min_length=1
    )
    groups_claim: str = field(CLAIMS.groups, "Claim that names the user's groups, as a list or text.", min_length=1)
    browser: Literal["auto", "external", "embedded"] = field(
        "auto",
        "Browser that clients open. `auto`: openconnect the system's (`external`), others their own (`embedded`).",
    )

    @field_validator("issuer")
    @classmethod
    def _issuer_is_secure(cls, issuer: str) -> str:
        if issuer and not is_secure_url(issuer):
            raise ValueError("should be an https:// URL")
        return issuer

    def find_problem(self) -> str | None:
        """Why the method ``oidc`` cannot be used; ``None``: it can."""
        if self.client_secret_file is not None and self.client_key_file is not None:
            return "auth.oidc: set client_secret_file or client_key_file, not both"
        missing = next((key for key in ("issuer", "client_id") if not getattr(self, key)), None)
        return None if missing is None else f"the method oidc needs auth.oidc.{missing}"
