# SPDX-License-Identifier: GPL-3.0-or-later
"""``[auth]``: how users log in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from admin_api.session_settings.overrides import GroupLabel
from ocsentry.configuration.fields import (
    NEVER,
    SECONDS,
    Count,
    FilePath,
    OptionalPath,
    Seconds,
    Section,
    Switch,
    field,
    section,
)
from ocsentry.configuration.sections.bearer import BearerSection
from ocsentry.configuration.sections.certificate import CertificateSection
from ocsentry.configuration.sections.gssapi import GssapiSection
from ocsentry.configuration.sections.ldap import LdapSection
from ocsentry.configuration.sections.oidc import OidcSection
from ocsentry.configuration.sections.pam import PamSection
from ocsentry.configuration.sections.radius import RadiusSection
from vpn_frontend.auth.login_plan import find_methods_problem, find_require_problem, plan_login
from vpn_frontend.settings import AuthSettings, LoginRules, MethodName, Strap, TotpSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTH = AuthSettings()  # its defaults are those of the file
TOTP = AUTH.totp


class TotpSection(Section):
    required: Literal["enrolled", "all"] | Annotated[tuple[str, ...], Field(min_length=1, max_length=64)] = field(
        TOTP.required,
        "Users who cannot log in without a code: `all`, or the members of a list of groups. Users who have confirmed "
        "their enrolment are asked for a code in any case.",
        unit="`enrolled`, `all` or groups",
    )
    in_first_form: Switch = field(
        TOTP.in_first_form, "Ask for the code together with user name and password, not in a form of its own."
    )
    issuer: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^:\x00-\x1f\x7f]+$")] = field(
        TOTP.issuer, "Name that authenticator apps show for this VPN."
    )
    key_file: FilePath = field(
        TOTP.key_file,
        "Key that encrypts the users' secrets in the database. Made at the first start, readable by its owner only. "
        "Without it no user can log in with a code: keep a copy apart from the database's.",
    )


class AuthSection(Section):
    methods: tuple[MethodName, ...] = field(
        AUTH.methods, "Methods to log in with. They are alternatives, tried in this sequence.", max_length=8
    )
    require: tuple[MethodName, ...] = field(
        AUTH.require, "Methods that are needed as well, every one of them.", max_length=8
    )
    attempts: Count = field(
        AUTH.attempts, "Wrong passwords until a login must start again.", unit="attempts", ge=1, le=10
    )
    timeout: Seconds = field(AUTH.timeout, "Longest duration of a login.", unit=SECONDS, ge=5, le=3600)
    remember_passwords: Seconds = field(
        AUTH.remember_passwords,
        "How long a verified password is not hashed again, which makes many reconnects at once cheap. A changed "
        "password takes effect at once.",
        unit=NEVER,
        ge=0,
        le=3600,
    )
    banner: str = field(AUTH.banner, "Text shown after the login.", max_length=1024)
    pre_login_banner: str = field(
        AUTH.pre_login_banner, "Text shown with the form that begins a login.", max_length=1024
    )
    groups: tuple[str, ...] = field(
        AUTH.groups,
        "Groups offered in the login form, beside those with a `label`. Without any the form has no group field.",
        max_length=64,
    )
    no_group_label: GroupLabel = field(
        AUTH.no_group_label,
        "Text of the form's option for no group, which comes first. Empty: the user has to choose a group.",
    )
    unoffered_groups: Switch = field(
        AUTH.unoffered_groups,
        "A client may name a group that is not offered (`--authgroup` of openconnect). Only members log in by it, as "
        "by any group.",
    )
    ocpasswd_file: OptionalPath = field(
        AUTH.ocpasswd_file or "",
        "Password file of ocserv (`name:groups:hash`, at most 1 MiB), read at each login. Its users are over those of "
        "the database. Empty: none.",
    )
    oath_file: OptionalPath = field(
        AUTH.oath_file or "",
        "File with the users' one-time password secrets (liboath's users file, ocserv's `otp=`, at most 1 MiB), read "
        "at each login. Its users are over those of the database. Needs `totp` in `require`. Empty: none.",
    )
    strap: Strap = field(
        AUTH.strap,
        "Clients with STRAP (openconnect, Secure Client) prove at each CONNECT that they are the one that logged in. "
        "`enforce`: one that does not has to log in again. `observe`: it is logged (`strap_failed`). `off`: no check. "
        "A client whose login showed no key has nothing to prove.",
    )
    certificate: CertificateSection = section()
    gssapi: GssapiSection = section()
    ldap: LdapSection = section()
    pam: PamSection = section()
    radius: RadiusSection = section()
    totp: TotpSection = section()
    oidc: OidcSection = section()
    bearer: BearerSection = section()

    @field_validator("methods")
    @classmethod
    def _methods_can_be_used(cls, methods: tuple[MethodName, ...]) -> tuple[MethodName, ...]:
        if (problem := find_methods_problem(methods)) is not None:
            raise ValueError(problem)
        return methods

    @field_validator("require")
    @classmethod
    def _require_can_be_used(cls, require: tuple[MethodName, ...], info: ValidationInfo) -> tuple[MethodName, ...]:
        methods = info.data.get("methods")  # absent if it is unusable itself
        if methods is not None and (problem := find_require_problem(methods, require)) is not None:
            raise ValueError(problem)
        return require

    @model_validator(mode="after")
    def _codes_are_asked_for(self) -> Self:
        if self.oath_file is not None and "totp" not in self.require:
            raise ValueError('oath_file: its codes are asked for only with "totp" in auth.require')
        return self

    @model_validator(mode="after")
    def _methods_have_their_tables(self) -> Self:
        if (problem := self.find_missing(LoginRules(self.methods, self.require))) is not None:
            raise ValueError(problem)
        return self

    def find_missing(self, rules: LoginRules) -> str | None:
        """What usable ``rules`` need of this table and do not find, for the operator. ``None``: nothing."""
        named = rules.named
        if "radius" in named and (problem := self.radius.find_problem(self.timeout)) is not None:
            return problem
        for name in ("certificate", "gssapi", "ldap", "oidc", "bearer"):
            if name in named and (problem := getattr(self, name).find_problem()) is not None:
                return str(problem)
        if self.totp.in_first_form and "totp" in named and not plan_login(rules.methods, rules.require).has_form:
            return "totp.in_first_form: no method of auth.methods has a form with user name and password"
        return None

    def find_problem(self) -> str | None:
        """As the validators, for a copy that they have not seen: a virtual host's."""
        return (
            find_methods_problem(self.methods)
            or find_require_problem(self.methods, self.require)
            or self.find_missing(LoginRules(self.methods, self.require))
        )

    def settings(self, group_rules: Mapping[str, LoginRules]) -> AuthSettings:
        """For the VPN."""
        plain = {name: value for name, value in self if not isinstance(value, Section)}
        totp = TotpSettings(**dict(self.totp))
        return AuthSettings(**plain, certificate=self.certificate.settings(), totp=totp, group_rules=group_rules)


class GroupAuthSection(Section):
    """Rules of logins by the group. What is left out is that of ``[auth]``."""

    methods: tuple[MethodName, ...] | None = Field(
        None,
        description="Methods to log in with instead of `auth.methods`, for logins by this group. A member who logs in "
        "without the group, by rules that ask for less, is refused.",
        max_length=8,
    )
    require: tuple[MethodName, ...] | None = Field(
        None, description="Methods that these logins need as well, instead of `auth.require`.", max_length=8
    )

    @property
    def is_set(self) -> bool:
        return self.methods is not None or self.require is not None

    def rules(self, auth: AuthSection) -> LoginRules:
        return LoginRules(
            auth.methods if self.methods is None else self.methods,
            auth.require if self.require is None else self.require,
        )

    def find_problem(self, auth: AuthSection) -> str | None:
        """Why its logins cannot be used with the rest of ``auth``, for the operator. ``None``: they can."""
        rules = self.rules(auth)
        return (
            find_methods_problem(rules.methods)
            or find_require_problem(rules.methods, rules.require)
            or auth.find_missing(rules)
        )
