# SPDX-License-Identifier: GPL-3.0-or-later
"""fail2ban's ban lists: ``fail2ban-client get JAIL banip --with-time`` and plain ones, read and written.

    192.0.2.1 	2026-11-22 18:00:00 + 600 = 2026-11-22 18:10:00

Times are in the host's zone, which the line does not name. A ban time of -1 is permanent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo

from sentry_engine.addresses import AddressError
from sentry_engine.errors import MAX_PROBLEMS, PolicyError, Problem
from sentry_engine.exchange.bans import MAX_BANS, Ban

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
LINE = re.compile(rf"(?P<address>\S+)(?:\s+(?P<begin>{STAMP}) \+ (?P<seconds>-?\d{{1,12}}) = {STAMP})?")
FORMAT = "%Y-%m-%d %H:%M:%S"
FOR_EVER_END = "9999-12-31 23:59:59"


def render_banlist(bans: Iterable[Ban], *, wall_now: float, zone: tzinfo = UTC) -> str:
    lines = []
    begin = datetime.fromtimestamp(wall_now, zone).strftime(FORMAT)
    for ban in bans:
        if ban.until is None:
            lines.append(f"{ban.text} \t{begin} + -1 = {FOR_EVER_END}\n")
        elif ban.until > wall_now:
            end = datetime.fromtimestamp(ban.until, zone).strftime(FORMAT)
            lines.append(f"{ban.text} \t{begin} + {round(ban.until - wall_now)} = {end}\n")
    return "".join(lines)


def read_banlist(text: str, *, file: str, wall_now: float, zone: tzinfo = UTC) -> list[Ban]:
    """The bans in force at ``wall_now``. Raises ``PolicyError`` with every malformed line."""
    bans: list[Ban] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            ban = _read_line(line.strip(), zone)
        except (AddressError, ValueError, OverflowError) as error:
            problems.append(Problem(file, f"line {number}", str(error)))
        else:
            bans += [ban] if ban.end > wall_now else []
        if len(problems) >= MAX_PROBLEMS or len(bans) > MAX_BANS:
            break
    if len(bans) > MAX_BANS:
        problems.append(Problem(file, "", f"more than {MAX_BANS} bans"))
    if problems:
        raise PolicyError(problems)
    return bans


def _read_line(line: str, zone: tzinfo) -> Ban:
    match = LINE.fullmatch(line)
    if match is None:
        raise ValueError("expected an address, alone or with its time of ban")
    until = None
    if match["begin"] and int(match["seconds"]) >= 0:
        begin = datetime.strptime(match["begin"], FORMAT).replace(tzinfo=zone)
        until = begin.timestamp() + int(match["seconds"])
    return Ban.of(match["address"], until, "fail2ban")
