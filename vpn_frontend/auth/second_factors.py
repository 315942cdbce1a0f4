# SPDX-License-Identifier: GPL-3.0-or-later
"""What the method ``totp`` needs from the layers above: secrets of users, and codes that can be used once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vpn_frontend.auth.totp.secret import OtpSecret


class SecondFactors(Protocol):
    """Secrets and backup codes of users, by name. An exception counts as ``Unavailable``.

    ``login`` is a random value of one login. Using a code is one atomic step, and repeating it with the same ``login``
    succeeds: a client whose answer was lost sends its reply again.
    """

    async def find_secret(self, user: str) -> OtpSecret | None:
        """The secret of a user whose enrolment is confirmed. ``None``: there is none."""

    async def use_step(self, user: str, step: int, login: str) -> bool:
        """Use up a step and all before it. False: one of them, or a later one, was used by another login."""

    async def use_backup_code(self, user: str, code: str, login: str) -> bool:
        """Use up a backup code, in its canonical spelling. False: the user has none like it, or it was used."""
