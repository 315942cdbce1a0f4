# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules as the API lists and stores them: read-only rules of the files, and rules made over the API.

A rule made over the API is stored in the rule file format and compiled as a document of its own, ``api:<id>``. Problems
that point into that document are made to point into the rule.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, assert_never

from sentry_engine import FORMAT_VERSION, Action, PolicyError, Problem
from sentry_engine.addresses import render_network
from sentry_engine.policy.feeds import hide_login
from sentry_engine.prefixes import Prefixes
from sentry_engine.records import dataclass
from sentry_engine.rules.model import FeedRule, GeoRule, LimitRule, PrefixRule
from sentry_engine.rules.user_rules import UserRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from admin_api.store.tables import Rule
    from sentry_engine import Policy
    from vpn_frontend.settings import Address

DOCUMENT_PREFIX = "api:"
RULE_POINTER = "/wolfsentry/rules/0"
MAX_NETWORKS_SHOWN = 100  # of one rule of a file; the rest is only in the file

CompiledRule = PrefixRule | LimitRule | GeoRule | UserRule | FeedRule


@dataclass(frozen=True, slots=True)
class ListedRule:
    """One rule. ``file`` and ``pointer`` are set for a rule of a file, whose ``document`` may be shortened."""

    id: str
    source: str  # "api" or "file"
    etag: str
    description: str
    expires_at: datetime | None
    document: dict[str, Any]
    file: str | None = None
    pointer: str | None = None
    created_by: str | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RuleChange:
    """One change of an API rule: set it to ``document``, or remove it (``None``).

    ``expect`` gets the present rule (``None``: there is none) and raises if it is not the one that the caller means to
    change. ``merge`` makes the document from the present rule. Without ``force`` the change is refused if it would
    reject an address of ``own``, or disconnect many sessions. ``reason`` is noted with the version.
    """

    id: str
    document: dict[str, Any] | None
    by: str
    expect: Callable[[Rule | None], None] = lambda _: None
    merge: Callable[[Rule | None], dict[str, Any]] | None = None
    dry_run: bool = False
    own: Sequence[Address] = ()
    force: bool = False
    reason: str = ""

    def settle(self, row: Rule | None) -> RuleChange:
        """Returns the change of the present rule ``row``. Raises what ``expect`` and ``merge`` raise."""
        self.expect(row)
        return self if self.merge is None else replace(self, document=self.merge(row), merge=None)


@dataclass(frozen=True, slots=True)
class SavedRule:
    """A changed rule: its row (``None``: removed, or a dry run) and document, and the sessions that it disconnects."""

    row: Rule | None
    document: dict[str, Any] | None
    sessions_cut: int


def as_documents(rules: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Returns one rule document for the engine's loader per API rule, by the name that its problems carry."""
    return {DOCUMENT_PREFIX + rule_id: as_one_document([rule]) for rule_id, rule in rules}


def as_one_document(rules: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the rules as one rule document."""
    return {"wolfsentry": {"version": FORMAT_VERSION, "rules": list(rules)}}


def hide_logins(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the rule without the login in the URL of a list, for answers and the audit."""
    url = document.get("url")
    return {**document, "url": hide_login(url)} if isinstance(url, str) else dict(document)


def keep_login(document: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the rule with the URL of ``before`` if the caller sent that URL as ``hide_logins`` shows it."""
    shown, url = hide_logins(before).get("url"), before.get("url")
    return {**document, "url": url} if url and document.get("url") == shown else dict(document)


def resolve_ttl(document: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Returns the rule with ``expires_at`` instead of ``ttl``, which counts from ``now``.

    In a file, ``ttl`` counts from the file's modification time; a row has none.
    """
    ttl = document.get("ttl")
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not ttl > 0 or "expires_at" in document:
        return dict(document)  # the loader reports what is wrong with it
    try:
        ends = now + timedelta(seconds=ttl)
    except OverflowError:
        return dict(document)
    kept = {key: value for key, value in document.items() if key != "ttl"}
    return kept | {"expires_at": ends.astimezone(UTC).isoformat().replace("+00:00", "Z")}


def point_into_rule(error: PolicyError, rule_id: str) -> PolicyError:
    """Returns the same problems; those of the rule's own document point into the rule."""
    name = DOCUMENT_PREFIX + rule_id
    return PolicyError(
        Problem("", p.pointer.removeprefix(RULE_POINTER), p.reason) if p.file == name else p for p in error.problems
    )


def etag_of(document: Mapping[str, Any], changed: object = None) -> str:
    """Returns a strong ETag. ``changed`` distinguishes a rule from an earlier one with equal content."""
    content = json.dumps([str(changed), document], sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(content.encode()).hexdigest()[:20]}"'


def etag_of_rule(row: Rule) -> str:
    return etag_of(row.document, (row.version, row.updated_at))


def view_stored_rule(row: Rule) -> ListedRule:
    return ListedRule(
        id=row.id,
        source="api",
        etag=etag_of_rule(row),
        description=str(row.document.get("description", "")),
        expires_at=parse_end(row.document.get("expires_at")),
        document=hide_logins(row.document),
        created_by=row.created_by,
        updated_at=row.updated_at,
    )


def count_rules(policy: Policy) -> int:
    parts = (policy.prefix_rules, policy.limit_rules, policy.geo_rules, policy.user_rules, policy.feeds)
    return sum(map(len, parts))


def view_file_rule(rule: CompiledRule, policy: Policy) -> ListedRule:
    """The document is the rule as it was written; rendered if it comes from another format."""
    source = policy.sources.get((rule.origin.file, rule.origin.pointer))
    document = {"id": rule.id, "description": rule.description} | _render(rule) if source is None else dict(source)
    document = hide_logins({"id": rule.id} | document)
    ends = None if isinstance(rule, FeedRule) else rule.expires_at
    return ListedRule(
        id=rule.id,
        source="file",
        etag=etag_of(document),
        description=rule.description,
        expires_at=None if ends is None else datetime.fromtimestamp(ends, UTC),
        document=document,
        file=rule.origin.file,
        pointer=rule.origin.pointer,
    )


def _render(rule: CompiledRule) -> dict[str, Any]:
    """Returns the rule in the rule file format, with at most ``MAX_NETWORKS_SHOWN`` networks."""
    match rule:
        case PrefixRule():
            kind = "whitelist" if rule.action is Action.ACCEPT else "blacklist"
            return {"type": kind, "remote_addr": _render_networks(rule.prefixes), "action": rule.action.value}
        case LimitRule():
            return {
                "type": "event_limit",
                "event": rule.event,
                "remote_addr": _render_networks(rule.prefixes),
                "max_events": rule.max_events,
                "window_sec": rule.window,
                "penalty_duration_sec": rule.penalty,
                "action": "rate_limit",
            }
        case GeoRule():
            selectors = {
                "country": sorted(rule.countries),
                "country_not": sorted(rule.all_countries_but),
                "continent": sorted(rule.continents),
                "asn": sorted(rule.asns),
                "anonymizer": sorted(rule.anonymizers),
            }
            given = {name: values for name, values in selectors.items() if values}
            return {"type": "geo_filter", "action": rule.action.value} | given
        case UserRule():
            conditions = {
                "user": sorted(rule.users),
                "group": sorted(rule.groups),
                "max_same_clients": rule.max_same_clients,
                "remote_addr": None if rule.prefixes is None else _render_networks(rule.prefixes),
                "country": sorted(rule.countries),
                "country_not": sorted(rule.countries_not),
            }
            return {"type": "user"} | {name: value for name, value in conditions.items() if value not in (None, [])}
        case FeedRule():
            return {
                "type": "feed",
                "path": None if rule.path is None else str(rule.path),
                "url": rule.url and hide_login(rule.url),
            }
        case _:
            assert_never(rule)


def _render_networks(prefixes: Prefixes) -> list[str]:
    return [render_network(network, length) for network, length in islice(prefixes, MAX_NETWORKS_SHOWN)]


def parse_end(value: object) -> datetime | None:
    """Returns ``expires_at`` of a rule document."""
    return datetime.fromisoformat(value) if isinstance(value, str) else None
