# SPDX-License-Identifier: GPL-3.0-or-later
"""The line format: ``allow|block CIDR "text"`` and ``block-country CC "text"``, one rule a line, ``#`` for comments.

The text is optional. A rule's id is its file and line (``geofilter.conf:12``).
"""

from __future__ import annotations

import re
from pathlib import PurePath

from sentry_engine.addresses import AddressError
from sentry_engine.errors import MAX_PROBLEMS, PolicyError, Problem
from sentry_engine.prefixes import Origin, Prefixes
from sentry_engine.rules.model import GeoRule, PrefixRule
from sentry_engine.rules.policy_part import PolicyPart
from sentry_engine.verdict import Action

MAX_LINES = 1_000_000
MAX_LINE = 2_000  # characters
BEGINNING = re.compile(rb"\s*(?:#[^\r\n]*+[\r\n]\s*)*+(?:allow|block|block-country)(?:\s|\Z)")
LINE = re.compile(r'(?P<verb>\S+)\s+(?P<what>[^\s"]+)(?:\s+"(?P<text>[^"]*)")?')
ACTIONS = {"allow": Action.ACCEPT, "block": Action.REJECT}
COUNTRY = re.compile(r"[A-Z]{2}")


def is_line_file(data: bytes) -> bool:
    """True if the first line that is not blank or a comment begins with a verb of this format."""
    return BEGINNING.match(data) is not None


def read_lines(data: bytes, *, file: str) -> PolicyPart:
    """Raises ``PolicyError`` with every malformed line."""
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise PolicyError([Problem(file, "", f"not UTF-8 at byte {error.start}")]) from None
    if len(lines) > MAX_LINES:
        raise PolicyError([Problem(file, "", f"{len(lines)} lines, more than the {MAX_LINES} allowed")])
    prefix_rules: list[PrefixRule] = []
    geo_rules: list[GeoRule] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        origin = Origin(file, f"line {number}")
        try:
            rule = read_line(line.strip(), f"{_name(file)}:{number}", origin)
        except ValueError as error:
            problems.append(Problem(file, origin.pointer, str(error)))
            if len(problems) >= MAX_PROBLEMS:
                break
            continue
        if isinstance(rule, GeoRule):
            geo_rules.append(rule)
        else:
            prefix_rules.append(rule)
    if problems:
        raise PolicyError(problems)
    return PolicyPart(prefix_rules=tuple(prefix_rules), geo_rules=tuple(geo_rules))


def read_line(line: str, rule_id: str, origin: Origin) -> PrefixRule | GeoRule:
    """One rule. Raises ``ValueError``."""
    match = LINE.fullmatch(line) if len(line) <= MAX_LINE else None
    if match is None:
        raise ValueError('expected: allow|block CIDR "text", or block-country CC "text"')
    verb, what, text = match["verb"], match["what"], match["text"] or ""
    if verb == "block-country":
        if not COUNTRY.fullmatch(what):
            raise ValueError(f"{what!r} is no country code (two capital letters, ISO 3166-1)")
        return GeoRule(rule_id, Action.REJECT, origin, countries=frozenset({what}), description=text)
    if verb not in ACTIONS:
        raise ValueError(f"{verb!r} is not known: allow, block or block-country")
    try:
        return PrefixRule(rule_id, ACTIONS[verb], Prefixes.of(what), origin, text)
    except AddressError as error:
        raise ValueError(str(error)) from None


def _name(file: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", PurePath(file).name) or "lines"
