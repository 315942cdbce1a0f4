# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed logins by user, whatever their sources: a slow limit that never locks the user out. Pure.

The policy limits each source. A botnet has thousands of them, so guesses at one account are limited here: twenty
failures are free, and one is forgotten every three minutes. Above that, sources from which the user has never logged in
share one attempt at a time, later after each failure and at most every minute. That leaves 60 guesses in an hour.
Sources and devices of earlier logins are not limited here. Names that no user has are limited alike.

Both tables are keyed by MACs under a random key of the process, or a secret one of its fleet, so a peer cannot choose
where its entries go.
"""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from collections import OrderedDict
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from vpn_frontend.auth.shared_failures import SharedFailures
    from vpn_frontend.settings import Address

FREE_FAILURES = 20  # without a delay: as many as the shipped limit of one source
FORGET_AFTER = 180.0  # seconds for one failure
MAX_DELAY = 60.0  # seconds between two attempts
MAX_SCORE = FREE_FAILURES + 10.0  # so that half an hour after an attack no source waits
SETS = 2048
NAME_BYTES = 16  # of the MAC of a name
HOST_BYTES = 8  # of the MAC of a virtual host's name, before those of its users
WAYS = 8  # users in one set; when full, the one with the fewest failures is forgotten
MAX_KNOWN = 32_768  # sources and devices of users; the one whose last login is longest ago is forgotten
MIN_DEVICE_ID = 16  # characters; shorter ones are guessed
IPV6_SOURCE = 8  # bytes: a /64


@dataclass(slots=True)
class _Failures:
    user: bytes
    score: float = 0.0
    scored_at: float = 0.0
    next_at: float = 0.0  # when a source that is not known may try again

    def score_at(self, now: float) -> float:
        return max(0.0, self.score - (now - self.scored_at) / FORGET_AFTER)

    def add(self, count: int, now: float) -> None:
        self.score, self.scored_at = min(MAX_SCORE, self.score_at(now) + count), now

    def delay(self, now: float) -> None:
        """An attempt was let pass now: the next one is later, if there were too many failures."""
        excess = self.score_at(now) - FREE_FAILURES
        if excess >= 0:
            self.next_at = max(self.next_at, now + min(MAX_DELAY, 2.0 ** (excess + 1)))


class UserThrottle:
    """Users are given by the name that the client sends; ``now`` is monotonic seconds."""

    def __init__(self, shared: SharedFailures | None = None, host: str = "") -> None:
        """``shared``: the failures at other nodes of a fleet count too.

        ``host``: the virtual host whose users these are, so that a user of the same name elsewhere is another one.
        Empty: the server's own.
        """
        self._key = secrets.token_bytes(32) if shared is None else shared.key
        self._host = self._mac(b"host", host.encode())[:HOST_BYTES] if host else b""
        self._shared = shared
        if shared is not None:
            shared.add(self)
        self._sets: list[list[_Failures]] = [[] for _ in range(SETS)]
        self._known: OrderedDict[bytes, None] = OrderedDict()  # the latest login last

    def take(self, user: str, now: float) -> float | None:
        """Take an attempt of a source that is not known. Returns the seconds to wait if it is not its time.

        Attempts that begin before the failures of others are known pass together: as many as methods check at once.
        """
        entry = self._find(self._name(user))
        if entry is None:
            return None
        if now < entry.next_at:
            return entry.next_at - now
        entry.delay(now)
        return None

    def note_failure(self, user: str, now: float) -> None:
        name = self._name(user)
        entry = self._find(name) or self._add(name, now)
        entry.add(1, now)
        if self._shared is not None:
            self._shared.note(name, entry.score)

    def hear_failures(self, name: bytes, count: int, now: float) -> None:
        """Other nodes have let ``count`` attempts of ``name`` pass, which failed: the next one is later here, too.

        Nothing happens if it is the name of another host's user.
        """
        if name[:-NAME_BYTES] != self._host:
            return
        entry = self._find(name) or self._add(name, now)
        entry.add(count, now)
        entry.delay(now)

    def learn(self, user: str, address: Address, device: str) -> None:
        """Note the source and the device of a login that was accepted."""
        for known in self._marks(user, address, device):
            self._known[known] = None
            self._known.move_to_end(known)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def knows(self, user: str, address: Address, device: str) -> bool:
        """True if the user has logged in from this source, or with this device."""
        return any(known in self._known for known in self._marks(user, address, device))

    def _name(self, user: str) -> bytes:
        return self._host + self._mac(b"user", _fold(user))

    def _find(self, name: bytes) -> _Failures | None:
        return next((entry for entry in self._set_of(name) if entry.user == name), None)

    def _add(self, name: bytes, now: float) -> _Failures:
        entry = _Failures(name, scored_at=now)
        entries = self._set_of(entry.user)
        if len(entries) >= WAYS:
            entries.remove(min(entries, key=lambda entry: entry.score_at(now)))
        entries.append(entry)
        return entry

    def _set_of(self, name: bytes) -> list[_Failures]:
        return self._sets[int.from_bytes(name[-4:], "big") % SETS]

    def _marks(self, user: str, address: Address, device: str) -> list[bytes]:
        name = _fold(user)
        source = address.packed if address.version == 4 else address.packed[:IPV6_SOURCE]
        marks = [self._mac(b"source", name, source)]
        if len(device) >= MIN_DEVICE_ID:
            marks.append(self._mac(b"device", name, device.encode()))
        return marks

    def _mac(self, *parts: bytes) -> bytes:
        text = b"".join([len(part).to_bytes(2, "big") + part for part in parts])
        return hashlib.blake2b(text, key=self._key, digest_size=NAME_BYTES).digest()


def _fold(user: str) -> bytes:
    """One key for the spellings of a name that directories take for the same user."""
    if user.isascii():
        return user.lower().encode()
    return unicodedata.normalize("NFKC", user).casefold().encode()
