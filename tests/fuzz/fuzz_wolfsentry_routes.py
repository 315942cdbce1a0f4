# SPDX-License-Identifier: GPL-3.0-or-later
"""Any bytes as a wolfSentry configuration make a table whose dump can be read, or a list of problems."""

import sys

import atheris

with atheris.instrument_imports(include=["sentry_engine"]):
    from sentry_engine import Engine, Policy, PolicyError
    from sentry_engine.formats.bounded_json import JsonError, parse_json
    from sentry_engine.wolfsentry import CONFIG_KEY, Endpoint, RouteTable, Traffic, dump, read_config

ASKED = (
    Traffic(Endpoint("10.0.0.1", 443, 1), Endpoint("192.0.2.1", 443, 1), 6),
    Traffic(Endpoint("2001:db8::1", 53), Endpoint("2001:db8::2", 53), 17, inbound=False),
)


def fuzz_one(data: bytes) -> None:
    try:
        document = parse_json(data)
    except JsonError:
        return
    if not isinstance(document, dict):
        return
    document.setdefault(CONFIG_KEY, 1)
    try:
        table = RouteTable(read_config(document, file="fuzzed"))
    except PolicyError as error:
        assert all(problem.reason for problem in error.problems)
        return
    for number in range(4):
        for traffic in ASKED:
            table.dispatch(traffic, ["derogatory", "connect"][: number % 3], now=100.0 * number)
    RouteTable(read_config(dump(table), file="dumped"))
    try:
        policy = Policy.from_document(document)
    except PolicyError:
        return  # routes by fields that the engine does not know
    with Engine(policy, core="reference") as engine:
        verdict = engine.explain("10.0.0.1", now=0.0).verdict
        assert verdict == engine.decide("connect", "10.0.0.1", now=0.0)


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
