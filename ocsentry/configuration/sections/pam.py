# SPDX-License-Identifier: GPL-3.0-or-later
"""``[auth.pam]``: the PAM service that the method ``pam`` uses."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ocsentry.configuration.fields import SECONDS, Count, Seconds, Section, field

ServiceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]  # a file of /etc/pam.d
OptionalServiceName = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,63})?$")]


class PamSection(Section):
    service: ServiceName = field("ocsentry", "PAM service, a file of `/etc/pam.d`.")
    gid_min: Count = field(
        1000, "Groups of the system with a smaller number are not groups of a login.", ge=0, le=2**31
    )
    timeout: Seconds = field(
        60,
        "Longest time that a module may take for one step. Then the conversation is killed.",
        unit=SECONDS,
        ge=1,
        le=110,
    )
