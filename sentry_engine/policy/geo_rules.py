# SPDX-License-Identifier: GPL-3.0-or-later
"""Join of geo rules with the databases to rows of the COUNTRY, ASN and ANONYMIZER tables.

A database assigns each prefix a class: a country with its continent, a network, a set of anonymiser kinds. Classes are
few, so rules are matched per class and prefixes only copied. Precedence of the rules that select a class: by country,
by ``country_not``, by continent; in each, ``accept`` before ``reject``. Rules with an expiry come before the rule
without, which takes over when they expire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import compress

from sentry_engine.cores.plan import Tier
from sentry_engine.geoip.databases import GeoSnapshot
from sentry_engine.geoip.mmdb_reader import CodedPrefixes
from sentry_engine.prefixes import Prefixes
from sentry_engine.records import dataclass
from sentry_engine.rules.model import GeoRule
from sentry_engine.verdict import Action, Reason

COUNTRY, ALL_BUT, CONTINENT = range(3)  # ranks of precedence in the COUNTRY tier


@dataclass(frozen=True, slots=True)
class Selected:
    """A rule that selects a class. ``rule`` ``None`` only records that the class is known."""

    rank: int
    reason: Reason
    rule: GeoRule | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Prefixes with the same entries, in numbering order."""

    tier: Tier
    prefixes: Prefixes
    entries: tuple[Selected, ...]


def join_geo(rules: Sequence[GeoRule], snapshot: GeoSnapshot, *, note_known: bool) -> list[Rows]:
    """``note_known`` adds the prefixes of countries without a rule, to tell them from unknown ones."""
    rows: list[Rows] = []
    if snapshot.country is not None and any(r.countries or r.all_countries_but or r.continents for r in rules):
        rows += _join(Tier.COUNTRY, snapshot.country, lambda known: _select_country(rules, known, note_known))
    if snapshot.asn is not None:
        numbered = [rule for rule in rules if rule.asns]
        rows += _join(Tier.ASN, snapshot.asn, lambda known: _select(numbered, Reason.ASN, lambda r: known in r.asns))
    if snapshot.anonymous is not None:
        kinds = [rule for rule in rules if rule.anonymizers]
        rows += _join(Tier.ANONYMIZER, snapshot.anonymous, lambda known: _select_kinds(kinds, known))
    return rows


def _join(tier: Tier, coded: CodedPrefixes, select: Callable[[object], Iterable[Selected]]) -> list[Rows]:
    """One ``Rows`` per distinct list of entries."""
    members: dict[tuple[Selected, ...], set[int]] = {}
    for code, known in enumerate(coded.classes):
        chosen = tuple(_until_lasting(sorted(select(known), key=_precedence)))
        if chosen:
            members.setdefault(chosen, set()).add(code)
    return [Rows(tier, _pick(coded, codes), chosen) for chosen, codes in members.items()]


def _pick(coded: CodedPrefixes, codes: set[int]) -> Prefixes:
    wanted = [code in codes for code in coded.codes]
    if all(wanted):
        return coded.prefixes
    networks = coded.prefixes.networks
    starts = compress(range(0, len(networks), 16), wanted)
    return Prefixes(b"".join(networks[at : at + 16] for at in starts), bytes(compress(coded.prefixes.lengths, wanted)))


def _until_lasting(selected: Iterable[Selected]) -> Iterable[Selected]:
    for one in selected:
        yield one
        if one.rule is None or one.rule.expires_at is None:
            return


def _precedence(selected: Selected) -> tuple[int, bool]:
    return selected.rank, selected.rule is None or selected.rule.action is not Action.ACCEPT


def _select(rules: Iterable[GeoRule], reason: Reason, matches: Callable[[GeoRule], bool]) -> list[Selected]:
    return [Selected(0, reason, rule) for rule in rules if matches(rule)]


def _select_kinds(rules: Iterable[GeoRule], known: object) -> list[Selected]:
    kinds = known if isinstance(known, frozenset) else frozenset()
    return _select(rules, Reason.ANONYMIZER, lambda rule: not kinds.isdisjoint(rule.anonymizers))


def _select_country(rules: Iterable[GeoRule], known: object, note_known: bool) -> list[Selected]:
    country, continent = known if isinstance(known, tuple) else ("", "")
    selected = []
    for rule in rules:
        if country in rule.countries:
            selected.append(Selected(COUNTRY, Reason.COUNTRY, rule))
        elif rule.all_countries_but and country and country not in rule.all_countries_but:
            selected.append(Selected(ALL_BUT, Reason.COUNTRY, rule))
        elif continent in rule.continents:
            selected.append(Selected(CONTINENT, Reason.CONTINENT, rule))
    if note_known and country:
        selected.append(Selected(CONTINENT + 1, Reason.COUNTRY, None))
    return selected
