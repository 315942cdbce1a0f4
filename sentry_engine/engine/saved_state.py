# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of an engine as values that outlive it: penalties, blocks, recent events of sources, locations of users.

Times are Unix time, because the next engine has another clock. The caller stores the JSON: the engine writes no files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from sentry_engine.addresses import V4_OFFSET, AddressError, is_ipv4, pack_network, render_network
from sentry_engine.cores.plan import MAX_LIMIT_EVENTS
from sentry_engine.records import dataclass
from sentry_engine.verdict import Reason

VERSION = 3  # of the JSON; versions 1 (no sources) and 2 (no users) are still read
MAX_PENALTIES = 1_000_000  # more than either core holds
MAX_SOURCES = 65_536  # those with the most strikes and events; 10 MB of JSON
MAX_EVENTS = 256  # bursts per source: a dozen per event
MAX_COUNT = MAX_LIMIT_EVENTS  # of strikes, and of events in a burst
MAX_LABEL = 64  # characters of an event's label
MAX_USERS = 40_000  # what two detectors remember; 4 MB of JSON
MAX_USER = 256  # characters of a user's name; longer ones are not saved
MAX_COUNTRIES = 64  # of one user
MAX_COUNTRY = 16  # characters; codes have two


@dataclass(frozen=True, slots=True)
class SavedPenalty:
    """``until`` is Unix time; ``None``: permanent."""

    network: str
    until: float | None
    reason: Reason
    rule_id: str | None


@dataclass(frozen=True, slots=True)
class SavedBlock:
    id: str
    networks: tuple[str, ...]
    text: str
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class SavedEvents:
    """``count`` accepted events ``label`` between ``first`` and ``last`` (Unix time)."""

    label: str
    first: float
    last: float
    count: int

    def to_json(self) -> list[Any]:
        return [self.label, self.first, self.last, self.count]


@dataclass(frozen=True, slots=True)
class SavedSource:
    """Strikes of a source until ``forgotten_at`` (``None``: permanent), and the events in its windows, oldest first."""

    network: str
    strikes: int
    forgotten_at: float | None
    events: tuple[SavedEvents, ...]

    @property
    def weight(self) -> tuple[int, int]:
        """Sort key when only ``MAX_SOURCES`` are saved."""
        return self.strikes, sum(burst.count for burst in self.events)

    def to_json(self) -> dict[str, Any]:
        events = [burst.to_json() for burst in self.events]
        return {
            "network": self.network,
            "strikes": self.strikes,
            "forgotten_at": self.forgotten_at,
            "events": events,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> SavedSource:
        """Raises ``ValueError`` for anything that ``to_json`` does not write."""
        try:
            packed, length = pack_network(row["network"])
            if not (length > V4_OFFSET if is_ipv4(packed) else 0 < length <= 64):
                raise ValueError(f"{row['network']!r} is no source")
            events = tuple(_read_events(burst) for burst in _read_list(row["events"], MAX_EVENTS))
            forgotten_at = _read_number(row["forgotten_at"])
            return cls(render_network(packed, length), _read_count(row["strikes"]), forgotten_at, events)
        except (KeyError, TypeError, AttributeError, AddressError) as error:
            raise ValueError(f"no source of a state: {error!r}") from None


@dataclass(frozen=True, slots=True)
class SavedUser:
    """Known locations of a user: countries, and ``place`` and Unix time of the last login.

    ``place`` is latitude and longitude in degrees. It and ``seen_at`` are ``None`` if no database has coordinates.
    """

    user: str
    countries: tuple[str, ...]
    place: tuple[float, float] | None
    seen_at: float | None

    def to_json(self) -> dict[str, Any]:
        place = None if self.place is None else list(self.place)
        return {"user": self.user, "countries": list(self.countries), "place": place, "seen_at": self.seen_at}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> SavedUser:
        """Raises ``ValueError`` for anything that ``to_json`` does not write."""
        try:
            user, countries = row["user"], tuple(_read_list(row["countries"], MAX_COUNTRIES))
            place, seen_at = _read_place(row["place"]), _read_number(row["seen_at"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no user of a state: {error!r}") from None
        known = all(isinstance(country, str) and 0 < len(country) <= MAX_COUNTRY for country in countries)
        if not isinstance(user, str) or len(user) > MAX_USER or not known or (place is None) != (seen_at is None):
            raise ValueError(f"{row!r} is no user")
        return cls(user, countries, place, seen_at)


@dataclass(frozen=True, slots=True)
class State:
    """``left_out`` is the number of sources beyond ``MAX_SOURCES``."""

    penalties: tuple[SavedPenalty, ...] = ()
    blocks: tuple[SavedBlock, ...] = ()
    sources: tuple[SavedSource, ...] = ()
    users: tuple[SavedUser, ...] = ()
    left_out: int = 0

    def to_json(self) -> dict[str, Any]:
        """JSON values, which ``from_json`` reads."""
        return {
            "version": VERSION,
            "penalties": [
                {"network": p.network, "until": p.until, "reason": p.reason.value, "rule_id": p.rule_id}
                for p in self.penalties
            ],
            "blocks": [
                {"id": b.id, "networks": list(b.networks), "text": b.text, "expires_at": b.expires_at}
                for b in self.blocks
            ],
            "sources": [source.to_json() for source in self.sources],
            "users": [user.to_json() for user in self.users],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> State:
        """Raises ``ValueError`` for anything that ``to_json`` does not write: a state is read whole or not at all."""
        try:
            version = document["version"]
            if version not in (1, 2, VERSION):
                raise ValueError(f"version {version!r} of a state is not known")
            rows = [] if version == 1 else _read_list(document["sources"], MAX_SOURCES)
            users = _read_list(document["users"], MAX_USERS) if version == VERSION else []
            return cls(
                _read_penalties(document["penalties"]),
                _read_blocks(document["blocks"]),
                tuple(map(SavedSource.from_json, rows)),
                tuple(map(SavedUser.from_json, users)),
            )
        except (KeyError, TypeError, AttributeError, AddressError) as error:
            raise ValueError(f"no state of an engine: {error!r}") from None


def _read_penalties(rows: Iterable[Mapping[str, Any]]) -> tuple[SavedPenalty, ...]:
    kept = []
    for row in rows:
        network = render_network(*pack_network(row["network"]))
        kept.append(
            SavedPenalty(network, _read_number(row["until"]), Reason(row["reason"]), _read_text(row["rule_id"]))
        )
    if len(kept) > MAX_PENALTIES:
        raise ValueError(f"{len(kept)} penalties, more than {MAX_PENALTIES}")
    return tuple(kept)


def _read_blocks(rows: Iterable[Mapping[str, Any]]) -> tuple[SavedBlock, ...]:
    return tuple(
        SavedBlock(
            str(row["id"]),
            tuple(render_network(*pack_network(text)) for text in row["networks"]),
            str(row["text"]),
            _read_number(row["expires_at"]),
        )
        for row in rows
    )


def _read_list(value: object, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"no list of at most {most}")
    return value


def _read_events(value: object) -> SavedEvents:
    label, first, last, count = _read_list(value, 4)
    began, ended = _read_number(first), _read_number(last)
    if not isinstance(label, str) or len(label) > MAX_LABEL or began is None or ended is None or began > ended:
        raise ValueError(f"{value!r} is no burst of events")
    return SavedEvents(label, began, ended, _read_count(count))


def _read_count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise ValueError(f"{value!r} is no count")
    return value


def _read_number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def is_place(latitude: float, longitude: float) -> bool:
    """True if both are in the range of degrees."""
    return abs(latitude) <= 90 and abs(longitude) <= 180


def _read_place(value: object) -> tuple[float, float] | None:
    if value is None:
        return None
    latitude, longitude = map(_read_number, _read_list(value, 2))
    if latitude is None or longitude is None or not is_place(latitude, longitude):
        raise ValueError(f"{value!r} is no place")
    return latitude, longitude


def _read_text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value
