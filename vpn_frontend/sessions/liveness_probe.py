# SPDX-License-Identifier: GPL-3.0-or-later
"""A login against sessions of its own user that may be dead: who is heard within two seconds keeps its place.

A network that died without a word leaves a session that looks connected until dead peer detection finds out, up to
twice ``dpd`` later, and with one client per user that would lock its owner out for so long. So a login that the limit
of clients refuses asks them: each is probed at once, and one that gives no sign of life gives way. Likewise a session
whose client said that it comes right back (a rekey by a new tunnel, another MTU) is waited for before it gives way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vpn_frontend.sessions.admission import RefusedError
from vpn_frontend.sessions.session import Phase

if TYPE_CHECKING:
    from vpn_frontend.sessions.session import Session

# Seconds. Longer than a round trip over a satellite and the repetition of a lost segment; short for one who waits.
CONTEST_PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class Contest:
    """The rivals, each with the number of its signs of life when it was asked. ``until``: how long they have."""

    rivals: tuple[tuple[Session, int], ...]
    until: float

    def silent(self) -> list[Session]:
        """Who has not been heard since, in the order of login."""
        return [rival for rival, signs in self.rivals if rival.phase is Phase.OPEN and rival.signs_of_life == signs]

    def dead(self, now: float) -> list[Session]:
        """Who has not been heard in all the time there was."""
        return self.silent() if now >= self.until else []

    def decided(self, now: float) -> bool:
        """Waiting longer changes nothing: all have answered, or one's place is free."""
        free = any(rival.phase is not Phase.OPEN or rival.gives_way(now) for rival, _ in self.rivals)
        return free or not self.silent()


class ContestedError(RefusedError):
    """Refused, unless a rival stays silent: ask again with the contest once it is decided or its time is over."""

    def __init__(self, refused: RefusedError, contest: Contest) -> None:
        super().__init__(refused.text, refused.reason, refused.retry_after)
        self.contest = contest
