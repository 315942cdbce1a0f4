# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversion of the ``detectors`` section of a rule file to thresholds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sentry_engine.detectors.attempts import Response
from sentry_engine.detectors.thresholds import (
    CountryThreshold,
    SprayThreshold,
    StuffingThreshold,
    Thresholds,
    TravelThreshold,
)
from sentry_engine.formats.document_model import DetectorsSection


def make_thresholds(section: DetectorsSection | None) -> Thresholds | None:
    """``None`` if the file has no such section."""
    if section is None:
        return None
    stated = frozenset(name for name in DetectorsSection.model_fields if getattr(section, name))
    thresholds = Thresholds(stated=stated)
    off: dict[str, Any] = {name: None for name in DetectorsSection.model_fields if getattr(section, name) is False}
    thresholds = replace(thresholds, **off)
    if spray := section.password_spray:
        answer = Response(spray.action), spray.penalty_duration_sec
        thresholds = replace(thresholds, password_spray=SprayThreshold(spray.threshold, spray.window_sec, *answer))
    if stuffing := section.credential_stuffing:
        answer = Response(stuffing.action), stuffing.penalty_duration_sec
        told = StuffingThreshold(stuffing.threshold, stuffing.window_sec, *answer)
        thresholds = replace(thresholds, credential_stuffing=told)
    if country := section.new_country:
        told_of = CountryThreshold(Response(country.action), country.penalty_duration_sec)
        thresholds = replace(thresholds, new_country=told_of)
    if travel := section.impossible_travel:
        answer = Response(travel.action), travel.penalty_duration_sec
        thresholds = replace(
            thresholds, impossible_travel=TravelThreshold(travel.max_km_per_hour, travel.min_km, *answer)
        )
    return thresholds
