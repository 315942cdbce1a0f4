# SPDX-License-Identifier: GPL-3.0-or-later
"""The alerts and the dashboard: they are valid, the alerts fire, and every metric that they name is scraped.

namespace: lo, the TUN device that the server makes, nothing else
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lab.namespaces import Claim, Namespace
from lab.timeouts import TIMEOUT
from ocsentry.setup.init import init_server
from tests.ocsentry.command_line import CommandLine
from tests.ocsentry.served import Served, serving

CONTRIB = Path(__file__).parents[2] / "contrib"
RULES = CONTRIB / "prometheus" / "ocsentry.rules.yml"
DASHBOARD = json.loads((CONTRIB / "grafana" / "ocsentry.json").read_text())
METRIC = re.compile(r"\b(?:ocsentry|process)_[a-z_]+")


def promtool(*arguments, stdin=""):
    done = subprocess.run(
        ["promtool", *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def expressions():
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    yield from re.findall(r"^\s+expr: (?:\|\n)?((?:.|\n)*?)\n\s+for:", RULES.read_text(), re.MULTILINE)


def test_the_alerts_are_valid_and_fire():
    assert "SUCCESS" in promtool("check", "rules", RULES)
    assert "SUCCESS" in promtool("test", "rules", CONTRIB / "prometheus" / "ocsentry.test.yml")


def test_every_alert_is_tested():
    alerts = re.findall(r"alert: (\w+)", RULES.read_text())
    tested = (CONTRIB / "prometheus" / "ocsentry.test.yml").read_text()
    assert len(alerts) == 10
    assert [alert for alert in alerts if f'alertname="{alert}"' not in tested] == []


def test_every_expression_of_the_dashboard_is_valid(tmp_path):
    """promtool parses expressions in rule files."""
    file = tmp_path / "rules.yml"
    texts = [text.replace("$__rate_interval", "5m").replace("$instance", "a") for text in expressions()]
    rules = [{"record": f"test:{number}", "expr": text} for number, text in enumerate(texts)]
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", file)


@pytest.fixture(scope="module")
def scrape(tmp_path_factory):
    """What a real server answers at /metrics."""
    folder = tmp_path_factory.mktemp("metrics") / "server"
    init_server(folder, names=["vpn.example.org"])
    claim = Claim()
    try:
        namespace = Namespace.create(claim.name("metrics")).name
        with serving(Served(CommandLine(folder), namespace)) as server:
            transport = httpx.HTTPTransport(uds=str(folder / "admin.sock"))
            with httpx.Client(transport=transport, base_url="http://localhost", timeout=TIMEOUT) as client:
                client.get("/api/v1/status").raise_for_status()
                yield client.get("/metrics").raise_for_status().text
            server.stop()
    finally:
        claim.release()


@pytest.mark.netns
def test_the_metrics_follow_prometheus_rules(scrape):
    assert promtool("check", "metrics", stdin=scrape) == ""


@pytest.mark.netns
def test_every_metric_that_is_named_is_scraped(scrape):
    declared = set(re.findall(r"^# TYPE (\S+)", scrape, re.MULTILINE))
    samples = {sample.name for family in text_string_to_metric_families(scrape) for sample in family.samples}
    named = {name for text in expressions() for name in METRIC.findall(text)}
    assert len(named) > 25
    families = declared | samples | {f"{name}_bucket" for name in declared}
    assert named - families == set()


@pytest.mark.netns
def test_a_real_scrape_has_certificate_pools_and_process(scrape):
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(scrape)
        for sample in family.samples
    }
    assert samples["ocsentry_certificate_expiry_timestamp_seconds", "vpn"] > samples["process_start_time_seconds",]
    assert samples["ocsentry_pool_addresses", "192.168.99.0/24"] == 253
    assert samples["ocsentry_pool_addresses_used", "192.168.99.0/24"] == 0
    assert samples["process_resident_memory_bytes",] > 10_000_000
    assert samples["process_open_fds",] > 5
