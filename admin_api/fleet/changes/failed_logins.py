# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed logins of one user, counted over all nodes: guesses at an account gain little by spreading over the fleet.

Each second a node tells the others of the users whose logins have failed there, those with the most failures first, at
most ``MOST`` of them in one change. What does not fit counts at that node alone. No login waits for any of this, and
none is refused for it: the failures of all slow the sources that a user has never logged in from.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from admin_api.fleet.rounds import Rounds
from vpn_frontend.auth.user_throttle import FORGET_AFTER, MAX_SCORE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from admin_api.fleet.changes.changes import Change
    from admin_api.fleet.membership.membership import Membership
    from admin_api.store import Store
    from vpn_frontend.auth.shared_failures import SharedFailures

FAILED_LOGINS = "failed_logins"  # kind of a change
INTERVAL = 1.0  # seconds between two looks
MOST = 16  # users in one change
KEY_SIZE = 32
INFO = b"ocsentry fleet failed logins"


def key_of(secret: bytes) -> bytes:
    """The key of the users' MACs, the same on all nodes."""
    return HKDF(SHA256(), KEY_SIZE, None, INFO).derive(secret)


class FailedLoginsPart(Rounds):
    """Tells the others from ``start`` on."""

    def __init__(
        self, failures: SharedFailures, store: Store, membership: Membership, report: Callable[[str], None]
    ) -> None:
        super().__init__("failed logins of the fleet", report)
        self._failures, self._store, self._membership = failures, store, membership

    async def apply(self, changes: Sequence[Change]) -> None:
        """Count what other nodes have told lately."""
        now = time.monotonic()
        for change in changes:
            if change.own or change.age > FORGET_AFTER:
                continue
            for user, count in change.body["users"].items():
                self._failures.hear(bytes.fromhex(user), min(int(count), int(MAX_SCORE)), now)

    async def compare(self, *, restored: bool) -> None:
        """Nothing: failures are forgotten within minutes."""

    async def tell(self) -> int:
        """Tell of what has failed here since the last look. Returns of how many users. Raises the database's error."""
        worst = self._failures.take_worst(MOST)
        if worst:
            async with self._store.write() as unit:
                unit.changes.note(FAILED_LOGINS, "", users={user.hex(): count for user, count in worst})
        return len(worst)

    async def work(self) -> None:
        """What a failure of the database keeps from the others counts at this node alone."""
        if self._membership.is_member:
            await self.tell()

    def pause(self, took: float) -> float:  # noqa: ARG002 - it takes a moment
        return INTERVAL
