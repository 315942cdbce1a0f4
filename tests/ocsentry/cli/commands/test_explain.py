# SPDX-License-Identifier: GPL-3.0-or-later
"""``ocsentry explain``: the text says what decided, and what was not asked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ocsentry.api_client.client import ClientError
from ocsentry.cli.commands.policy.rules import explain

BLOCK = "0197f0aa-0000-7000-8000-000000000001"


def step(tier, **more):
    return {"tier": tier, "matched": None, "rule_id": None, "action": None, "reason": None, "decisive": False} | more


@pytest.fixture
def explained(monkeypatch):
    """Returns the text for the answer of a server that has one block."""

    def explained(steps, verdict, block=None):
        def get(resource, **_):
            if resource == "explain":
                return {"steps": steps, "verdict": verdict | {"retry_after": None}, "dropped_by_kernel": False}
            if block is None:
                raise ClientError("There is no block")
            assert resource == f"blocks/{BLOCK}"
            return block

        said = []
        server = SimpleNamespace(running=lambda: True, get=get)
        explain(SimpleNamespace(server=server, emit=lambda _, text: said.append(text)), "198.51.100.7")
        return said[0].splitlines()

    return explained


REFUSED = {"action": "reject", "reason": "rule", "rule_id": f"block:{BLOCK}"}


def test_a_block_is_told_with_author_end_and_reason(explained):
    block = {"created_by": "ann", "created_at": "2030-01-01", "expires_at": None, "reason": "Brute\x1b force"}
    said = explained([step("rules", decisive=True, action="reject")], REFUSED, block)
    assert said[-1] == "  blocked by ann at 2030-01-01, until it is removed: Brute\ufffd force"


def test_a_block_that_has_just_ended_is_left_out(explained):
    assert explained([step("rules", decisive=True)], REFUSED)[-1].startswith("= reject")


def test_a_missing_database_is_told(explained):
    country = step("country", rule_id="no_xx", action="accept", reason="geoip_missing")
    said = explained([country], {"action": "accept", "reason": "default", "rule_id": None})
    assert said[0] == "  country      -  rule no_xx  accept  no database (policy.geoip_country, policy.geoip_asn)"


def test_the_default_names_no_limit_as_what_decided(explained):
    default = step("default", rule_id="connections", action="accept", reason="within_limit", decisive=True)
    said = explained([default], {"action": "accept", "reason": "within_limit", "rule_id": "connections"})
    assert said[0] == "> default      -  accept"
