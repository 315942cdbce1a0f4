# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of users beyond a core's tiers: rules about users, reconnects, and detectors on logins."""

from __future__ import annotations

from sentry_engine.addresses import render_address
from sentry_engine.cores.interface import Core, Request
from sentry_engine.cores.plan import Plan, find_source
from sentry_engine.detectors import Attempt, DetectorSet, Response
from sentry_engine.geoip.lookup import UNKNOWN_LOCATION
from sentry_engine.policy.policy import Policy
from sentry_engine.rules.user_rules import judge_user
from sentry_engine.verdict import Action, Event, Reason, Verdict


def decide_uncounted(core: Core, request: Request) -> Verdict:
    """The verdict on a connected source: rules and penalties apply, rate limits do not."""
    verdict, steps = core.trace(request)
    limited = any(step.decisive and step.tier == "limits" for step in steps)
    return Verdict(Action.ACCEPT, Reason.WITHIN_LIMIT) if limited else verdict


def check_user_rules(
    policy: Policy, user: str, groups: tuple[str, ...], request: Request, wall_now: float
) -> Verdict | None:
    """The refusal by a rule about the user; ``None``: no rule refuses. ``wall_now`` is Unix time."""
    if not policy.user_rules:
        return None
    geo_lookup = policy.geo_lookup

    def country_of() -> str:
        return geo_lookup.find(render_address(request.address)).country if geo_lookup else ""

    return judge_user(policy.user_rules, user, groups, request.address, wall_now, country_of)


def observe_login(
    core: Core, detectors: DetectorSet, policy: Policy, plan: Plan, user: str, request: Request, verdict: Verdict
) -> tuple[Verdict, str]:
    """Show a login to the detectors and carry out their responses.

    Returns the verdict, which a detector may turn into a refusal, and the text of all suspicions.
    """
    source = find_source(plan, request.address)
    lookup = policy.geo_lookup
    location = lookup.find(render_address(request.address)) if lookup else UNKNOWN_LOCATION
    success = request.event == Event.AUTH_SUCCESS and verdict.accepted
    suspicions = detectors.observe(Attempt(user, source, request.now, success, location))
    for suspicion in suspicions:
        if suspicion.response is Response.PENALISE:
            core.penalize(*source, request.now + suspicion.penalty, suspicion.reason, None)
        elif suspicion.response is Response.DENY and verdict.accepted:
            verdict = Verdict(Action.REJECT, suspicion.reason)
    return verdict, "; ".join(suspicion.text for suspicion in suspicions)
