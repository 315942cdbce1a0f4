# SPDX-License-Identifier: GPL-3.0-or-later
"""``ocsentry block`` names the operator's own address, and asks for force only when told to."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ocsentry.cli.blocks import block, ssh_client


@pytest.fixture
def asked(monkeypatch):
    """The queries of ``block``, over SSH from 203.0.113.7."""
    monkeypatch.setenv("SSH_CLIENT", "203.0.113.7 50000 22")
    return []


@pytest.fixture
def cli(asked):
    def post(resource, body, **query):
        asked.append({name: value for name, value in query.items() if value is not None})
        return {"sessions_cut": 0, "cidr": body["cidr"]}

    return SimpleNamespace(server=SimpleNamespace(post=post), emit=lambda *_: None)


def test_the_source_of_the_ssh_session_is_protected(cli, asked):
    block(cli, "198.51.100.0/24")
    assert asked == [{"protect": "203.0.113.7"}]


def test_force_is_sent(cli, asked):
    block(cli, "0.0.0.0/0", force=True)
    assert asked == [{"protect": "203.0.113.7", "force": True}]


@pytest.mark.parametrize(
    ("value", "address"),
    [("2001:db8::1 50000 22", "2001:db8::1"), ("", None), (" ", None), ("nonsense 1 2", None), (None, None)],
)
def test_ssh_client(value, address):
    assert ssh_client({} if value is None else {"SSH_CLIENT": value}) == address
