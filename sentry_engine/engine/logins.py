# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of users beyond a core's tiers: rules about users, reconnects, and detectors on logins."""

from __future__ import annotations

from math import isfinite

from sentry_engine.addresses import render_address
from sentry_engine.cores.interface import Core, Request
from sentry_engine.cores.plan import Plan
from sentry_engine.detectors import Attempt, DetectorSet, Response
from sentry_engine.engine.unpaid_failures import UnpaidFailures
from sentry_engine.geoip.lookup import UNKNOWN_LOCATION
from sentry_engine.policy.policy import Policy
from sentry_engine.rules.user_rules import judge_user
from sentry_engine.verdict import Action, Event, Verdict


def decide_connected(core: Core, request: Request) -> Verdict:
    """The verdict on a connected source. Counts nothing.

    Rate limits, and penalties with an end, concern new attempts: other hosts behind the same NAT address can cause
    them. So they never decide here, and the tiers after them do. A permanent penalty decides.
    """
    verdict, steps = core.trace(request)
    at = next(index for index, step in enumerate(steps) if step.decisive)
    ends = verdict.retry_after is not None and isfinite(verdict.retry_after)
    if steps[at].tier != "limits" and not (steps[at].tier == "penalty" and ends):
        return verdict
    for step in steps[at + 1 :]:
        if step.tier == "default" or (step.action is Action.REJECT and step.tier != "limits"):
            assert step.action is not None and step.reason is not None  # noqa: S101, PT018  # such a step has both
            return Verdict(step.action, step.reason, step.rule_id)
    raise AssertionError("the default tier always decides")


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


def settle_failures(
    core: Core,
    unpaid: UnpaidFailures,
    plan: Plan,
    user: str,
    request: Request,
    verdict: Verdict,
    source: tuple[bytes, int],
) -> None:
    """Note a failed login that was counted; let a successful one pay back failures of the same user and source."""
    payback = plan.login_payback
    if payback is None:
        return
    if request.event == Event.AUTH_FAILURE:
        if verdict.accepted:
            unpaid.note(source, user, request.now)
        else:
            unpaid.forget(source)  # its window is empty once the penalty ends
    elif verdict.accepted:
        points = unpaid.take(source, user, payback.points, request.now - payback.window)
        if points:
            core.pay_back(request.address, Event.AUTH_FAILURE, points)


def observe_login(
    core: Core,
    detectors: DetectorSet,
    policy: Policy,
    user: str,
    request: Request,
    verdict: Verdict,
    source: tuple[bytes, int],
) -> tuple[Verdict, str]:
    """Show a login to the detectors and carry out their responses.

    Returns the verdict, which a detector may turn into a refusal, and the text of all suspicions.
    """
    lookup = policy.geo_lookup
    location = lookup.find(render_address(request.address)) if lookup else UNKNOWN_LOCATION
    success = request.event == Event.AUTH_SUCCESS and verdict.accepted
    suspicions = detectors.observe(Attempt(user, source, request.now, success, location))
    if not suspicions:
        return verdict, ""
    for suspicion in suspicions:
        if suspicion.response is Response.PENALISE:
            core.penalize(*source, request.now + suspicion.penalty, suspicion.reason, None)
        elif suspicion.response is Response.DENY and verdict.accepted:
            verdict = Verdict(Action.REJECT, suspicion.reason)
    return verdict, "; ".join(suspicion.text for suspicion in suspicions)
