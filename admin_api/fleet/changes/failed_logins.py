# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed logins of one user, counted over all nodes: guesses at an account gain little by spreading over the fleet.

Each second a node tells the others of the users whose logins have failed there, those with the most failures first, at
most ``MOST`` of them in one change. What does not fit counts at that node alone. No login waits for any of this, and
none is refused for it: the failures of all slow the sources that a user has never logged in from.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

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


class FailedLoginsPart:
    """``start`` tells from then on, ``stop`` ends that."""

    def __init__(
        self, failures: SharedFailures, store: Store, membership: Membership, report: Callable[[str], None]
    ) -> None:
        """``report`` is told why nothing was told."""
        self._failures, self._store, self._membership, self._report = failures, store, membership, report
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="failed logins of the fleet")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

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

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            if not self._membership.is_member:
                continue
            try:
                await self.tell()
            except Exception as error:  # noqa: BLE001 - any failure of the database: they count at this node alone
                self._report(str(error))
