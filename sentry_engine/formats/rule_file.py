# SPDX-License-Identifier: GPL-3.0-or-later
"""Reader of native rule documents: pydantic checks shapes, this module the rest. Problems have JSON pointers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sentry_engine.addresses import AddressError, pack_address, pack_network
from sentry_engine.cores.plan import Aggregation
from sentry_engine.errors import MAX_PROBLEMS, PolicyError, Problem
from sentry_engine.formats.columnar_rules import Split, split_rules, without_columnar
from sentry_engine.formats.detector_settings import make_thresholds
from sentry_engine.formats.document_model import (
    EventSection,
    FeedSection,
    RuleDocument,
    Sentry,
    TestSection,
    UserSection,
)
from sentry_engine.formats.rule_model import Blacklist, GeoFilter, LimitRuleModel, Rule, Whitelist, WindowSection
from sentry_engine.prefixes import NOTHING, Origin, Prefixes
from sentry_engine.rules.columnar import ColumnarRules, PrefixRules
from sentry_engine.rules.model import (
    RESERVED_ID_PREFIXES,
    FeedRule,
    GeoRule,
    LimitRule,
    PaybackRule,
    PrefixRule,
    RuleTest,
)
from sentry_engine.rules.policy_part import PolicyPart
from sentry_engine.rules.prefix_columns import pack_networks
from sentry_engine.rules.schedules import DAYS, Window
from sentry_engine.rules.user_rules import UserRule
from sentry_engine.verdict import Action, Event

BUILTIN_LABELS = frozenset(event.name.lower() for event in Event)
EVERYWHERE = ("0.0.0.0/0", "::/0")

RULES = "/wolfsentry/rules"
MAX_NETWORKS = 100  # of one rule that is kept as it was written
MAX_SHOWN = 60  # characters of a wrong value in an error

_document = TypeAdapter(RuleDocument)


def read_document(
    document: Mapping[str, Any], *, file: str, changed_at: float, folder: Path | None = None
) -> PolicyPart:
    """The rules of one document. ``ttl``s count from ``changed_at`` (Unix time). Raises ``PolicyError``.

    Paths are relative to ``folder``. Without a folder a document may not name files: error messages would disclose
    local files to an API caller.
    """
    split = split_rules(document, file=file, pointer=RULES, reserved=RESERVED_ID_PREFIXES)
    try:
        model = _document.validate_python(document if split is None else without_columnar(document, split))
    except ValidationError as error:
        if split is None:
            raise PolicyError(describe_errors(error, document, file)) from None
        split, model = None, validate_whole(document, file)  # for JSON pointers into the whole document
    places = split or Split(others=range(len(model.wolfsentry.rules)))
    part = _Reader(file, changed_at, folder).read(model.wolfsentry, places)
    return replace(part, sources=find_sources(document["wolfsentry"], places.others, file))


def find_sources(sentry: Mapping[str, Any], rules: Iterable[int], file: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The rules as they were written, by file and pointer; of ``rules`` those with these indices.

    Long lists of networks are cut off after ``MAX_NETWORKS``: they would hold as much memory as the policy.
    """
    found = [(f"{RULES}/{index}", sentry["rules"][index]) for index in rules]
    for section in ("events", "users", "feeds"):
        found += [(f"/wolfsentry/{section}/{index}", item) for index, item in enumerate(sentry.get(section) or ())]
    return {(file, pointer): _shorten(source) for pointer, source in found}


def _shorten(source: Mapping[str, Any]) -> dict[str, Any]:
    networks = source.get("remote_addr")
    if isinstance(networks, list) and len(networks) > MAX_NETWORKS:
        return {**source, "remote_addr": networks[:MAX_NETWORKS]}
    return dict(source)


def validate_whole(document: Mapping[str, Any], file: str) -> RuleDocument:
    try:
        return _document.validate_python(document)
    except ValidationError as error:
        raise PolicyError(describe_errors(error, document, file)) from None


def describe_errors(error: ValidationError, document: object, file: str) -> Iterable[Problem]:
    """Pydantic's errors as problems, with pointers into the document."""
    for finding in error.errors(include_url=False)[:MAX_PROBLEMS]:
        reason = finding["msg"].removeprefix("Value error, ")
        match finding["type"]:
            case "extra_forbidden":
                reason = "this key is not known"
            case "missing":
                reason = "this key is missing"
            case "union_tag_not_found":
                reason = "a rule needs a type"
            case "union_tag_invalid":
                reason = describe_unknown_type(finding["ctx"])
        yield Problem(file, point(finding["loc"], document, missing=finding["type"] == "missing"), reason)


def describe_unknown_type(context: Mapping[str, Any]) -> str:
    """Names the types that exist, and the one that was probably meant."""
    given, known = str(context["tag"]), [name.strip("'") for name in context["expected_tags"].split(", ")]
    close = difflib.get_close_matches(given, known, 1)
    guess = f" (did you mean {close[0]}?)" if close else ""
    return f"{given[:MAX_SHOWN]!r} is no type of a rule{guess}; types are {', '.join(known)}"


def point(location: Sequence[int | str], document: object, *, missing: bool) -> str:
    """The JSON pointer of pydantic's ``loc``, without its steps into union members.

    The last step of a ``missing`` key is kept, although it is not in the document.
    """
    steps: list[str] = []
    for index, step in enumerate(location):
        children: Any = dict(enumerate(document)) if isinstance(document, list) else document
        if isinstance(children, Mapping) and step in children:
            document = children[step]
        elif not missing or index < len(location) - 1:
            continue
        steps.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{step}" for step in steps)


class _Reader:
    def __init__(self, file: str, changed_at: float, folder: Path | None) -> None:
        self._file = file
        self._folder = folder
        self._changed_at = changed_at
        self._problems: list[Problem] = []
        self._ids: dict[str, str] = {}
        self._plain = Split()

    def read(self, sentry: Sentry, split: Split) -> PolicyPart:
        """``split`` holds the indices of the rules in ``sentry``, and the rules already read."""
        self._plain = split
        labels = {section.label: None for section in sentry.events if section.label not in BUILTIN_LABELS}
        prefix_rules: list[tuple[int, PrefixRule | ColumnarRules]] = list(split.runs)
        limit_rules: list[LimitRule] = []
        geo_rules: list[GeoRule] = []
        for index, rule in zip(split.others, sentry.rules, strict=True):
            pointer = f"{RULES}/{index}"
            self._note_id(rule.id, pointer)
            if not rule.enabled:
                continue
            origin = Origin(self._file, pointer)
            if isinstance(rule, Whitelist | Blacklist) or (
                isinstance(rule, GeoFilter) and rule.remote_addr is not None
            ):
                prefix_rules.append((index, self._prefix_rule(rule, origin)))
            elif isinstance(rule, GeoFilter):
                geo_rules.append(self._geo_rule(rule, origin))
            else:
                self._check_label(rule.event, labels, f"{pointer}/event")
                limit_rules.append(self._limit_rule(rule, origin))
        for index, section in enumerate(sentry.events):
            limit_rules.append(self._event_limit(section, f"/wolfsentry/events/{index}"))
        for index, feed in enumerate(sentry.feeds):
            self._note_id(feed.id, f"/wolfsentry/feeds/{index}")
        users = tuple(self._user(section, index) for index, section in enumerate(sentry.users))
        feeds = tuple(self._feed(feed, index) for index, feed in enumerate(sentry.feeds))
        paybacks = self._paybacks(sentry, labels)
        rule_tests = tuple(self._rule_test(test, index, labels) for index, test in enumerate(sentry.tests))
        if self._problems:
            raise PolicyError(self._problems)
        return PolicyPart(
            prefix_rules=PrefixRules(tuple(rule for _, rule in sorted(prefix_rules, key=itemgetter(0)))),
            limit_rules=tuple(limit_rules),
            geo_rules=tuple(geo_rules),
            event_labels=tuple(labels),
            user_rules=users,
            feeds=feeds,
            rule_tests=rule_tests,
            paybacks=paybacks,
            default=None if sentry.default is None else Action(sentry.default),
            on_missing=None if sentry.geoip is None else Action(sentry.geoip.on_missing),
            aggregation=None if sentry.aggregation is None else Aggregation(**sentry.aggregation.model_dump()),
            builtin_limits=sentry.builtin_limits,
            detectors=make_thresholds(sentry.detectors),
        )

    def _complain(self, pointer: str, reason: str) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(Problem(self._file, pointer, reason))

    def _note_id(self, rule_id: str, pointer: str) -> None:
        if rule_id in self._plain.ids:
            first = f"{RULES}/{self._plain.place_of(rule_id)}"
        else:
            first = self._ids.setdefault(rule_id, pointer)
        if first != pointer:
            self._complain(f"{pointer}/id", f"the id {rule_id!r} is already used at {first}")
        if rule_id.startswith(RESERVED_ID_PREFIXES):
            self._complain(
                f"{pointer}/id", f"ids that begin with {' or '.join(RESERVED_ID_PREFIXES)} are the engine's own"
            )

    def _check_label(self, label: str, known: Mapping[str, None], pointer: str) -> None:
        if label not in BUILTIN_LABELS and label not in known:
            self._complain(pointer, f"the event {label!r} is neither built in nor declared under events")

    def _expiry(self, rule: Rule) -> float | None:
        if rule.expires_at is not None:
            return rule.expires_at.timestamp()
        return None if rule.ttl is None else self._changed_at + rule.ttl

    def _pack(self, texts: str | Sequence[str], pointer: str) -> Prefixes:
        try:
            return Prefixes(*pack_networks([texts] if isinstance(texts, str) else texts))
        except AddressError:
            places = {pointer: texts} if isinstance(texts, str) else {f"{pointer}/{i}": t for i, t in enumerate(texts)}
        for place, text in places.items():
            try:
                pack_network(text)
            except AddressError as error:
                self._complain(place, str(error))
        return NOTHING

    def _prefix_rule(self, rule: Whitelist | Blacklist | GeoFilter, origin: Origin) -> PrefixRule:
        prefixes = self._pack(rule.remote_addr or (), f"{origin.pointer}/remote_addr")
        schedule = make_windows(rule.schedule)
        return PrefixRule(
            rule.id, Action(rule.action), prefixes, origin, rule.description, self._expiry(rule), schedule
        )

    def _geo_rule(self, rule: GeoFilter, origin: Origin) -> GeoRule:
        return GeoRule(
            id=rule.id,
            action=Action(rule.action),
            origin=origin,
            countries=frozenset(rule.country or ()),
            all_countries_but=frozenset(rule.country_not or ()),
            continents=frozenset(rule.continent or ()),
            asns=frozenset(rule.asn or ()),
            anonymizers=frozenset(rule.anonymizer or ()),
            description=rule.description,
            expires_at=self._expiry(rule),
            schedule=make_windows(rule.schedule),
        )

    def _limit_rule(self, rule: LimitRuleModel, origin: Origin) -> LimitRule:
        prefixes = self._pack(rule.remote_addr, f"{origin.pointer}/remote_addr")
        limit = make_limit(rule, rule.id, prefixes, origin, self._expiry(rule))
        return replace(limit, schedule=make_windows(rule.schedule)) if rule.schedule else limit

    def _event_limit(self, section: EventSection, pointer: str) -> LimitRule:
        rule_id = section.id or f"event:{section.label}"
        self._note_id(rule_id, pointer)
        prefixes = self._pack(section.remote_addr or EVERYWHERE, f"{pointer}/remote_addr")
        return make_limit(section, rule_id, prefixes, Origin(self._file, pointer), None)

    def _user(self, section: UserSection, index: int) -> UserRule:
        pointer = f"/wolfsentry/users/{index}"
        self._note_id(section.id, pointer)
        addresses = section.remote_addr
        return UserRule(
            id=section.id,
            origin=Origin(self._file, pointer),
            users=frozenset(section.user or ()),
            groups=frozenset(section.group or ()),
            max_same_clients=section.max_same_clients,
            schedule=make_windows(section.schedule),
            prefixes=None if addresses is None else self._pack(addresses, f"{pointer}/remote_addr"),
            countries=frozenset(section.country or ()),
            countries_not=frozenset(section.country_not or ()),
            expires_at=None if section.expires_at is None else section.expires_at.timestamp(),
            description=section.description,
        )

    def _feed(self, feed: FeedSection, index: int) -> FeedRule:
        origin = Origin(self._file, f"/wolfsentry/feeds/{index}")
        if feed.path is not None and self._folder is None:
            self._complain(f"{origin.pointer}/path", "only a rule file may name a file; give a url")
        path = None if feed.path is None else (self._folder or Path()) / feed.path
        return FeedRule(feed.id, origin, path, feed.url, feed.refresh_sec, feed.min_entries, feed.description)

    def _rule_test(self, test: TestSection, index: int, labels: Mapping[str, None]) -> RuleTest:
        pointer = f"/wolfsentry/tests/{index}"
        self._check_label(test.event, labels, f"{pointer}/event")
        try:
            pack_address(test.address)
        except AddressError as error:
            self._complain(f"{pointer}/address", str(error))
        origin = Origin(self._file, pointer)
        return RuleTest(test.address, test.event, Action(test.expect), origin, test.rule, test.repeat)

    def _paybacks(self, sentry: Sentry, labels: Mapping[str, None]) -> tuple[PaybackRule, ...] | None:
        if sentry.paybacks is None:
            return None
        for index, payback in enumerate(sentry.paybacks):
            self._check_label(payback.event, labels, f"/wolfsentry/paybacks/{index}/event")
            self._check_label(payback.from_event, labels, f"/wolfsentry/paybacks/{index}/from_event")
        return tuple(PaybackRule(p.event, p.from_event, p.points) for p in sentry.paybacks)


def make_windows(schedule: Sequence[WindowSection] | None) -> tuple[Window, ...]:
    return tuple(
        Window(frozenset(DAYS.index(day) for day in w.days), _minutes(w.from_), _minutes(w.to), w.zone)
        for w in schedule or ()
    )


def _minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def make_limit(
    model: LimitRuleModel | EventSection, rule_id: str, prefixes: Prefixes, origin: Origin, expires_at: float | None
) -> LimitRule:
    events, window = model.rate()
    return LimitRule(
        id=rule_id,
        event=model.label if isinstance(model, EventSection) else model.event,
        prefixes=prefixes,
        origin=origin,
        max_events=events,
        window=window,
        penalty=model.penalty_duration_sec,
        penalty_growth=model.penalty_growth,
        penalty_max=model.penalty_max_sec,
        blacklist_threshold=model.blacklist_threshold,
        blacklist_ttl=model.blacklist_ttl,
        strike_memory=model.strike_memory_sec,
        description=model.description,
        expires_at=expires_at,
    )
