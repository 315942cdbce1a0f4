# SPDX-License-Identifier: GPL-3.0-or-later
"""``[auth.certificate]``: the certificates of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import field_validator

from ocsentry.configuration.fields import OptionalPath, Section, field
from vpn_frontend.auth.certificate.identity import CertificateFields
from vpn_frontend.settings import AtConnect, CertificateSettings, CrlCheck

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CERTIFICATE = CertificateSettings()  # its defaults are those of the file


class CertificateSection(Section):
    ca: OptionalPath = field(
        CERTIFICATE.ca or "", "Authorities of client certificates, in PEM. Needed by the method `certificate`."
    )
    crl: OptionalPath = field(
        CERTIFICATE.crl or "",
        "Their revocation lists, in PEM or DER, read again every minute. Empty: none is revoked. With a list, clients "
        "of an authority without one are refused, and so are all clients of a list that is past its next update.",
    )
    crl_check: CrlCheck = field(
        CERTIFICATE.crl_check,
        "`strict`: as said, and a list of an authority whose key usage lacks cRLSign is an error. `listed`: as GnuTLS "
        "and ocserv do it, only certificates that a list names are refused, even by a list past its next update. Then "
        "the clients' own certificates are checked, those of authorities between are not.",
    )
    user_field: str = field(
        CERTIFICATE.user_field,
        "Where the user's name is: an attribute of the subject (`CN`, `UID`, `OU`, `O`, `emailAddress`, "
        "`serialNumber`, or an OID) or `san:email`. A certificate needs exactly one.",
        max_length=128,
    )
    group_field: str = field(
        CERTIFICATE.group_field,
        "Where the names of groups are, likewise; every value counts, and is offered with `auth.groups` in a form. "
        "Empty: none.",
        max_length=128,
    )
    at_connect: AtConnect = field(
        CERTIFICATE.at_connect,
        "What a tunnel needs of its login's certificate: the `same`, or it is `optional`, for clients that make the "
        "tunnel in a process without certificates (AnyConnect). Another certificate is always refused.",
    )
    ask_group: bool = field(
        CERTIFICATE.ask_group,
        "Ask which group a login is by, if the client has chosen none and its certificate names several. One group "
        "that is also in `auth.groups` is taken without asking. For logins without a password.",
    )

    @field_validator("user_field")
    @classmethod
    def _user_field_can_be_used(cls, text: str) -> str:
        return _checked(CertificateFields(text), text)

    @field_validator("group_field")
    @classmethod
    def _group_field_can_be_used(cls, text: str) -> str:
        return _checked(CertificateFields("CN", text), text)

    def settings(self) -> CertificateSettings:
        return CertificateSettings(
            self.ca, self.crl, self.crl_check, self.user_field, self.group_field, self.at_connect, self.ask_group
        )

    def files(self) -> Iterator[tuple[str, Path]]:
        """The files that the server reads once it has given its privileges up, by their keys."""
        for key, path in (("auth.certificate.ca", self.ca), ("auth.certificate.crl", self.crl)):
            if path is not None:
                yield key, path

    def find_problem(self) -> str | None:
        """What is missing for the method ``certificate``, with its key; ``None``: nothing."""
        return "auth.certificate.ca: name the authorities of client certificates" if self.ca is None else None


def _checked(fields: CertificateFields, text: str) -> str:
    if (problem := fields.find_problem()) is not None:
        raise ValueError(problem.partition(": ")[2])
    return text
