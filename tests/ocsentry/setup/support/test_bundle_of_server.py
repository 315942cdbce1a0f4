# SPDX-License-Identifier: GPL-3.0-or-later
"""The support archive of a running server: its answers are in it, and no secret of its users.

namespace: lo, the TUN device that the server makes, nothing else
"""

from __future__ import annotations

import json
import re

import pytest

from lab.namespaces import Claim, Namespace
from tests.ocsentry.served import Served, serving
from tests.ocsentry.setup.support.seeded import read_archive

pytestmark = pytest.mark.netns
PASSWORD, CAMOUFLAGE = "correct horse battery staple", "Zq7vLm2xW9-camouflage"


@pytest.fixture
def cli(command_line):
    """Of a server with a camouflage secret."""
    config = command_line.config
    config.write_text(f'{config.read_text()}\n[vpn.camouflage]\nsecret = "{CAMOUFLAGE}"\n')
    claim = Claim()
    try:
        with serving(Served(command_line, Namespace.create(claim.name("support")).name)) as server:
            yield server.command_line
            server.stop()
    finally:
        claim.release()


def test_its_answers_are_in_it_and_no_secret_of_its_users(cli, tmp_path):
    cli.ok("user", "add", "alice", "--password-stdin", stdin=f"{PASSWORD}\n")
    secrets = [PASSWORD, CAMOUFLAGE, *re.findall(r"ocs_[0-9a-f]{12}_[0-9a-f]{64}", cli.ok("token", "create", "ci"))]
    secrets.append(cli.json("user", "totp", "enrol", "alice")["secret"])
    secrets.append(cli.json("webhook", "add", "https://192.0.2.1/hook")["secret"])
    secrets.append((cli.folder / "totp.key").read_text().strip())
    assert len(secrets) == 6
    assert all(len(secret) >= 16 for secret in secrets)
    cli.ok("block", "198.51.100.7", "--reason", f"it sent {CAMOUFLAGE} and password={PASSWORD.split()[1]}")

    cli.ok("doctor", "--bundle", tmp_path / "a.tar.gz")
    files = read_archive(tmp_path / "a.tar.gz")
    for name, text in files.items():
        for secret in secrets:
            assert secret not in text, name
    events = [json.loads(line) for line in files["server/events.jsonl"].splitlines()]
    blocks = [event["fields"] for event in events if event["kind"] == "block_added"]
    assert [block["reason"] for block in blocks] == ["it sent ******** and password=********"]
    assert json.loads(files["server/status.json"])["ready"] is True
    assert "ocsentry_" in files["server/metrics.txt"]
    assert "Max open files" in files["service/process.txt"]
    assert all(json.loads(files[f"server/{name}.json"]) for name in ("stats", "policy", "nodes"))
