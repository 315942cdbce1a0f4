# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of the GeoIP databases: country and continent, autonomous system, kind of anonymiser.

A snapshot holds a database as prefix columns. A policy compiles them into the same tables as its rules, so no request
reads a database. A file is read once and cached until it changes. Reading a large one takes seconds: load policies off
the event loop.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from sentry_engine.errors import PolicyError, Problem
from sentry_engine.geoip.file_identity import FileIdentity
from sentry_engine.geoip.mmdb_reader import Classify, CodedPrefixes, DatabaseError, Progress, check_database, read_tree
from sentry_engine.records import dataclass

MAX_CACHED = 6  # databases in memory: each kind, and its replacement
ANONYMIZERS = ("anonymous_vpn", "hosting_provider", "public_proxy", "residential_proxy", "tor_exit_node")


@dataclass(frozen=True, slots=True)
class GeoipPaths:
    """Files in MaxMind's DB format (GeoLite2, GeoIP2, DB-IP, IPinfo). Empty: no such database."""

    country: str | Path = ""
    asn: str | Path = ""
    anonymous: str | Path = ""

    def given(self) -> Iterator[tuple[str, str]]:
        for name in (f.name for f in fields(self)):
            if path := str(getattr(self, name)):
                yield name, path


@dataclass(frozen=True, slots=True)
class GeoSnapshot:
    """The databases as read. Classes: (country, continent), ASN, frozenset of anonymiser kinds."""

    country: CodedPrefixes | None = None
    asn: CodedPrefixes | None = None
    anonymous: CodedPrefixes | None = None


def read_databases(paths: GeoipPaths, needed: Collection[str], progress: Progress | None = None) -> GeoSnapshot:
    """Read the ``needed`` databases and open the others. Raises ``PolicyError`` with every broken one."""
    problems: list[Problem] = []
    columns: dict[str, CodedPrefixes] = {}
    for name, path in paths.given():
        try:
            if name in needed:
                columns[name] = _read_cached(FileIdentity.of(path), name, UnkeyedProgress(progress))
            else:
                check_database(path)
        except OSError as error:
            problems.append(Problem(path, "", f"the {name} database cannot be read: {error.strerror}"))
        except DatabaseError as error:
            problems.append(Problem(path, "", f"the {name} database is broken: {error}"))
    if problems:
        raise PolicyError(problems)
    return GeoSnapshot(**columns)


class UnkeyedProgress:
    """A progress callback that does not count in the key of the cache."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnkeyedProgress)

    def __hash__(self) -> int:
        return hash(UnkeyedProgress)


@lru_cache(MAX_CACHED)
def _read_cached(identity: FileIdentity, name: str, quiet: UnkeyedProgress) -> CodedPrefixes:
    return read_tree(identity.path, CLASSIFIERS[name], quiet.progress)


def classify_country(record: Any) -> tuple[str, str] | None:  # noqa: ANN401  # any database record
    """(country, continent), either may be empty. Falls back to the country of registration."""
    if not isinstance(record, Mapping):
        return None
    country = _code(record, "country") or _code(record, "registered_country")
    continent = _code(record, "continent")
    return (country, continent) if country or continent else None


def _code(record: Mapping[str, Any], key: str) -> str:
    """MaxMind and DB-IP nest the code (``country.iso_code``); IPinfo does not (``country_code`` or ``country``)."""
    value = record.get(key)
    if isinstance(value, Mapping):
        value = value.get("iso_code") or value.get("code")
    code = record.get(f"{key}_code") or value
    return code if isinstance(code, str) and len(code) == 2 else ""


def classify_asn(record: Any) -> int | None:  # noqa: ANN401
    if not isinstance(record, Mapping):
        return None
    number = record.get("autonomous_system_number", record.get("asn"))
    if isinstance(number, str):
        digits = number.removeprefix("AS")
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else None
    return number if isinstance(number, int) and 0 < number <= 0xFFFF_FFFF else None


def classify_anonymous(record: Any) -> frozenset[str] | None:  # noqa: ANN401
    if not isinstance(record, Mapping):
        return None
    kinds = {kind for kind in ANONYMIZERS if record.get(f"is_{kind}") is True}
    if kinds or record.get("is_anonymous") is True:
        return frozenset({"any", *kinds})
    return None


CLASSIFIERS: Mapping[str, Classify] = {
    "country": classify_country,
    "asn": classify_asn,
    "anonymous": classify_anonymous,
}
