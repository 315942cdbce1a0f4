# SPDX-License-Identifier: GPL-3.0-or-later
"""What the databases say of one address: for rules about users, and to show with an event. Never asked per packet."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import maxminddb

from sentry_engine.geoip.databases import GeoipPaths, classify_anonymous, classify_asn, classify_country
from sentry_engine.geoip.mmdb_reader import BROKEN

MAX_REMEMBERED = 4_096  # addresses
SAMPLE = 500  # records in which coordinates are looked for; a database has them nearly everywhere or nowhere


@dataclass(frozen=True, slots=True)
class Place:
    """Empty where nothing is known."""

    country: str = ""
    continent: str = ""
    asn: int | None = None
    organisation: str = ""
    anonymizers: frozenset[str] = frozenset()
    latitude: float | None = None
    longitude: float | None = None


UNKNOWN_LOCATION = Place()


class GeoLookup:
    """Holds the databases in memory, so that a file which is overwritten in place disturbs nobody."""

    def __init__(self, paths: GeoipPaths) -> None:
        """Raises ``OSError`` and ``maxminddb.InvalidDatabaseError``; ``read_databases`` is the one to explain them."""
        self._readers = {
            name: maxminddb.open_database(io.BytesIO(Path(path).read_bytes()), maxminddb.MODE_FD)
            for name, path in paths.given()
        }
        self.find = lru_cache(MAX_REMEMBERED)(self._find)

    def knows(self, name: str) -> bool:
        """Whether there is such a database: ``country``, ``asn``, ``anonymous``."""
        return name in self._readers

    def has_coordinates(self) -> bool:
        """Whether the database in the place of countries tells where an address is, as those of cities do."""
        reader = self._readers.get("country")
        if reader is None:
            return False
        try:
            records = [record for _, record in islice(reader, SAMPLE)]
        except BROKEN:
            return False
        locations = (record.get("location") for record in records if isinstance(record, Mapping))
        return any(_degrees(location, "latitude") is not None for location in locations)

    def _find(self, address: str) -> Place:
        records = {name: self._get(reader, address) for name, reader in self._readers.items()}
        place, network = records.get("country"), records.get("asn")
        country, continent = classify_country(place) or ("", "")
        location = place.get("location", {}) if isinstance(place, Mapping) else {}
        organisation = network.get("autonomous_system_organization", "") if isinstance(network, Mapping) else ""
        return Place(
            country=country,
            continent=continent,
            asn=classify_asn(network),
            organisation=organisation if isinstance(organisation, str) else "",
            anonymizers=classify_anonymous(records.get("anonymous")) or frozenset(),
            latitude=_degrees(location, "latitude"),
            longitude=_degrees(location, "longitude"),
        )

    @staticmethod
    def _get(reader: maxminddb.Reader, address: str) -> Any:  # noqa: ANN401
        try:
            return reader.get(address)
        except BROKEN:
            return None  # an IPv6 address in a database of IPv4; a record that is broken where nobody had looked


def _degrees(location: object, key: str) -> float | None:
    value = location.get(key) if isinstance(location, Mapping) else None
    return float(value) if isinstance(value, int | float) else None
