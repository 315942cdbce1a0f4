# SPDX-License-Identifier: GPL-3.0-or-later
"""CrowdSec decisions: written for ``cscli decisions import``, read from the LAPI and ``cscli … -o json``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from sentry_engine.addresses import AddressError
from sentry_engine.errors import MAX_PROBLEMS, PolicyError, Problem
from sentry_engine.exchange.bans import MAX_BANS, Ban

FOR_EVER = 10 * 365 * 24 * 3_600  # seconds; decisions cannot be permanent
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
PART = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(ns|us|µs|ms|s|m|h|d)")


def render_decisions(bans: Iterable[Ban], *, wall_now: float) -> list[dict[str, Any]]:
    return [
        {
            "duration": f"{int(min(ban.end - wall_now, FOR_EVER))}s",
            "reason": ban.reason or "ocsentry",
            "scope": "ip" if ban.length == 128 else "range",
            "type": "ban",
            "value": ban.text,
        }
        for ban in bans
        if ban.end - wall_now >= 1
    ]


def read_decisions(document: Any, *, file: str, wall_now: float) -> list[Ban]:  # noqa: ANN401  # parsed JSON
    """Bans on addresses and ranges; other types and scopes are skipped. Raises ``PolicyError``."""
    bans: list[Ban] = []
    problems: list[Problem] = []
    for pointer, row in _decisions(document, file):
        try:
            if str(row.get("type", "ban")).lower() != "ban" or str(row.get("scope", "")).lower() not in ("ip", "range"):
                continue
            seconds = parse_duration(row["duration"])
            reason = str(row.get("scenario") or row.get("reason") or "crowdsec")
            if seconds > 0:
                bans.append(Ban.of(_text(row["value"]), wall_now + seconds, reason))
        except (KeyError, AddressError, ValueError) as error:
            problems.append(Problem(file, pointer, f"not a decision: {error}"))
        if len(problems) >= MAX_PROBLEMS or len(bans) > MAX_BANS:
            break
    if len(bans) > MAX_BANS:
        problems.append(Problem(file, "", f"more than {MAX_BANS} decisions"))
    if problems:
        raise PolicyError(problems)
    return bans


def parse_duration(text: object) -> float:
    """Seconds of a Go duration, ``3h59m30.5s``; negative: expired. Raises ``ValueError``."""
    if not isinstance(text, str) or len(text) > 64:
        raise ValueError(f"{text!r} is no duration")
    body = text.removeprefix("-")
    parts = PART.findall(body)
    if not parts or "".join(number + unit for number, unit in parts) != body:
        raise ValueError(f"{text!r} is no duration")
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    return -seconds if text.startswith("-") else seconds


def _decisions(document: object, file: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Decisions with their JSON pointers, from a list of decisions or alerts (``null``: empty)."""
    if document is None:
        return
    if not isinstance(document, list):
        raise PolicyError([Problem(file, "", "a list of decisions or alerts is expected")])
    for index, row in enumerate(document):
        if not isinstance(row, dict):
            raise PolicyError([Problem(file, f"/{index}", "a decision or an alert is expected")])
        inner = row.get("decisions")
        if not isinstance(inner, list):
            yield f"/{index}", row
            continue
        for place, decision in enumerate(inner):
            if isinstance(decision, dict):
                yield f"/{index}/decisions/{place}", decision


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")  # noqa: TRY004  # one kind of error for a bad decision
    return value
