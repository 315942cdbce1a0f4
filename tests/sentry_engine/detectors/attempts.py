# SPDX-License-Identifier: GPL-3.0-or-later
"""Attempts and locations for tests of detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentry_engine import Engine, Verdict
from sentry_engine.detectors import Attempt
from sentry_engine.geoip.lookup import UNKNOWN_LOCATION, Location

OFFICE = (b"\x00" * 10 + b"\xff\xff\xc0\x00\x02\x01", 128)


BERLIN, NEW_YORK, POTSDAM = (52.52, 13.40), (40.71, -74.00), (52.39, 13.06)


def source(number: int) -> tuple[bytes, int]:
    return b"\x00" * 10 + b"\xff\xff\x0a\x00" + number.to_bytes(2), 128


def attempt(
    user: str, now: float = 0.0, *, success: bool = False, location: Location = UNKNOWN_LOCATION, where: Any = OFFICE
) -> Attempt:
    return Attempt(user, where, now, success, location)


def at(position: tuple[float, float], country: str = "") -> Location:
    return Location(country=country, latitude=position[0], longitude=position[1])


CITY = Path(__file__).parents[2] / "data" / "geoip" / "GeoLite2-City-Test.mmdb"


COUNTRY = CITY.with_name("GeoLite2-Country-Test.mmdb")


ENGLAND, WASHINGTON = "2.125.160.216", "216.160.83.56"


def provoke(made: Engine, detector: str) -> Verdict:
    """The verdict on the login that makes the detector suspicious."""
    if detector in ("new_country", "impossible_travel"):
        made.decide("auth_success", ENGLAND, user="ann", now=0.0)
        return made.decide("auth_success", WASHINGTON, user="ann", now=3_600.0)
    for n in range(3):
        address, user = ("192.0.2.1", f"user-{n}") if detector == "password_spray" else (f"192.0.2.{n + 1}", "ann")
        verdict = made.decide("auth_failure", address, user=user, now=float(n))
    return verdict
