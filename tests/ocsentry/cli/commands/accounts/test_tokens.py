# SPDX-License-Identifier: GPL-3.0-or-later
"""``ocsentry token``: presets of scopes, and an end by default."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def lifetime(token):
    return datetime.fromisoformat(token["expires_at"]) - datetime.now(UTC)


def test_a_token_ends_after_ninety_days_unless_told_otherwise(command_line):
    made = command_line.json("token", "create", "a")
    assert timedelta(days=89) < lifetime(made) <= timedelta(days=90)
    assert command_line.json("token", "create", "b", "--ttl", "never")["expires_at"] is None
    assert lifetime(command_line.json("token", "create", "c", "--ttl", "1h")) <= timedelta(hours=1)


def test_presets(command_line):
    read_only = command_line.json("token", "create", "a", "--read-only")["scopes"]
    assert "blocks:read" in read_only
    assert all(scope.endswith(":read") for scope in read_only)
    assert len(command_line.json("token", "create", "b", "--full")["scopes"]) > len(read_only)
    assert "exclude" in command_line.fails("token", "create", "c", "--full", "--scope", "blocks:read")


def test_a_list_names_presets_instead_of_every_scope(command_line):
    command_line.ok("token", "create", "a", "--read-only")
    command_line.ok("token", "create", "b", "--scope", "metrics:read")
    listed = command_line.ok("token", "list")
    assert "all (" in listed
    assert "read-only (" in listed
    assert "metrics:read" in listed
    assert max(map(len, listed.splitlines())) < 180
