# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of users. Password hashes are accepted for imports and never returned."""

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    StringConstraints,
    model_validator,
)

from admin_api.http.values import NO_CONTROLS, Body, Moment, Text, View
from admin_api.session_settings.effective import EffectiveValue
from admin_api.session_settings.overrides import UserSettings, gather_tables, render_user_settings
from admin_api.store import UserAttributes
from admin_api.users.names import MAX_NAME, check_name
from vpn_frontend.auth.password.hash_cost import UNACCEPTABLE, scheme_of

MAX_PASSWORD = 256  # characters; bounds the cost of hashing
MAX_GROUPS = 64  # of one user
MAX_IMPORT = 10_000  # users in one request
MAX_CLIENTS = 10_000


def _check_hash(value: str) -> str:
    if scheme_of(value) is None:
        raise ValueError(UNACCEPTABLE)
    return value


UserName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(check_name)]
GroupName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_CONTROLS)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=MAX_PASSWORD)]
PasswordHash = Annotated[str, StringConstraints(max_length=512), AfterValidator(_check_hash)]
Ipv4 = Annotated[IPv4Address, PlainSerializer(str, return_type=str)]
Ipv6 = Annotated[IPv6Address, PlainSerializer(str, return_type=str)]


Settings = Annotated[
    UserSettings,
    BeforeValidator(gather_tables),
    Field(
        description="What differs from the user's groups, by table and key as in the configuration file.",
        examples=[{"network": {"routes": ["10.0.0.0/8"]}}],
    ),
]


class UserBody(Body):
    groups: list[GroupName] = Field([], max_length=MAX_GROUPS)
    enabled: bool = True
    max_same_clients: int | None = Field(
        None, ge=0, le=MAX_CLIENTS, description="Null: the policy's limit. 0: no limit."
    )
    ipv4: Ipv4 | None = Field(None, description="The inner address reserved for this user.")
    ipv6: Ipv6 | None = None
    expires_at: Moment | None = None
    note: Text = ""
    settings: Settings = Field(default_factory=UserSettings)
    password: Password | None = None
    password_hash: PasswordHash | None = Field(None, description="An argon2id or crypt hash ($5$, $6$ or $y$).")

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password is not None and self.password_hash is not None:
            raise ValueError("give password or password_hash, not both")
        return self

    def attributes(self) -> UserAttributes:
        return UserAttributes(
            groups=tuple(self.groups),
            enabled=self.enabled,
            max_same_clients=self.max_same_clients,
            ipv4=self.ipv4,
            ipv6=self.ipv6,
            expires_at=self.expires_at,
            note=self.note,
            settings=render_user_settings(self.settings),
        )


class UserCreate(UserBody):
    name: UserName = Field(examples=["alice"])

    @model_validator(mode="after")
    def _some_password(self) -> Self:
        if self.password is None and self.password_hash is None:
            raise ValueError("a user needs a password or a password_hash")
        return self


class UserReplace(UserBody):
    """All attributes. Without a new password the present one stays."""


class UserImport(Body):
    users: list[UserCreate] = Field(min_length=1, max_length=MAX_IMPORT)


class UserView(View):
    name: str
    groups: list[str]
    enabled: bool
    max_same_clients: int | None
    ipv4: str | None
    ipv6: str | None
    expires_at: datetime | None
    note: str
    settings: dict[str, Any] = Field(description="What differs from the user's groups.")
    created_at: datetime
    updated_at: datetime


class UserDetail(UserView):
    effective: dict[str, EffectiveValue] = Field(description="What the user gets, by key, and where it comes from.")


class UserChanged(UserDetail):
    sessions_cut: int = Field(description="Live sessions of the user that were disconnected.")
    in_force: list[str] = Field(description="Changed keys that live sessions have from now on.")
    at_next_login: list[str] = Field(description="Changed keys that sessions get when they connect again.")


class UsersImported(View):
    created: int
