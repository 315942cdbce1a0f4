# SPDX-License-Identifier: GPL-3.0-or-later
"""No input widens what the policy in force accepts: a refused input changes no verdict, a valid one applies whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentry_engine import Engine, GeoipPaths, PlanError, Policy, PolicyError, Reason, State

DATABASE = Path(__file__).parents[2] / "data" / "geoip" / "GeoLite2-Country-Test.mmdb"
BRITISH, SWEDISH = "2.125.160.217", "89.160.20.113"
RULES: list[dict[str, Any]] = [
    {"id": "office", "type": "whitelist", "remote_addr": "203.0.113.0/24"},
    {"id": "bad", "type": "blacklist", "remote_addr": ["198.51.100.0/24", "2001:db8:bad::/48"]},
    {"id": "far", "type": "geo_filter", "country": ["GB"], "action": "reject"},
    {"id": "few", "type": "rate_limit", "remote_addr": "0.0.0.0/0", "max_connections_per_minute": 600},
]
FILES = {
    "a.json": json.dumps(
        {"wolfsentry": {"version": "1.6.3", "rules": RULES, "geoip": {"on_missing": "accept"}}}
    ).encode(),
    "b.conf": b'block 192.0.2.0/25 "scanners"\nallow 192.0.2.64/26 "ours"\nblock-country SE "far"\n',
    "c.list": b"233.252.0.0/24\n# comment\n2001:db8:feed::/48\n",
    "d.json": json.dumps(
        {
            "wolfsentry-config-version": 1,
            "static-routes-insert": [
                {
                    "family": "inet",
                    "direction-in": True,
                    "penalty-boxed": True,
                    "remote": {"address": "100.64.0.0", "prefix-bits": 16},
                }
            ],
        }
    ).encode(),
    "places.mmdb": DATABASE.read_bytes(),
}
PROBES = (
    "203.0.113.7",
    "198.51.100.7",
    "2001:db8:bad::1",
    BRITISH,
    SWEDISH,
    "192.0.2.1",
    "192.0.2.65",
    "233.252.0.1",
    "2001:db8:feed::1",
    "100.64.0.1",
    "8.8.8.8",
)
SNIPPETS = (
    b"{",
    b"]",
    b'"',
    b"\x00",
    b"\xff",
    b"0.0.0.0/0",
    b"::/0",
    b"accept",
    b"allow ",
    b"\n",
    b"\x1f\x8b",
    b"null",
)


@st.composite
def damage(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file's name, and its content after accidental or malicious damage."""
    name = draw(st.sampled_from(sorted(FILES)))
    content = bytearray(FILES[name])
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(content))), draw(st.integers(0, 40))
        match draw(st.sampled_from(["cut", "drop", "repeat", "insert", "flip", "replace"])):
            case "cut":
                del content[at:]
            case "drop":
                del content[at : at + length]
            case "repeat":
                content[at:at] = content[at : at + length]
            case "insert":
                content[at:at] = draw(st.sampled_from(SNIPPETS) | st.binary(max_size=16))
            case "flip":
                content[at : at + 1] = bytes(byte ^ 1 << length % 8 for byte in content[at : at + 1])
            case _:
                content = bytearray(draw(st.binary(max_size=64)))
    return name, bytes(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def load(folder: Path) -> Policy:
    return Policy.load(folder, geoip=GeoipPaths(country=folder / "places.mmdb"))


def verdicts(engine: Engine) -> list[tuple[bool, str | None]]:
    said = [engine.explain(address, now=0.0).verdict for address in PROBES]
    return [(verdict.accepted, verdict.rule_id) for verdict in said]


def test_the_policy_says_what_the_property_is_about(folder, core_name):
    with Engine(load(folder), core=core_name) as engine:
        accepted = [accepted for accepted, _ in verdicts(engine)]
    assert accepted == [True, False, False, False, False, False, True, False, False, False, True]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(harm=damage())
def test_what_is_refused_changes_no_verdict(folder, core_name, harm):
    name, content = harm
    with Engine(load(folder), core=core_name, clock=lambda: 0.0) as engine:
        before, version = verdicts(engine), engine.version
        (folder / name).write_bytes(content)
        try:
            taken = load(folder)
            engine.swap(taken)
        except (PolicyError, PlanError):
            assert verdicts(engine) == before
            assert engine.version == version
        else:
            with Engine(taken, core="reference", clock=lambda: 0.0) as alone:
                assert verdicts(engine) == verdicts(alone)
        finally:
            (folder / name).write_bytes(FILES[name])


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_that_went_away_while_it_was_named_refuses_the_load(folder, name):
    (folder / name).unlink()
    paths = [folder / other for other in FILES if not other.endswith(".mmdb")]
    with pytest.raises(PolicyError, match=name):
        Policy.load(*paths, geoip=GeoipPaths(country=folder / "places.mmdb"))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
PENALTY = st.fixed_dictionaries(
    {
        "network": st.sampled_from(["192.0.2.1/32", "192.0.2.0/24", "::/0", "x"]),
        "until": st.none() | st.floats(-1e12, 1e12),
        "reason": st.sampled_from(["penalty", "blacklisted", "none"]),
        "rule_id": st.none() | PLAIN,
    }
)
STATE = st.fixed_dictionaries(
    {
        "version": st.sampled_from([1, 2, 3, 4]),
        "penalties": st.lists(PENALTY, max_size=3) | PLAIN,
        "blocks": st.just([]) | PLAIN,
        "sources": st.just([]) | PLAIN,
        "users": st.just([]) | PLAIN,
    }
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=STATE)
def test_no_state_lets_in_whom_the_engine_keeps_out(make_engine: Callable[..., Engine], document: Any) -> None:
    engine = make_engine([RULES[1]])
    engine.penalize("192.0.2.1", 600.0, reason=Reason.PENALTY)
    with suppress(ValueError):
        engine.import_state(State.from_json(document))
    assert not engine.explain("192.0.2.1", now=599.0).verdict.accepted
    assert not engine.explain("198.51.100.7").verdict.accepted
    engine.close()
