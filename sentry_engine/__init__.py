# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy engine that decides which sources and users may connect: by prefix, rate, location and user.

It is usable alone and knows nothing of TLS, HTTP, SQL or asyncio. A name is loaded when it is first asked for, so a
program that needs a part of the engine loads no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine.late_names import late_names

if TYPE_CHECKING:
    from sentry_engine.addresses import AddressError, pack_address
    from sentry_engine.cores.interface import CoreCounters, Penalty, Step
    from sentry_engine.cores.plan import PlanError
    from sentry_engine.engine.blocks import MAX_BLOCKS, make_block
    from sentry_engine.engine.decision_log import Decision, DecisionLog
    from sentry_engine.engine.engine import Engine
    from sentry_engine.engine.explanation import Explanation
    from sentry_engine.engine.leases import AdmissionRefused, ClientLimits, Lease, OnExcess
    from sentry_engine.engine.replay import Change, simulate
    from sentry_engine.engine.rule_tests import run_rule_tests
    from sentry_engine.engine.saved_state import State
    from sentry_engine.errors import PolicyError, Problem
    from sentry_engine.formats.document_model import FORMAT_VERSION
    from sentry_engine.formats.schema import rule_file_schema
    from sentry_engine.geoip.databases import GeoipPaths
    from sentry_engine.policy.lint import Finding, find_policy_issues
    from sentry_engine.policy.policy import Policy
    from sentry_engine.prefixes import Prefixes
    from sentry_engine.rules.model import BLOCK_ID_PREFIX, PrefixRule
    from sentry_engine.verdict import Action, Event, Reason, Verdict, read_word
else:
    __getattr__ = late_names(
        __name__,
        {
            "addresses": "AddressError pack_address",
            "cores.interface": "CoreCounters Penalty Step",
            "cores.plan": "PlanError",
            "engine.blocks": "MAX_BLOCKS make_block",
            "engine.decision_log": "Decision DecisionLog",
            "engine.engine": "Engine",
            "engine.explanation": "Explanation",
            "engine.leases": "AdmissionRefused ClientLimits Lease OnExcess",
            "engine.replay": "Change simulate",
            "engine.rule_tests": "run_rule_tests",
            "engine.saved_state": "State",
            "errors": "PolicyError Problem",
            "formats.document_model": "FORMAT_VERSION",
            "formats.schema": "rule_file_schema",
            "geoip.databases": "GeoipPaths",
            "policy.lint": "Finding find_policy_issues",
            "policy.policy": "Policy",
            "prefixes": "Prefixes",
            "rules.model": "BLOCK_ID_PREFIX PrefixRule",
            "verdict": "Action Event Reason Verdict read_word",
        },
    )

__all__ = [
    "BLOCK_ID_PREFIX",
    "FORMAT_VERSION",
    "MAX_BLOCKS",
    "Action",
    "AddressError",
    "AdmissionRefused",
    "Change",
    "ClientLimits",
    "CoreCounters",
    "Decision",
    "DecisionLog",
    "Engine",
    "Event",
    "Explanation",
    "Finding",
    "GeoipPaths",
    "Lease",
    "OnExcess",
    "Penalty",
    "PlanError",
    "Policy",
    "PolicyError",
    "PrefixRule",
    "Prefixes",
    "Problem",
    "Reason",
    "State",
    "Step",
    "Verdict",
    "find_policy_issues",
    "make_block",
    "pack_address",
    "read_word",
    "rule_file_schema",
    "run_rule_tests",
    "simulate",
]
