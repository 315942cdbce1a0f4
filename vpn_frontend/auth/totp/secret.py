# SPDX-License-Identifier: GPL-3.0-or-later
"""The secret of one user's one-time passwords: by time (RFC 6238) or by counter (RFC 4226). Pure."""

from __future__ import annotations

import hmac
from dataclasses import field

from sentry_engine.records import dataclass
from vpn_frontend.auth.totp.codes import DIGITS, PERIOD, WINDOW, clean_code, code_at

LOOK_AHEAD = 20  # counters that a device may be ahead of the server, as ocserv allows


@dataclass(frozen=True, slots=True)
class OtpSecret:
    """``period`` 0: by counter, and ``first`` is the next counter that counts. ``pin`` goes before each code."""

    key: bytes = field(repr=False)
    period: int = PERIOD  # seconds
    digits: int = DIGITS
    first: int = 0
    pin: str = field(default="", repr=False)

    def find_step(self, text: str, now: float) -> int | None:
        """The step or counter that the typed ``text`` belongs to. ``None``: it is wrong.

        Compares with every step of the window, so the time does not tell which one it was. Of equal codes the latest
        step counts: it is the last of them to be used.
        """
        if not text.startswith(self.pin):
            return None
        code = clean_code(text[len(self.pin) :])
        if len(code) != self.digits or not (code.isascii() and code.isdigit()):
            return None
        if self.period:
            present = int(now // self.period)
            steps = range(max(0, present - WINDOW), present + WINDOW + 1)
        else:
            steps = range(self.first, self.first + LOOK_AHEAD)
        found = None
        for step in steps:
            if hmac.compare_digest(code_at(self.key, step, digits=self.digits), code):
                found = step
        return found
