# SPDX-License-Identifier: GPL-3.0-or-later
"""GeoIP databases: read exactly, errors named, and geo rules compiled from them."""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import maxminddb
import pytest

from sentry_engine import Engine, GeoipPaths, Policy, PolicyError, Reason, find_policy_issues
from sentry_engine.addresses import render_network
from sentry_engine.geoip.mmdb_reader import read_tree
from sentry_engine.policy.lint import FindingKind

DATA = Path(__file__).parents[2] / "data" / "geoip"
COUNTRY, ASN, ANONYMOUS = (
    DATA / f"{name}.mmdb" for name in ("GeoLite2-Country-Test", "GeoLite2-ASN-Test", "GeoIP2-Anonymous-IP-Test")
)
ALL = GeoipPaths(country=COUNTRY, asn=ASN, anonymous=ANONYMOUS)
BRITISH, SWEDISH, CHINESE, FINNISH_6 = "2.125.160.217", "89.160.20.113", "111.235.160.1", "2a02:d200::1"


@pytest.fixture
def decide(core_name: str) -> Callable[..., Any]:
    def ask(address: str, *rules: dict, now: float = 0.0, paths: GeoipPaths | None = ALL, **more: object) -> Any:
        rows = [{"id": f"r{i}", "type": "geo_filter", "action": "reject", **rule} for i, rule in enumerate(rules)]
        document = {"wolfsentry": {"version": "1", "rules": rows, "builtin_limits": False, **more}}
        policy = Policy.load(documents={"d": document}, geoip=paths)
        with Engine(policy, core=core_name, clock=lambda: 0.0, wall_clock=lambda: 1_000_000_000.0) as engine:
            verdict = engine.decide("connect", address, now=now)
            return verdict.reason, verdict.rule_id, verdict.accepted

    return ask


class TestReading:
    @pytest.mark.parametrize(
        "name", ["GeoLite2-Country-Test", "GeoLite2-ASN-Test", "MaxMind-DB-test-mixed-32", "MaxMind-DB-test-mixed-24"]
    )
    def test_every_prefix_of_every_database_is_there_with_its_record(self, name):
        path = str(DATA / f"{name}.mmdb")
        coded = read_tree(path, str)
        mine = {
            render_network(*row): coded.classes[code] for row, code in zip(coded.prefixes, coded.codes, strict=True)
        }
        with maxminddb.open_database(path) as reader:
            assert mine == {str(network): str(record) for network, record in reader}

    def test_progress_is_told_to_the_end(self):
        told: list[tuple[int, int]] = []
        read_tree(str(COUNTRY), str, lambda done, whole: told.append((done, whole)))
        assert told[-1][0] == told[-1][1]

    @pytest.mark.parametrize(
        "name",
        [
            "GeoIP2-City-Test-Broken-Double-Format",
            "GeoIP2-City-Test-Invalid-Node-Count",
            "MaxMind-DB-test-broken-pointers-24",
            "MaxMind-DB-test-broken-search-tree-24",
        ],
    )
    def test_a_broken_database_is_named(self, name):
        path = str(DATA / f"{name}.mmdb")
        rule = {"id": "x", "type": "geo_filter", "country": ["XX"], "action": "reject"}
        with pytest.raises(PolicyError) as caught:
            Policy.load(
                documents={"d": {"wolfsentry": {"version": "1", "rules": [rule]}}}, geoip=GeoipPaths(country=path)
            )
        (problem,) = caught.value.problems
        assert problem.file == path
        assert problem.reason.startswith("the country database is broken: ")

    def test_truncated_anywhere_is_an_error_or_less_but_never_a_crash(self, tmp_path):
        whole = COUNTRY.read_bytes()
        file = tmp_path / "cut.mmdb"
        rule = {"id": "x", "type": "geo_filter", "country": ["XX"], "action": "reject"}
        for length in range(0, len(whole), len(whole) // 60):
            file.write_bytes(whole[:length])
            with pytest.raises(PolicyError):
                Policy.load(
                    documents={"d": {"wolfsentry": {"version": "1", "rules": [rule]}}}, geoip=GeoipPaths(country=file)
                )

    def test_a_missing_one_is_an_error_and_so_is_text(self, tmp_path):
        (tmp_path / "text").write_text("hello")
        with pytest.raises(PolicyError) as caught:
            Policy.load(geoip=GeoipPaths(country=tmp_path / "none", asn=tmp_path / "text"))
        reasons = [p.reason for p in caught.value.problems]
        assert reasons[0] == "the country database cannot be read: No such file or directory"
        assert reasons[1].startswith("the asn database is broken")

    def test_a_replaced_file_is_noticed_and_read_again(self, tmp_path):
        file = tmp_path / "db.mmdb"
        shutil.copy(COUNTRY, file)
        rule = {"id": "x", "type": "geo_filter", "country": ["GB"], "action": "reject"}
        documents = {"d": {"wolfsentry": {"version": "1", "rules": [rule]}}}
        policy = Policy.load(documents=documents, geoip=GeoipPaths(country=file))
        assert Policy.load(documents=documents, geoip=GeoipPaths(country=file)).geo.country is policy.geo.country
        shutil.copy(ASN, tmp_path / "new")
        (tmp_path / "new").replace(file)
        assert Policy.load(documents=documents, geoip=GeoipPaths(country=file)).geo.country is not policy.geo.country


class TestRules:
    def test_a_country_a_continent_and_all_but_some(self, decide):
        assert decide(BRITISH, {"country": ["GB", "FR"]}) == (Reason.COUNTRY, "r0", False)
        assert decide(SWEDISH, {"country": ["GB", "FR"]}) == (Reason.DEFAULT, None, True)
        assert decide(FINNISH_6, {"country": ["FI"]})[0] is Reason.COUNTRY
        assert decide(SWEDISH, {"continent": ["EU"]}) == (Reason.CONTINENT, "r0", False)
        assert decide(CHINESE, {"continent": ["EU"]})[2]
        assert decide(CHINESE, {"country_not": ["SE", "GB"]}) == (Reason.COUNTRY, "r0", False)
        assert decide(SWEDISH, {"country_not": ["SE", "GB"]})[2]

    def test_the_more_specific_rule_answers_and_accept_beats_reject(self, decide):
        europe, sweden = {"continent": ["EU"]}, {"country": ["SE"], "action": "accept"}
        assert decide(SWEDISH, europe, sweden)[2]
        assert not decide(BRITISH, europe, sweden)[2]
        assert decide(SWEDISH, {"country": ["SE"]}, sweden)[2]

    def test_an_accepted_country_is_not_exempt_from_what_follows(self, decide):
        rules = ({"country": ["SE"], "action": "accept"}, {"asn": [29518]})
        assert decide(SWEDISH, *rules) == (Reason.ASN, "r1", False)

    def test_networks_and_anonymizers(self, decide):
        assert decide("1.128.0.1", {"asn": [1221]}) == (Reason.ASN, "r0", False)
        assert decide("1.2.0.1", {"anonymizer": ["anonymous_vpn"]}) == (Reason.ANONYMIZER, "r0", False)
        assert decide("1.2.0.1", {"anonymizer": ["any"]})[0] is Reason.ANONYMIZER
        assert decide("1.2.0.1", {"anonymizer": ["tor_exit_node"]})[2]

    def test_the_unknown_is_refused_only_on_demand(self, decide):
        rule = {"country": ["XX"]}
        assert decide("127.0.0.1", rule)[2]
        assert decide("127.0.0.1", rule, geoip={"on_missing": "accept"})[2]
        assert decide("127.0.0.1", rule, geoip={"on_missing": "reject"}) == (Reason.GEOIP_MISSING, None, False)
        assert decide(SWEDISH, rule, geoip={"on_missing": "reject"})[2]
        assert decide(SWEDISH, geoip={"on_missing": "reject"})[2]

    def test_without_a_database_every_place_is_unknown_and_that_is_said(self, decide):
        rule = {"country": ["SE"]}
        assert decide(SWEDISH, rule, paths=None)[2]
        assert decide(SWEDISH, rule, paths=None, geoip={"on_missing": "reject"})[0] is Reason.GEOIP_MISSING
        document = {
            "wolfsentry": {"version": "1", "rules": [{"id": "x", "type": "geo_filter", "action": "reject", **rule}]}
        }
        assert [f.kind for f in find_policy_issues(Policy.from_document(document))] == [FindingKind.NO_DATABASE]

    def test_a_rule_that_ends_gives_way_to_the_next(self, decide):
        rules = ({"country": ["SE"], "action": "accept", "expires_at": "2001-09-09T01:47:40Z"}, {"continent": ["EU"]})
        assert decide(SWEDISH, *rules, now=59.0)[2]
        assert decide(SWEDISH, *rules, now=60.0) == (Reason.CONTINENT, "r1", False)

    def test_every_address_of_the_database_gets_its_countrys_verdict(self, core_name):
        rule = {"id": "r", "type": "geo_filter", "continent": ["AS"], "action": "reject"}
        document = {"wolfsentry": {"version": "1", "rules": [rule]}}
        policy = Policy.load(documents={"d": document}, geoip=ALL)
        with Engine(policy, core=core_name) as engine, maxminddb.open_database(COUNTRY) as reader:
            for network, record in reader:
                address = ipaddress.ip_network(network).network_address
                in_asia = record.get("continent", {}).get("code") == "AS"
                assert engine.decide("connect", address).accepted is not in_asia, network
