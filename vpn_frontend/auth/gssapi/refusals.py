# SPDX-License-Identifier: GPL-3.0-or-later
"""Refusals of tickets, in words for the user. Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from vpn_frontend.auth.result import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

BAD_TOKEN = "bad_token"  # noqa: S105 - a code
NO_KEY = "no_key"
TOO_OLD = "ticket_too_old"
NO_TICKET = Refused(
    "This server needs a Kerberos ticket, and the client offers none: run kinit first.",
    "no_ticket",
    final=True,
    scored=False,
)
# By reason. What is the fault of a clock, of a lifetime or of this server's keys is no guess of the client.
REFUSALS: Mapping[str, Refused] = MappingProxyType(
    {
        refused.reason: refused
        for refused in (
            Refused(
                "The Kerberos ticket cannot be checked: the clocks of this device and of the server differ by more "
                "than Kerberos allows (five minutes). Set the clock, and log in again.",
                "clock_skew",
                scored=False,
            ),
            Refused("The Kerberos ticket has expired. Run kinit, and log in again.", "ticket_expired", scored=False),
            Refused(
                "The Kerberos ticket is older than this server allows. Run kinit, and log in again.",
                TOO_OLD,
                scored=False,
            ),
            Refused("The Kerberos ticket is not valid yet.", "ticket_not_yet_valid", scored=False),
            Refused("This Kerberos message was used before. Log in again.", "replay"),
            Refused(
                "The server has no key for this Kerberos ticket. Run kdestroy and kinit; if that does not help, tell "
                "its operator.",
                NO_KEY,
                scored=False,
            ),
            Refused("The Kerberos ticket is for another server.", "wrong_server"),
            Refused("The Kerberos ticket cannot be used.", BAD_TOKEN),
        )
    }
)
