# SPDX-License-Identifier: GPL-3.0-or-later
"""The short way for rules of the commonest shape: one action, one prefix, at most a description.

It accepts and never refuses: what it does not know for certain to be right is left to the models and their messages.
A rule that is taken here means exactly what the models would have made of it; tests compare the two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentry_engine.addresses import AddressError, pack_network
from sentry_engine.formats.document_model import MAX_RULES
from sentry_engine.formats.rule_model import ID_PATTERN, MAX_ID, MAX_TEXT
from sentry_engine.plain_rules import PlainRules
from sentry_engine.rules import Prefixes
from sentry_engine.verdict import Action

ACTIONS = {"blacklist": "reject", "whitelist": "accept"}  # of types whose action need not be written
WORTH_IT = 64  # rules; below that the models are quick enough
_matches_id = re.compile(ID_PATTERN).fullmatch


@dataclass(slots=True)
class _Run:
    action: str
    first: int
    ids: list[str] = field(default_factory=list)
    descriptions: list[str] = field(default_factory=list)
    networks: list[bytes] = field(default_factory=list)
    lengths: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class Split:
    """The rules of a document: plain ones, by the place of the first of each run, and the places of the others."""

    runs: tuple[tuple[int, PlainRules], ...] = ()
    others: Sequence[int] = ()
    ids: frozenset[str] = frozenset()  # of the plain ones

    def place_of(self, rule_id: str) -> int:
        return next(first + run.ids.index(rule_id) for first, run in self.runs if rule_id in run.ids)


def split_rules(document: object, *, file: str, pointer: str, reserved: tuple[str, ...]) -> Split | None:
    """``None`` where the short way is not to be had: few rules, a document of another shape, ids that come twice."""
    sentry = document.get("wolfsentry") if type(document) is dict else None
    rules = sentry.get("rules") if type(sentry) is dict else None
    if type(rules) is not list or not WORTH_IT <= len(rules) <= MAX_RULES:
        return None
    runs, others, run = [], [], _Run("", -1)
    for at, rule in enumerate(rules):
        action = _action_of(rule)
        if action is None or rule["id"].startswith(reserved):
            others.append(at)
            continue
        try:
            packed, length = pack_network(rule["remote_addr"])
        except AddressError:
            others.append(at)
            continue
        if run.action != action or run.first + len(run.ids) != at:
            run = _Run(action, at)
            runs.append(run)
        run.ids.append(rule["id"])
        run.descriptions.append(rule.get("description", ""))
        run.networks.append(packed)
        run.lengths.append(length)
    ids = frozenset(name for one in runs for name in one.ids)
    if len(ids) + len(others) != len(rules):
        return None
    return Split(tuple((one.first, _freeze(one, file, pointer)) for one in runs), others, ids)


def without_plain(document: Mapping[str, Any], split: Split) -> Mapping[str, Any]:
    """The document with the rules left that the models have to look at."""
    sentry = document["wolfsentry"]
    rules = sentry["rules"]
    return {**document, "wolfsentry": {**sentry, "rules": [rules[at] for at in split.others]}}


def _action_of(rule: object) -> str | None:
    """The action of a rule that is well formed but, perhaps, for its prefix; ``None`` for every other one."""
    if type(rule) is not dict:
        return None
    kind, rule_id, text = rule.get("type"), rule.get("id"), rule.get("description", "")
    if type(kind) is not str or type(rule_id) is not str or type(text) is not str:
        return None
    known = ACTIONS.get(kind)
    action = rule.get("action", known)
    if action != known and not (kind == "geo_filter" and action in ("accept", "reject")):
        return None
    keys = 3 + ("action" in rule) + ("description" in rule)
    if action is None or type(rule.get("remote_addr")) is not str or len(rule) != keys:
        return None
    is_named = len(rule_id) <= MAX_ID and _matches_id(rule_id) is not None
    return action if is_named and len(text) <= MAX_TEXT and text.isascii() else None


def _freeze(run: _Run, file: str, pointer: str) -> PlainRules:
    prefixes = Prefixes(b"".join(run.networks), bytes(run.lengths))
    return PlainRules(Action(run.action), tuple(run.ids), tuple(run.descriptions), prefixes, file, pointer, run.first)
