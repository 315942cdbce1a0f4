# SPDX-License-Identifier: GPL-3.0-or-later
"""Every default and limit of the engine is written once: documents, rules and plans agree, and so do the packages."""

from __future__ import annotations

import subprocess
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from admin_api.enforcement.blocks import enforced as api_blocks
from sentry_engine import BLOCK_ID_PREFIX, FORMAT_VERSION, MAX_BLOCKS, Policy, Prefixes
from sentry_engine.cores.plan import MAX_LIMIT_EVENTS, Aggregation, Limit
from sentry_engine.detectors.thresholds import DETECTOR_PENALTY, CountryThreshold, TravelThreshold
from sentry_engine.engine.saved_state import MAX_COUNT
from sentry_engine.formats.document_model import AggregationSection, NewCountrySection, TravelSection
from sentry_engine.formats.rule_model import Anonymizer, PenaltyFields
from sentry_engine.geoip.databases import ANONYMIZERS
from sentry_engine.prefixes import Origin
from sentry_engine.rules.defaults import BUILTIN_LIMITS
from sentry_engine.rules.model import BUILTIN_ID_PREFIX, RESERVED_ID_PREFIXES, LimitRule

ROOT = Path(__file__).parents[2]
PACKAGES = ("sentry_engine", "vpn_frontend", "admin_api", "ocsentry")


def rows_with(text: str) -> list[str]:
    found = subprocess.run(
        ["git", "grep", "-hF", text, "--", *(f"{package}/**.py" for package in PACKAGES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.splitlines()


@pytest.mark.parametrize(
    ("literal", "owner"),
    [
        (f'"{BLOCK_ID_PREFIX}', "BLOCK_ID_PREFIX = "),
        (f'"{BUILTIN_ID_PREFIX}', "BUILTIN_ID_PREFIX = "),
        (f" = {MAX_BLOCKS:_}  # in force", "MAX_BLOCKS = "),
        ("FORMAT_VERSION = ", "FORMAT_VERSION = "),
    ],
)
def test_a_constant_is_written_once(literal, owner):
    rows = rows_with(literal)
    assert len(rows) == 1
    assert rows[0].startswith(owner)


def test_documents_rules_and_plans_have_the_same_penalties():
    limit = Limit(event=0, rule=0, max_events=1, window=1.0, penalty=0.0)
    rule = LimitRule("id", "connect", Prefixes.of("::/0"), Origin("", ""), max_events=1, window=1.0)
    section = PenaltyFields()
    for name in ("penalty_growth", "blacklist_threshold", "blacklist_ttl"):
        assert getattr(section, name) == getattr(rule, name) == getattr(limit, name)
    for name in ("penalty_max", "strike_memory"):
        assert getattr(section, f"{name}_sec") == getattr(rule, name) == getattr(limit, name)
    assert section.penalty_duration_sec == rule.penalty


def test_documents_and_plans_have_the_same_aggregation():
    section = AggregationSection()
    assert Aggregation(**section.model_dump()) == Aggregation()
    assert set(AggregationSection.model_fields) == {field.name for field in fields(Aggregation)}


def test_documents_and_detectors_have_the_same_thresholds():
    travel, threshold = TravelSection(action="log"), TravelThreshold()
    assert (travel.max_km_per_hour, travel.min_km) == (threshold.kilometres_per_hour, threshold.kilometres)
    penalties = {travel.penalty_duration_sec, NewCountrySection(action="log").penalty_duration_sec}
    assert penalties == {threshold.penalty, CountryThreshold().penalty} == {DETECTOR_PENALTY}


def test_a_state_holds_as_many_events_as_a_limit_may_count():
    document = {"id": "x", "type": "auth_limit", "remote_addr": "::/0", "window_sec": 1, "max_failures": MAX_COUNT}
    Policy.from_document({"wolfsentry": {"version": FORMAT_VERSION, "rules": [document]}})
    assert MAX_COUNT == MAX_LIMIT_EVENTS


def test_rule_files_know_the_anonymizers_of_the_databases():
    assert set(get_args(Anonymizer)) == {"any", *ANONYMIZERS}


def test_reserved_ids_are_those_of_blocks_and_built_in_limits():
    assert {BUILTIN_ID_PREFIX, BLOCK_ID_PREFIX} == set(RESERVED_ID_PREFIXES)
    assert all(rule.id.startswith(BUILTIN_ID_PREFIX) for rule in BUILTIN_LIMITS)
    assert api_blocks.block_rule_id("1") == f"{BLOCK_ID_PREFIX}1"
