# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy: the content of all rule files. Loading is all or nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

from sentry_engine.addresses import render_network
from sentry_engine.errors import PolicyError, Problem
from sentry_engine.gc_pause import collector_paused
from sentry_engine.geoip.databases import GeoipPaths, GeoSnapshot, read_databases
from sentry_engine.geoip.lookup import GeoLookup
from sentry_engine.geoip.mmdb_reader import Progress
from sentry_engine.policy.feeds import read_feeds, unfetched_feeds
from sentry_engine.policy.rule_files import FileReader, find_files, read_file, read_parsed
from sentry_engine.prefixes import Prefixes
from sentry_engine.records import dataclass
from sentry_engine.rules.columnar import ids_of, join_rules, objects_of, texts_of
from sentry_engine.rules.model import FeedRule, GeoRule, LimitRule, PrefixRule, RouteRules
from sentry_engine.rules.policy_part import PolicyPart
from sentry_engine.rules.schedules import next_change
from sentry_engine.rules.user_rules import UserRule
from sentry_engine.verdict import MAX_CUSTOM_EVENTS, Action

SETTINGS = ("paybacks", "default", "on_missing", "aggregation", "builtin_limits", "detectors")


@dataclass(frozen=True, slots=True)
class Policy(PolicyPart):
    """Immutable. ``files`` names the sources read, in order."""

    files: tuple[str, ...] = ()
    geo: GeoSnapshot | None = None
    geo_lookup: GeoLookup | None = None
    feed_lists: Mapping[str, Prefixes] = field(default_factory=dict)  # by feed id
    unfetched: frozenset[str] = frozenset()  # ids of feeds whose empty list stands for one that was never downloaded

    @classmethod
    def load(
        cls,
        *paths: str | Path,
        documents: Mapping[str, Mapping[str, Any]] | None = None,
        parts: Mapping[str, PolicyPart] | None = None,
        default: Action | str | None = None,
        geoip: GeoipPaths | None = None,
        progress: Progress | None = None,
        feed_folder: str | Path | None = None,
        gated: bool = False,
        allow_unfetched: bool = False,
        read: FileReader = read_file,
    ) -> Policy:
        """Read rule files, folders of them (by suffix and name, not recursive), and ``documents`` by name.

        ``parts`` are files that were read already, by name; they come first.

        A file is JSON, lines (``allow|block CIDR "text"``) or a plain list to refuse, by its content. All of them form
        one policy. ``default`` applies if none states one. A ``ttl`` counts from the last change of its file, in a
        document from now. The databases of ``geoip`` that rules need are read whole, with ``progress`` (nodes read,
        nodes in total) called in this thread; the others are only opened. With ``gated``, rules that a gate cannot
        decide are problems. ``read`` reads one rule file; ``RuleFiles.read`` caches. With ``allow_unfetched``, lists
        that were never downloaded are empty and named in ``unfetched``: for checks, never for serving.

        Raises ``PolicyError`` with every problem found. A named database that cannot be read is a problem, because the
        policy would accept sources that it should refuse.
        """
        with collector_paused():
            policy = cls._load(
                paths, documents or {}, parts or {}, default, geoip, progress, feed_folder, read, allow_unfetched
            )
        if gated and (obstacles := [problem for rules in policy.routes for problem in rules.obstacles]):
            raise PolicyError(obstacles)
        return policy

    @classmethod
    def _load(
        cls,
        paths: Iterable[str | Path],
        documents: Mapping[str, Mapping[str, Any]],
        known: Mapping[str, PolicyPart],
        default: Action | str | None,
        geoip: GeoipPaths | None,
        progress: Progress | None,
        feed_folder: str | Path | None,
        read: FileReader,
        allow_unfetched: bool,
    ) -> Policy:
        problems: list[Problem] = []
        parts: dict[str, PolicyPart] = {**known}
        for path in find_files(paths, problems):
            try:
                parts[str(path)] = read(path)
            except PolicyError as error:
                problems += error.problems
        now = time.time()
        for name, document in documents.items():
            try:
                parts[name] = read_parsed(document, file=name, changed_at=now)
            except PolicyError as error:
                problems += error.problems
        problems += find_clashes(parts)
        if problems:
            raise PolicyError(problems)
        policy = cls.from_parts(parts)
        geo = None if geoip is None else read_databases(geoip, policy.databases(), progress)
        stated = policy.default or (None if default is None else Action(default))
        folder = None if feed_folder is None else Path(feed_folder)
        waiting = unfetched_feeds(policy.feeds, folder) if allow_unfetched else ()
        lists = read_feeds(policy.feeds, folder, allow_unfetched=allow_unfetched)
        lookup = None if geoip is None else GeoLookup(geoip)
        return replace(
            policy,
            default=stated,
            geo=geo,
            feed_lists=lists,
            geo_lookup=lookup,
            unfetched=frozenset(feed.id for feed in waiting),
        )

    def texts(self) -> dict[str, str]:
        """Descriptions by rule id, without empty ones."""
        described: tuple[LimitRule | GeoRule | FeedRule | UserRule, ...]
        described = (*self.limit_rules, *self.geo_rules, *self.feeds, *self.user_rules)
        return texts_of(self.prefix_rules) | {rule.id: rule.description for rule in described if rule.description}

    def next_change(self, wall_now: float) -> float | None:
        """Unix time at which a schedule next puts a rule in or out of force; ``None``: never."""
        scheduled: tuple[PrefixRule | LimitRule | GeoRule, ...]
        scheduled = (*objects_of(self.prefix_rules), *self.limit_rules, *self.geo_rules)
        changes = (next_change(rule.schedule, wall_now) for rule in scheduled if rule.schedule)
        return min((change for change in changes if change is not None), default=None)

    def databases(self) -> frozenset[str]:
        """Names of the databases in ``GeoipPaths`` that the rules need."""
        needed = {
            "country": any(r.countries or r.all_countries_but or r.continents for r in self.geo_rules),
            "asn": any(r.asns for r in self.geo_rules),
            "anonymous": any(r.anonymizers for r in self.geo_rules),
        }
        return frozenset(name for name, is_needed in needed.items() if is_needed)

    def untranslated(self) -> tuple[RouteRules, ...]:
        """wolfSentry configurations that prefix rules cannot express: decided in Python only, not by a gate."""
        return tuple(rules for rules in self.routes if rules.obstacles)

    @classmethod
    def from_document(cls, document: Mapping[str, Any], *, name: str = "document") -> Policy:
        """The policy of one parsed rule document. Its ``ttl``s count from now. Raises ``PolicyError``."""
        return cls.load(documents={name: document})

    @classmethod
    def from_parts(cls, parts: Mapping[str, PolicyPart]) -> Policy:
        """Join parts. Requires that ``find_clashes`` returned nothing for them."""
        joined: dict[str, Any] = {"files": tuple(parts)}
        for name in (f.name for f in fields(PolicyPart)):
            said = [value for part in parts.values() if (value := getattr(part, name)) is not None]
            if name == "prefix_rules":
                joined[name] = join_rules(said)
            elif name == "sources":
                joined[name] = {place: source for value in said for place, source in value.items()}
            elif name in SETTINGS:
                joined[name] = said[0] if said else None
            else:
                joined[name] = tuple(item for value in said for item in value)
        joined["event_labels"] = tuple(dict.fromkeys(joined["event_labels"]))
        return cls(**joined)


def find_clashes(parts: Mapping[str, PolicyPart]) -> list[Problem]:
    """Ids used in two files, settings with two values, two limits on one event of one prefix, and too many events."""
    problems = [*find_rival_limits(parts.values()), *find_excess_events(parts)]
    if len(parts) > 1:
        problems += find_shared_ids(parts)
    for setting in SETTINGS:
        said = {file: value for file, part in parts.items() if (value := getattr(part, setting)) is not None}
        first_file = next(iter(said), "")
        problems += [
            Problem(file, "/wolfsentry", f"{setting} is already set to something else in {first_file}")
            for file, value in said.items()
            if value != said[first_file]
        ]
    return problems


def find_shared_ids(parts: Mapping[str, PolicyPart]) -> Iterator[Problem]:
    others: dict[str, tuple[LimitRule | GeoRule | FeedRule, ...]] = {
        file: (*part.limit_rules, *part.geo_rules, *part.feeds) for file, part in parts.items()
    }
    names = {file: [*ids_of(part.prefix_rules), *(rule.id for rule in others[file])] for file, part in parts.items()}
    if len(set(chain.from_iterable(names.values()))) == sum(map(len, names.values())):
        return  # the common case, kept fast for a million rules
    ids: dict[str, str] = {}
    for file, part in parts.items():
        twice = {name for name in names[file] if ids.setdefault(name, file) != file}
        for rule in (*part.prefix_rules, *others[file]) if twice else ():
            if rule.id in twice:
                reason = f"the id {rule.id!r} is already used in {ids[rule.id]}"
                yield Problem(file, f"{rule.origin.pointer}/id", reason)


def find_rival_limits(parts: Iterable[PolicyPart]) -> Iterator[Problem]:
    """Two limits on one event of one prefix: only one can apply, and the author must choose."""
    holders: dict[tuple[str, bytes, int], str] = {}
    for rule in (rule for part in parts for rule in part.limit_rules):
        for network, length in rule.prefixes:
            first = holders.setdefault((rule.event, network, length), rule.id)
            if first != rule.id:
                reason = f"{first!r} already limits {rule.event} of {render_network(network, length)}"
                yield Problem(rule.origin.file, rule.origin.pointer, reason)


def find_excess_events(parts: Mapping[str, PolicyPart]) -> Iterator[Problem]:
    """The first file whose custom events are more than an engine can number."""
    labels: set[str] = set()
    for file, part in parts.items():
        labels.update(part.event_labels)
        if len(labels) > MAX_CUSTOM_EVENTS:
            reason = f"all files together declare more than {MAX_CUSTOM_EVENTS} custom events; remove some"
            yield Problem(file, "/wolfsentry/events", reason)
            return
