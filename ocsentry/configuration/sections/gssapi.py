# SPDX-License-Identifier: GPL-3.0-or-later
"""``[auth.gssapi]``: the keys of the method ``gssapi``, Kerberos tickets by HTTP Negotiate."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ocsentry.configuration.fields import SECONDS, OptionalPath, Seconds, Section, field

Realm = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$")]
ServiceName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]

MAX_AGE = 2_592_000  # seconds, 30 days


class GssapiSection(Section):
    keytab: OptionalPath = field(
        "",
        "Keytab with the key of `HTTP/HOST`, where HOST is the name that clients connect to. Read at the start, with "
        "the rights that the server starts with. Its user need not read it.",
    )
    realms: tuple[Realm, ...] = field(
        (),
        "Realms whose users may log in. Empty: that of the server's key. Users of that realm are named without it, "
        "those of others `user@REALM`.",
        max_length=16,
    )
    max_ticket_age: Seconds = field(
        0,
        "Longest time since the user gave a password or another proof to the KDC. After it, tickets are refused though "
        "they are valid. 0: no limit.",
        unit=SECONDS,
        ge=0,
        le=MAX_AGE,
    )
    service: ServiceName = field(
        "HTTP", "First component of the server's principals. Clients ask for `HTTP`. Other keys are left out."
    )

    def find_problem(self) -> str | None:
        """What is missing for the method ``gssapi``, with its key; ``None``: nothing."""
        return None if self.keytab else "auth.gssapi.keytab: name the keytab with the server's key (HTTP/HOST)"
