# SPDX-License-Identifier: GPL-3.0-or-later
"""What PAM's codes mean for a login, and what of it the user may be told. Pure.

A failure to authenticate has one text, and messages of modules are left out: pam_faillock, for instance, would tell a
stranger that the account exists. The account phase comes after it, so its reasons are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpn_frontend.auth.pam.conversation import Phase
from vpn_frontend.auth.result import WRONG, Refused

if TYPE_CHECKING:
    from vpn_frontend.auth.pam.conversation import Ended

SUCCESS = 0  # _pam_types.h of Linux-PAM
PERM_DENIED, AUTH_ERR, CRED_INSUFFICIENT, USER_UNKNOWN, MAXTRIES = 6, 7, 8, 10, 11
NEW_AUTHTOK_REQD, ACCT_EXPIRED, AUTHTOK_ERR, AUTHTOK_EXPIRED = 12, 13, 20, 27
AUTHTOK_RECOVERY_ERR, TRY_AGAIN, CRED_EXPIRED = 21, 24, 16

_AUTHENTICATE = {
    PERM_DENIED: "wrong_password",
    AUTH_ERR: "wrong_password",
    CRED_INSUFFICIENT: "wrong_password",
    USER_UNKNOWN: "user_unknown",
    MAXTRIES: "user_locked",
    ACCT_EXPIRED: "user_expired",
    CRED_EXPIRED: "wrong_password",
}
_ACCOUNT = {
    PERM_DENIED: ("You may not log in now, or not from here.", "account_refused"),
    AUTH_ERR: ("You may not log in now, or not from here.", "account_refused"),
    USER_UNKNOWN: ("You may not log in.", "account_refused"),
    ACCT_EXPIRED: ("This account has expired.", "user_expired"),
    AUTHTOK_EXPIRED: ("Your password has expired.", "password_expired"),
    NEW_AUTHTOK_REQD: ("Your password must be changed.", "password_must_change"),
}
_PASSWORD = frozenset({PERM_DENIED, AUTH_ERR, AUTHTOK_ERR, AUTHTOK_RECOVERY_ERR, TRY_AGAIN, MAXTRIES})


def judge_end(ended: Ended) -> Refused | None:
    """The refusal of a conversation that failed; ``None``: the server could not check."""
    if ended.phase is Phase.AUTHENTICATE and ended.code in _AUTHENTICATE:
        return Refused(WRONG, _AUTHENTICATE[ended.code])
    if ended.phase is Phase.ACCOUNT and ended.code in _ACCOUNT:
        text, reason = _ACCOUNT[ended.code]
        return Refused(" ".join((text, *ended.messages)), reason, final=True, scored=False)
    if ended.phase is Phase.PASSWORD and ended.code in _PASSWORD:
        return Refused(
            " ".join(("Your password has expired and was not changed.", *ended.messages)),
            "password_not_changed",
            scored=False,
        )
    return None
