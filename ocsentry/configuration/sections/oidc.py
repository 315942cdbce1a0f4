# SPDX-License-Identifier: GPL-3.0-or-later
"""``[auth.oidc]`` and ``[admin.oidc]``: the providers at which users of the VPN and of the console sign in."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import field_validator, model_validator

from ocsentry.configuration.fields import OptionalPath, Section, field
from vpn_frontend.auth.oidc.claims import OidcClaims, is_secure_url

CLAIMS = OidcClaims()


class ProviderSection(Section):
    """What is said of a provider, whatever it is asked for."""

    issuer: str = field(
        "", "The provider's issuer identifier, an `https://` URL; `http://` on this host only.", max_length=1024
    )
    client_id: str = field("", "Name under which the server is registered at the provider.", max_length=256)
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

    @field_validator("issuer")
    @classmethod
    def _issuer_is_secure(cls, issuer: str) -> str:
        if issuer and not is_secure_url(issuer):
            raise ValueError("should be an https:// URL")
        return issuer

    def find_provider_problem(self, table: str) -> str | None:
        """Why the provider cannot be used; ``None``: it can. ``table``: the name of this one."""
        if self.client_secret_file is not None and self.client_key_file is not None:
            return f"{table}: set client_secret_file or client_key_file, not both"
        missing = next((key for key in ("issuer", "client_id") if not getattr(self, key)), None)
        return None if missing is None else f"{table}.{missing} is missing"


class OidcSection(ProviderSection):
    browser: Literal["auto", "external", "embedded"] = field(
        "auto",
        "Browser that clients open. `auto`: openconnect the system's (`external`), others their own (`embedded`).",
    )

    def find_problem(self) -> str | None:
        """Why the method ``oidc`` cannot be used; ``None``: it can."""
        return self.find_provider_problem("auth.oidc")


class SignOnSection(ProviderSection):
    """``[admin.oidc]``: the provider at which people sign in to the console."""

    label: str = field(
        "single sign-on", "The provider, as the page of the sign-in names it.", min_length=1, max_length=64
    )
    admins: tuple[str, ...] = field(
        [], "Groups at the provider whose members may do everything. Who is in no group cannot sign in.", max_length=64
    )
    operators: tuple[str, ...] = field([], "Groups that may block, forgive and end sessions.", max_length=64)
    viewers: tuple[str, ...] = field([], "Groups that may look, and change nothing.", max_length=64)

    @property
    def is_used(self) -> bool:
        return bool(self.issuer)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not self.is_used and self.model_fields_set:
            raise ValueError("set issuer, or leave the table out")
        if self.is_used and (problem := self.find_provider_problem("admin.oidc")) is not None:
            raise ValueError(problem)
        if self.is_used and not (self.admins or self.operators or self.viewers):
            raise ValueError("set admins, operators or viewers: who is in none of their groups cannot sign in")
        return self
