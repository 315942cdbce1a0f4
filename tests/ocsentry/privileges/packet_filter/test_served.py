# SPDX-License-Identifier: GPL-3.0-or-later
"""The real server with ``policy.kernel = "nftables"``: the SYN of a refused source gets no answer.

namespace: lo with 10.9.0.1 (the server's), 10.9.0.2 and 10.9.0.3 (sources), the TUN device that the server makes
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal

import httpx
import pytest

from lab.namespaces import Claim, Namespace
from lab.timeouts import TIMEOUT, eventually
from tests.ocsentry.privileges.packet_filter.test_table import OTHER4, REFUSED4, SERVER4, reaches, tables
from tests.ocsentry.privileges.separate_user import children
from tests.ocsentry.served import Served, configure, serving

pytestmark = pytest.mark.netns
TABLE = "ocsentry_ocs0"


@pytest.fixture
def namespace():
    claim = Claim()
    made = Namespace.create(claim.name("kern"))
    made.ip(*(f"addr add {address}/32 dev lo" for address in (SERVER4, REFUSED4, OTHER4)))
    yield made
    claim.release()


@pytest.fixture
def served(command_line, namespace):
    configure(command_line.folder, policy={"kernel": "nftables"}, process={"seccomp": "kill"})
    text = re.sub(r'(?m)^listen = "\S*443"$', 'listen = "*:443"', command_line.config.read_text(), count=1)
    command_line.config.write_text(text)
    with serving(Served(command_line, namespace.name)) as server:
        yield server


def await_dropped(namespace, source):
    eventually(lambda: reaches(namespace, source), lambda seen: not seen, f"{source} dropped by the kernel")


def api(served):
    """The API on the server's Unix socket."""
    transport = httpx.HTTPTransport(uds=str(served.command_line.folder / "admin.sock"))
    return httpx.Client(transport=transport, base_url="http://ocsentry", timeout=TIMEOUT)


def metric(served, name):
    with api(served) as client:
        return float(re.search(rf"(?m)^{re.escape(name)} (\S+)$", client.get("/metrics").text)[1])


def test_a_flood_of_a_blocked_source_costs_no_accept_and_an_unblock_ends_it(served, namespace):
    cli = served.command_line
    assert reaches(namespace, REFUSED4)
    before = metric(served, "ocsentry_kernel_networks")  # of the shipped rules
    cli.json("block", "10.9.0.2/31")
    cli.json("block", f"{REFUSED4}", "--ttl", "1h")
    await_dropped(namespace, REFUSED4)
    await_dropped(namespace, OTHER4)
    decided = metric(served, "ocsentry_decisions_total")
    for _ in range(20):
        assert not reaches_at_once(namespace, REFUSED4)
    assert metric(served, "ocsentry_decisions_total") == decided
    name = 'ocsentry_kernel_dropped_packets_total{family="ipv4"}'
    eventually(lambda: metric(served, name), lambda packets: packets >= 20, "counted")
    assert metric(served, "ocsentry_kernel_networks") == before + 2
    explained = cli.json("rules", "explain", REFUSED4)
    assert explained["dropped_by_kernel"]
    assert explained["verdict"]["action"] == "reject"
    assert "the kernel drops" in cli.ok("rules", "explain", REFUSED4)
    with namespace.entered():
        (finding,) = (row for row in json.loads(cli.run("doctor", "--json").stdout) if row["check"] == "packet filter")
    assert re.fullmatch(rf"the kernel has dropped [0-9]+ packets by the table inet {TABLE}", finding["detail"])
    cli.json("unblock", "10.9.0.2/31")
    assert reaches(namespace, OTHER4)
    await_dropped(namespace, REFUSED4)  # its own block goes on
    cli.json("unblock", REFUSED4)
    assert reaches(namespace, REFUSED4)
    assert not cli.json("rules", "explain", REFUSED4)["dropped_by_kernel"]
    assert cli.json("status")["ready"]


def reaches_at_once(namespace, source):
    try:
        namespace.connect((SERVER4, 443), timeout=0.02, source=source).close()
    except TimeoutError:
        return False
    return True


def test_a_penalty_is_pushed_and_forgiven_and_a_rule_is_followed(served, namespace):
    cli = served.command_line
    limit = {"id": "few", "type": "rate_limit", "remote_addr": "10.9.0.2", "action": "rate_limit"}
    limit |= {"max_connections_per_minute": 1, "penalty_duration_sec": 600}
    seen = len(served.lines)
    rules = cli.folder / "rules" / "50-new.json"
    rules.write_text(json.dumps({"wolfsentry": {"version": "1.6.3", "rules": [limit]}}))
    served.await_event("policy_loaded", seen)
    for _ in range(3):
        reaches(namespace, REFUSED4)
    await_dropped(namespace, REFUSED4)
    elements = namespace.run("nft", "list", "set", "inet", TABLE, "addresses4")
    assert int(re.search(r"timeout (\d+)m(?:(\d+)s)?", elements)[1]) < 10  # not longer than the engine's 600 s
    with api(served) as client:
        assert client.delete("/api/v1/penalties").json() == {"forgiven": 1}
    assert reaches(namespace, REFUSED4)
    seen = len(served.lines)
    reject = {"id": "no", "type": "blacklist", "remote_addr": "10.9.0.3"}
    rules.write_text(json.dumps({"wolfsentry": {"version": "1.6.3", "rules": [reject]}}))
    served.await_event("policy_loaded", seen)
    await_dropped(namespace, OTHER4)
    seen = len(served.lines)
    rules.unlink()
    served.await_event("policy_loaded", seen)
    assert reaches(namespace, OTHER4)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_table_ends_with_the_server(served, namespace, how):
    (helper,) = children(served.process.pid)
    descriptor = os.pidfd_open(helper)
    served.command_line.json("block", REFUSED4)
    await_dropped(namespace, REFUSED4)
    served.stop(how)
    assert select.select([descriptor], [], [], TIMEOUT)[0]
    os.close(descriptor)
    eventually(lambda: tables(namespace), lambda said: TABLE not in said, "removed by the kernel")


def test_without_its_helper_the_server_refuses_alone(served, namespace):
    served.command_line.json("block", REFUSED4)
    await_dropped(namespace, REFUSED4)
    (helper,) = children(served.process.pid)
    seen = len(served.lines)
    os.kill(helper, signal.SIGKILL)
    assert "gone" in served.await_event("kernel_filter_failed", seen)["error"]
    with namespace.connect((SERVER4, 443), source=REFUSED4) as client:
        client.settimeout(TIMEOUT)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""  # accepted by the kernel, closed by the server
    problems = served.command_line.json("status")["problems"]
    assert any(problem.startswith("packet filter") for problem in problems)
    served.command_line.json("unblock", REFUSED4)
