# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy engine that decides who may connect: prefixes, rates, places, users. Needs nothing of the VPN around it."""

from sentry_engine.addresses import AddressError, pack_address
from sentry_engine.core import CoreCounters, Penalty, Step
from sentry_engine.decision_log import Decision, DecisionLog
from sentry_engine.detectors import Suspicion, Thresholds
from sentry_engine.engine import Engine
from sentry_engine.examples import run_examples
from sentry_engine.explain import Explanation
from sentry_engine.feeds import FeedFetcher, Fetched, Refresh, refresh_feed
from sentry_engine.formats.schema import rule_file_schema
from sentry_engine.geoip import GeoipPaths
from sentry_engine.leases import AdmissionRefused, ClientLimits, Lease, OnExcess
from sentry_engine.lint import Finding, find_oddities
from sentry_engine.plan import PlanError
from sentry_engine.policy import Policy
from sentry_engine.problems import PolicyError, Problem
from sentry_engine.rules import Prefixes, PrefixRule
from sentry_engine.simulation import Change, simulate
from sentry_engine.state import State, StateKeeper
from sentry_engine.verdict import Action, Event, Reason, Verdict, read_word

__all__ = [
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
    "FeedFetcher",
    "Fetched",
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
    "Refresh",
    "State",
    "StateKeeper",
    "Step",
    "Suspicion",
    "Thresholds",
    "Verdict",
    "find_oddities",
    "pack_address",
    "read_word",
    "refresh_feed",
    "rule_file_schema",
    "run_examples",
    "simulate",
]
