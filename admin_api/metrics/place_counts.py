# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts recorded verdicts by the country and the network (autonomous system) that their sources are in."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

Key = TypeVar("Key")

ACCEPTED = "accept"
MAX_COUNTRIES = 300  # ISO 3166-1 has 249 codes
MAX_NETWORKS = 4096  # sources in further ones count by their country only


@dataclass(slots=True)
class PlaceCount:
    accepted: int = 0
    refused: int = 0  # also those that a limit refuses for a while


class PlaceCounts:
    """Used on the event loop's thread only. Verdicts without a place are not counted."""

    def __init__(self) -> None:
        self.countries: dict[str, PlaceCount] = {}  # by ISO 3166-1 code
        self.networks: dict[int, PlaceCount] = {}  # by AS number

    def count(self, fields: Mapping[str, object]) -> None:
        accepted = fields.get("verdict") == ACCEPTED
        if isinstance(code := fields.get("country"), str):
            _add(self.countries, code, MAX_COUNTRIES, accepted=accepted)
        if isinstance(number := fields.get("asn"), int):
            _add(self.networks, number, MAX_NETWORKS, accepted=accepted)


def _add(counts: dict[Key, PlaceCount], key: Key, bound: int, *, accepted: bool) -> None:
    found = counts.get(key)
    if found is None:
        if len(counts) >= bound:
            return
        found = counts[key] = PlaceCount()
    if accepted:
        found.accepted += 1
    else:
        found.refused += 1
