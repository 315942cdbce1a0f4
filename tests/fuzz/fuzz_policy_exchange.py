# SPDX-License-Identifier: GPL-3.0-or-later
"""Any bytes as input from other tools: lists, bans, decisions, a saved state, a GeoIP database."""

import sys
from pathlib import Path
from tempfile import mkdtemp

import atheris

with atheris.instrument_imports(include=["sentry_engine"]):
    from sentry_engine import PolicyError, State
    from sentry_engine.exchange.crowdsec import read_decisions
    from sentry_engine.exchange.fail2ban import read_banlist
    from sentry_engine.formats.bounded_json import JsonError, parse_json
    from sentry_engine.formats.plain_list import parse_list
    from sentry_engine.geoip.databases import classify_anonymous, classify_asn, classify_country
    from sentry_engine.geoip.mmdb_reader import DatabaseError, read_tree

FILE = Path(mkdtemp()) / "fuzzed.mmdb"


def read_list(data: bytes) -> None:
    assert len(parse_list(data, file="f").networks) % 16 == 0


def read_bans(data: bytes) -> None:
    assert all(ban.end > 0 for ban in read_banlist(data.decode("utf-8", "replace"), file="f", wall_now=0.0))


def read_json(data: bytes) -> None:
    document = parse_json(data)
    try:
        State.from_json(document)
    except ValueError:
        for classify in (classify_country, classify_asn, classify_anonymous):
            classify(document)
    read_decisions(document, file="f", wall_now=0.0)


def read_database(data: bytes) -> None:
    FILE.write_bytes(data)
    tree = read_tree(str(FILE), str)
    assert len(tree.codes) == len(tree.prefixes)


READERS = (read_list, read_bans, read_json, read_database)


def fuzz_one(data: bytes) -> None:
    if data:
        try:
            READERS[data[0] % len(READERS)](data[1:])
        except (PolicyError, JsonError, DatabaseError):
            return


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
