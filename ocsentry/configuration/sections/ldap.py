# SPDX-License-Identifier: GPL-3.0-or-later
"""``[auth.ldap]``: the directory that the method ``ldap`` asks."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, field_validator, model_validator

from ocsentry.configuration.fields import SECONDS, OptionalPath, Seconds, Section, Switch, field
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from typing import Self

MAX_WAIT = 110  # seconds; ``METHOD_DEADLINE`` ends a method later
PORTS = {"ldap": 389, "ldaps": 636}


@dataclass(frozen=True, slots=True)
class LdapUrl:
    """One server. ``ldaps``: TLS from the first byte."""

    text: str
    host: str
    port: int
    ldaps: bool

    @property
    def is_loopback(self) -> bool:
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_ldap_url(text: str) -> LdapUrl:
    """Read ``ldaps://HOST[:PORT]`` or ``ldap://…``. Raises ``ValueError`` with a text for the operator."""
    problem = f"{text!r} is not ldaps://HOST, ldaps://HOST:PORT or the same with ldap"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(problem) from None
    rest = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in PORTS or not parts.hostname or rest or port == 0:
        raise ValueError(problem)
    return LdapUrl(text, parts.hostname, port or PORTS[parts.scheme], parts.scheme == "ldaps")


def _read_urls(value: object) -> object:
    """Returns a list for one URL; empty text is an empty list."""
    if isinstance(value, str):
        return [value] if value else []
    return value


class LdapSection(Section):
    url: Annotated[tuple[str, ...], BeforeValidator(_read_urls)] = field(
        "",
        "`ldaps://HOST`, `ldap://HOST` with `start_tls`, or a list of them, asked in this sequence.",
        max_length=8,
    )
    bind_dn: str = field("", "DN that searches as. Empty: the search is anonymous.", max_length=1024)
    password_file: OptionalPath = field("", "File with the password of `bind_dn`. The server's user need not read it.")
    base: str = field("", "DN below which users are searched.", max_length=1024)
    filter: str = field(
        "(&(objectClass=person)(uid=%u))",
        "Filter that finds the one entry of a user. `%u`: the user name. Active Directory: `sAMAccountName` for `uid`.",
        max_length=1024,
    )
    group_base: str = field("", "DN below which groups are searched. Empty: `base`.", max_length=1024)
    group_filter: str = field(
        "",
        "Filter that finds the groups of a user by `%d`, the user's DN, or `%u`. Groups in groups are followed. "
        "Example: `(member=%d)`. Empty: the groups that the entry's `memberOf` names.",
        max_length=1024,
    )
    start_tls: Switch = field(False, "Start TLS on `ldap://` connections, before anything else is sent.")
    ca: OptionalPath = field("", "Certificates in PEM that verify the servers. Empty: those of the system.")
    timeout: Seconds = field(5, "Longest time that a login waits for one server.", unit=SECONDS, ge=1, le=60)

    @property
    def longest_wait(self) -> int:
        """Seconds until every server has failed to answer."""
        return len(self.url) * self.timeout

    @property
    def urls(self) -> tuple[LdapUrl, ...]:
        return tuple(parse_ldap_url(text) for text in self.url)

    @field_validator("url")
    @classmethod
    def _urls_are_urls(cls, url: tuple[str, ...]) -> tuple[str, ...]:
        for text in url:
            parse_ldap_url(text)
        return url

    @field_validator("filter")
    @classmethod
    def _filter_names_the_user(cls, text: str) -> str:
        if text != cls.model_fields["filter"].default:
            _check_filter(text, "%u")
        return text

    @field_validator("group_filter")
    @classmethod
    def _group_filter_names_the_user(cls, text: str) -> str:
        if text:
            _check_filter(text, "%d", "%u")
        return text

    @model_validator(mode="after")
    def _passwords_are_encrypted(self) -> Self:
        for url in self.urls:
            if url.ldaps and self.start_tls:
                raise ValueError(
                    f"start_tls: {url.text} is encrypted from the start; write ldap:// or leave start_tls out"
                )
            if not url.ldaps and not self.start_tls and not url.is_loopback:
                raise ValueError(
                    f"url: {url.text} would show passwords to the network: use ldaps:// or start_tls = true"
                )
        if self.longest_wait > MAX_WAIT:
            raise ValueError(f"timeout: all servers may take {self.longest_wait} seconds, and a login {MAX_WAIT}")
        if bool(self.bind_dn) is not (self.password_file is not None):
            raise ValueError("set both bind_dn and password_file, or neither")
        return self

    def find_problem(self) -> str | None:
        """What is missing for the method ``ldap``, with its key; ``None``: nothing."""
        if not self.url:
            return "auth.ldap.url: name the server that the method ldap asks"
        return None if self.base else "auth.ldap.base: name the DN below which users are searched"


def _check_filter(text: str, *placeholders: str) -> None:
    """Raises ``ValueError``."""
    from vpn_frontend.auth.ldap.filters import check_filter  # noqa: PLC0415 - few use LDAP, and its library is large

    check_filter(text, placeholders)
