# SPDX-License-Identifier: GPL-3.0-or-later
"""``vpn.certificates`` and ``[[vpn.host]]``: more certificates, and virtual hosts that SNI chooses."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from pydantic import AfterValidator, Field, model_validator

from admin_api.session_settings.overrides import (
    BandwidthOverrides,
    LimitsOverrides,
    NetworkOverrides,
    QuotaOverrides,
    SessionOverrides,
    as_overrides,
    gather_tables,
)
from ocsentry.configuration.fields import FilePath, OptionalPath, Section, field, section
from ocsentry.configuration.sections.pam import ServiceName
from vpn_frontend.settings import (
    MAX_CERTIFICATES,
    CertificateFiles,
    HostSettings,
    MethodName,
    Overrides,
    SettingsPlaces,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from admin_api.session_settings.overrides import GroupSettings
    from ocsentry.configuration.sections.auth import AuthSection
    from vpn_frontend.settings import LoginRules


FOLDERS = tuple(place.name for place in fields(SettingsPlaces))


class CertificatePairSection(Section):
    """One entry of ``certificates``."""

    certificate: FilePath = Field(description="Certificate chain in PEM.")
    private_key: FilePath = Field(description="Its key, in PEM.")
    ocsp_response: OptionalPath = Field(None, description="OCSP response that is stapled, in DER. Empty: none.")
    password_file: OptionalPath = Field(None, description="As `vpn.private_key_password_file`.")

    def settings(self) -> CertificateFiles:
        return CertificateFiles(self.certificate, self.private_key, self.ocsp_response, self.password_file)


def _host_name(name: str) -> str:
    """Returns the name in the form that SNI has: ASCII, lower case, without the last dot. Raises ``ValueError``."""
    try:
        encoded = name.encode("ascii" if name.isascii() else "idna").decode().lower().rstrip(".")
    except UnicodeError as error:
        raise ValueError(f"{name!r} is no host name") from error
    labels = encoded.split(".")
    if len(encoded) > 253 or not all(0 < len(label) <= 63 and _is_label(label) for label in labels):
        raise ValueError(f"{name!r} is no host name")
    return encoded


def _is_label(label: str) -> bool:
    return all(letter.isalnum() or letter in "-_" for letter in label)


class HostAuthSection(Section):
    methods: tuple[MethodName, ...] | None = Field(None, description="As `auth.methods`.", min_length=1, max_length=8)
    require: tuple[MethodName, ...] | None = Field(None, description="As `auth.require`.", max_length=8)
    banner: str | None = Field(None, description="As `auth.banner`.", max_length=1024)
    certificate_ca: OptionalPath = Field(None, description="As `auth.certificate.ca`.")
    certificate_crl: OptionalPath = Field(
        None, description="As `auth.certificate.crl`; of no effect without `certificate_ca`."
    )

    pam_service: ServiceName | None = Field(None, description="As `auth.pam.service`.")
    pam_gid_min: int | None = Field(None, description="As `auth.pam.gid_min`.", ge=0, le=2**31)
    ocpasswd_file: OptionalPath = Field(
        None, description="As `auth.ocpasswd_file`; users of the server's file cannot log in here then."
    )
    oath_file: OptionalPath = Field(None, description="As `auth.oath_file`, instead of that.")

    def over(self, auth: AuthSection) -> AuthSection:
        """``auth`` with what the host sets. Raises ``ValueError`` if the result cannot be used."""
        given = ("methods", "require", "banner", "ocpasswd_file", "oath_file")
        changed: dict[str, Any] = {name: value for name in given if (value := getattr(self, name)) is not None}
        if self.certificate_ca is not None:
            authorities = {"ca": self.certificate_ca, "crl": self.certificate_crl}
            changed["certificate"] = auth.certificate.model_copy(update=authorities)
        if self.has_own_methods:
            given_pam = {"service": self.pam_service, "gid_min": self.pam_gid_min}
            own = {name: value for name, value in given_pam.items() if value is not None}
            changed["pam"] = auth.pam.model_copy(update=own)
        merged = auth.model_copy(update=changed)
        if (problem := merged.find_problem()) is not None:
            raise ValueError(problem)
        if self.oath_file is not None and "totp" not in merged.require:
            raise ValueError('auth.oath_file: its codes are asked for only with "totp" in require')
        has_files = self.ocpasswd_file is not None or self.oath_file is not None
        if has_files and "oidc" in (*merged.methods, *merged.require):
            raise ValueError("auth: logins by oidc are those of the whole server: a host with its own files has none")
        return merged

    @property
    def has_own_methods(self) -> bool:
        """Its methods are set up in another way than the server's."""
        return self.pam_service is not None or self.pam_gid_min is not None


class HostSection(Section):
    """What is not set is as for the server itself."""

    table_of_its_own: ClassVar[bool] = True  # in the reference
    name: Annotated[str, AfterValidator(_host_name)] = Field(
        description="Name that clients send as SNI. Every other name, and none, gets the server itself."
    )
    certificates: tuple[CertificatePairSection, ...] = field(
        [],
        "Its certificates, as `vpn.certificates`: by preference, the first that the client can verify is used. Empty: "
        "the server's.",
        max_length=MAX_CERTIFICATES + 1,
    )
    groups: tuple[str, ...] = field(
        [],
        "Only members of these groups may log in here; the form offers them. Empty: as `auth.groups`.",
        max_length=64,
    )
    auth: HostAuthSection = section()
    user_config_dir: OptionalPath = Field(None, description="As `vpn.user_config_dir`.")
    group_config_dir: OptionalPath = Field(None, description="As `vpn.group_config_dir`.")
    default_user_config: OptionalPath = Field(None, description="As `vpn.default_user_config`.")
    default_group_config: OptionalPath = Field(None, description="As `vpn.default_group_config`.")
    network: NetworkOverrides = Field({}, description="Keys of `[vpn.network]` without `device`.")
    bandwidth: BandwidthOverrides = Field({}, description="Keys of `[vpn.bandwidth]`.")
    quota: QuotaOverrides = Field({}, description="Keys of `[vpn.quota]`.")
    limits: LimitsOverrides = Field({}, description="`max_same_clients`.")
    session: SessionOverrides = Field({}, description="Keys of `[vpn.session]`.")

    @model_validator(mode="before")
    @classmethod
    def _gather_tables(cls, values: Any) -> object:  # noqa: ANN401 - what the file has
        return gather_tables(values)

    def overrides(self) -> Overrides:
        """What sessions of the host get, for the VPN."""
        tables = ("network", "bandwidth", "quota", "limits", "session")
        given = {name: getattr(self, name) for name in tables if name in self.model_fields_set}
        return as_overrides(cast("GroupSettings", given))

    def files(self) -> Iterator[tuple[str, Path]]:
        """The files that the server reads once it has given its privileges up, by their keys."""
        where = f"vpn.host.{self.name}"
        yield from pair_files(where, self.certificates)
        for key in ("certificate_ca", "certificate_crl", "ocpasswd_file", "oath_file"):
            path = getattr(self.auth, key)
            if path is not None:
                yield f"{where}.auth.{key}", path

    def folders(self, own: SettingsPlaces) -> SettingsPlaces:
        """``own`` are the server's."""
        given = {name: getattr(self, name) for name in FOLDERS if getattr(self, name) is not None}
        return replace(own, **given)

    def watched(self) -> Iterator[Path]:
        """Files and folders of users that the server looks at with each login."""
        places = (*(getattr(self, name) for name in FOLDERS), self.auth.ocpasswd_file, self.auth.oath_file)
        yield from (path for path in places if path is not None)


def pair_files(where: str, pairs: Sequence[CertificatePairSection]) -> Iterator[tuple[str, Path]]:
    """The files of ``certificates``, by their keys."""
    for number, pair in enumerate(pairs):
        for key in ("certificate", "private_key", "ocsp_response", "password_file"):
            path = getattr(pair, key)
            if path is not None:
                yield f"{where}.certificates.{number}.{key}", path


def host_settings(
    hosts: Sequence[HostSection], auth: AuthSection, group_rules: Mapping[str, LoginRules], folders: SettingsPlaces
) -> tuple[HostSettings, ...]:
    """The hosts, for the VPN. ``auth`` and ``folders`` are the server's own, ``group_rules`` hold at every host."""
    return tuple(
        HostSettings(
            host.name,
            host.auth.over(auth).settings(group_rules),
            tuple(pair.settings() for pair in host.certificates),
            host.groups,
            host.overrides(),
            host.folders(folders),
            host.auth.has_own_methods,
        )
        for host in hosts
    )


def check_hosts(hosts: Sequence[HostSection], auth: AuthSection) -> None:
    """Raises ``ValueError`` for a name that two hosts have, or for ways to log in that cannot be combined."""
    names = [host.name for host in hosts]
    for host in hosts:
        if names.count(host.name) > 1:
            raise ValueError(f"vpn.host: two hosts have the name {host.name}")
        try:
            host.auth.over(auth)
        except ValueError as error:
            raise ValueError(f"vpn.host.{host.name}: {error}") from error
