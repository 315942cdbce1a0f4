# SPDX-License-Identifier: GPL-3.0-or-later
"""What the answer to a user's bind means, and what of it the user may be told. Pure.

A state that a server reports whatever the password is would tell strangers which accounts exist. Such a state becomes
the text of a wrong password; its reason is for the log. Active Directory reports most states only after it has
verified the password (its sub-codes ``data 530`` to ``773``); ``data 775`` (locked) it reports for any password.
"""

from __future__ import annotations

import re

from sentry_engine.records import dataclass
from vpn_frontend.auth.ldap.responses import ResponseError, Result, read_integers
from vpn_frontend.auth.result import WRONG, Refused

PASSWORD_POLICY = "1.3.6.1.4.1.42.2.27.8.5.1"  # noqa: S105 - the control's name (draft-behera-ldap-password-policy)
POLICY_ERROR = 0x81  # the tag of the error in that control's value
SUCCESS = 0
_SUBCODE = re.compile(r"\bdata ([0-9a-f]{1,8})\b")
_EXPIRED = "Your password has expired. Change it at your workplace, then log in again."
_MUST_CHANGE = "Your password must be changed before you can log in here. Change it at your workplace."

# By sub-code: reason, and the text for a user whose password was right. None: not told.
AD_STATES: dict[str, tuple[str, str | None]] = {
    "525": ("user_unknown", None),
    "52e": ("wrong_password", None),
    "530": ("logon_hours", "You may not log in at this time."),
    "531": ("workstation_refused", "You may not log in from here."),
    "532": ("password_expired", _EXPIRED),
    "533": ("user_disabled", "This account is disabled."),
    "701": ("user_expired", "This account has expired."),
    "773": ("password_must_change", _MUST_CHANGE),
    "775": ("user_locked", None),
}
# Errors of the password policy control. OpenLDAP sends 0 and 2 after the password was verified, 1 for any password.
POLICY_STATES: dict[int, tuple[str, str | None]] = {
    0: ("password_expired", _EXPIRED),
    1: ("user_locked", None),
    2: ("password_must_change", _MUST_CHANGE),
}
# Result codes that refuse the user. 389 Directory Server sends 19 and 53 for locked accounts, whatever the password is.
REFUSALS = {
    19: "user_locked",
    32: "user_unknown",
    34: "user_unknown",
    48: "no_password",
    49: "wrong_password",
    50: "bind_not_allowed",
    53: "user_disabled",
}


@dataclass(frozen=True, slots=True)
class BindAccepted:
    """The password is right and may be used."""


def judge_bind(result: Result) -> BindAccepted | Refused | None:
    """What the bind's ``result`` says of the user. ``None``: nothing, the server could not check."""
    state = POLICY_STATES.get(_policy_error(result))
    if result.code == SUCCESS:
        return BindAccepted() if state is None else _refuse(*state)
    if result.code not in REFUSALS:
        return None
    if result.code == 49:
        found = _SUBCODE.search(result.diagnostic)
        state = state or (AD_STATES.get(found[1]) if found else None)
    return _refuse(*state) if state is not None else Refused(WRONG, REFUSALS[result.code])


def _refuse(reason: str, text: str | None) -> Refused:
    return Refused(WRONG, reason) if text is None else Refused(text, reason, final=True, scored=False)


def _policy_error(result: Result) -> int:
    """The error of the password policy control; -1: none."""
    value = result.controls.get(PASSWORD_POLICY, b"")
    if not value:
        return -1
    try:
        return read_integers(value).get(POLICY_ERROR, -1)
    except ResponseError:
        return -1
