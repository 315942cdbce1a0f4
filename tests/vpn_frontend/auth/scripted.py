# SPDX-License-Identifier: GPL-3.0-or-later
"""Authentication methods for tests."""

from vpn_frontend.auth.result import Accepted, Challenge, Pending, Refused, Unavailable
from vpn_frontend.ports import UserRecord
from vpn_frontend.protocol.login_form import Field, FieldKind, Form

ALICE = UserRecord("alice", groups=("staff",))
CODE_FORM = Form((Field("answer", FieldKind.PASSWORD, "Code:"),), message="Code?", id="challenge")


class Scripted:
    """Returns the outcome it was given, and keeps the logins it saw. ``wait``: as something to wait for."""

    def __init__(self, outcome=None, *, name="scripted", wait=False):
        self.name = self.backend = name
        self.outcome = outcome if outcome is not None else Accepted(ALICE, ALICE.groups)
        self.wait = wait
        self.logins = []

    def begin(self, login):
        self.logins.append(login)
        return self.result(self.outcome)

    def answer(self, state, fields):
        raise AssertionError((state, fields))

    def result(self, outcome):
        if isinstance(outcome, Exception):
            raise outcome
        if not self.wait:
            return outcome

        async def give():
            return outcome

        return Pending(give)


class Codes(Scripted):
    """Asks for one code after the other; accepts when all were right. A wrong one may be repeated."""

    def __init__(self, *codes, name="codes", wait=False, user=ALICE):
        super().__init__(name=name, wait=wait)
        self.codes = codes
        self.user = user

    def begin(self, login):
        self.logins.append(login)
        return self.result(Challenge(CODE_FORM, 0))

    def answer(self, state, fields):
        code = fields.get("answer", fields.get("password"))
        if code == "down":
            return self.result(Unavailable("No answer."))
        if code != self.codes[state]:
            return self.result(Refused("Wrong code.", "wrong_code", retry=Challenge(CODE_FORM, state)))
        if state + 1 == len(self.codes):
            return self.result(Accepted(self.user, self.user.groups))
        return self.result(Challenge(CODE_FORM, state + 1))


async def outcome_of(result):
    """The outcome, waited for if it has to be."""
    return await result.wait() if isinstance(result, Pending) else result
