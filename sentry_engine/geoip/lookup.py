# SPDX-License-Identifier: GPL-3.0-or-later
"""Geo lookup of single addresses, for rules about users and for events. Not used per packet."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentry_engine.geoip.databases import GeoipPaths, classify_anonymous, classify_asn, classify_country
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from maxminddb import Reader

MAX_REMEMBERED = 4_096  # addresses
SAMPLE = 500  # records searched for coordinates: a database has them nearly everywhere or nowhere


@dataclass(frozen=True, slots=True)
class Location:
    """The database fields of an address. Empty or ``None``: unknown."""

    country: str = ""
    continent: str = ""
    asn: int | None = None
    organisation: str = ""
    anonymizers: frozenset[str] = frozenset()
    latitude: float | None = None
    longitude: float | None = None


UNKNOWN_LOCATION = Location()


class GeoLookup:
    """Holds the databases in memory, so overwriting a file in place is harmless. Thread-safe."""

    def __init__(self, paths: GeoipPaths) -> None:
        """Raises ``OSError`` and ``maxminddb.InvalidDatabaseError``; ``read_databases`` reports them as problems."""
        self._readers: dict[str, Reader] = {}
        self._broken: tuple[type[Exception], ...] = ()
        if given := dict(paths.given()):
            from sentry_engine.geoip.database_file import BROKEN, open_database  # noqa: PLC0415

            self._broken = BROKEN
            self._readers = {name: open_database(Path(path).read_bytes()) for name, path in given.items()}
        self.find = lru_cache(MAX_REMEMBERED)(self._find)

    def knows(self, name: str) -> bool:
        """True if the database ``name`` (``country``, ``asn``, ``anonymous``) is present."""
        return name in self._readers

    def has_coordinates(self) -> bool:
        """True if the country database has coordinates, as City databases do."""
        reader = self._readers.get("country")
        if reader is None:
            return False
        try:
            records = [record for _, record in islice(reader, SAMPLE)]
        except self._broken:
            return False
        locations = (record.get("location") for record in records if isinstance(record, Mapping))
        return any(_degrees(location, "latitude") is not None for location in locations)

    def _find(self, address: str) -> Location:
        records = {name: self._get(reader, address) for name, reader in self._readers.items()}
        place, network = records.get("country"), records.get("asn")
        country, continent = classify_country(place) or ("", "")
        location = place.get("location", {}) if isinstance(place, Mapping) else {}
        organisation = network.get("autonomous_system_organization", "") if isinstance(network, Mapping) else ""
        return Location(
            country=country,
            continent=continent,
            asn=classify_asn(network),
            organisation=organisation if isinstance(organisation, str) else "",
            anonymizers=classify_anonymous(records.get("anonymous")) or frozenset(),
            latitude=_degrees(location, "latitude"),
            longitude=_degrees(location, "longitude"),
        )

    def _get(self, reader: Reader, address: str) -> Any:  # noqa: ANN401
        try:
            return reader.get(address)
        except self._broken:
            return None  # an IPv6 address in an IPv4 database, or a broken record


def _degrees(location: object, key: str) -> float | None:
    value = location.get(key) if isinstance(location, Mapping) else None
    return float(value) if isinstance(value, int | float) else None
