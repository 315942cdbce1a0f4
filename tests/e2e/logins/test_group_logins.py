# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups with rules of their own for logins, with the real client.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

import json

from lab.authority import Authority

SETTINGS = {
    "groups.vault": {"label": "The vault"},
    "groups.vault.auth": {"require": ["certificate"]},
    "groups.machines": {},
    "groups.machines.auth": {"methods": ["certificate"]},
    "groups.staff": {"label": "The staff"},
}


def refusal(client):
    assert client.await_exit() != 0
    return client.output


def test_each_group_logs_in_by_its_own_rules(lab, tmp_path):
    authority = Authority(tmp_path / "ca")
    settings = {**SETTINGS, "auth": {"no_group_label": "none"}, "auth.certificate": {"ca": str(authority.file)}}
    server = lab.serve(settings=settings, builtin_limits=False)
    server.api.expect(200, "PATCH", "/api/v1/users/alice", {"groups": ["staff", "vault"]})
    server.api.expect(200, "PATCH", "/api/v1/users/carol", {"groups": ["machines"]})
    host, alice, carol = lab.host(), authority.issue("alice").arguments, authority.issue("carol").arguments
    with_certificate = server.connect(host, *alice, "--authgroup=The vault")
    with_certificate.await_up()
    [session] = server.sessions()
    assert session["groups"] == ["vault", "staff"]
    with_certificate.goodbye()
    by_url = server.connect(host, *carol, path="machines", user="unused", password="")
    by_url.await_up()
    by_url.goodbye()
    bob = server.connect(host, "--authgroup=none", user="bob")
    bob.await_up()  # no group has a rule for bob
    bob.goodbye()

    assert "needs a client certificate" in refusal(server.connect(host, "--authgroup=The vault"))
    for group in ("The staff", "none"):
        assert "The group vault needs another login" in refusal(server.connect(host, f"--authgroup={group}"))
    assert "The group machines needs another login" in refusal(
        server.connect(host, *carol, "--authgroup=none", user="carol")
    )
    assert "not a member of the group vault" in refusal(  # who the certificate is of
        server.connect(host, *carol, "--authgroup=The vault", user="alice")
    )
    server.program.await_line(json.dumps({"reason": "group_needs_other_login"})[1:-1])
    assert server.sessions() == []

    # A group made while the server runs, with rules of its own, and without them again.
    server.cli("group", "add", "lab", "auth.require=certificate")
    server.api.expect(200, "PATCH", "/api/v1/users/bob", {"groups": ["lab"]})
    assert "The group lab needs another login" in refusal(server.connect(host, "--authgroup=none", user="bob"))
    assert "needs a client certificate" in refusal(server.connect(host, user="bob", path="lab"))
    own = server.connect(host, *authority.issue("bob").arguments, user="bob", path="lab")
    own.await_up()
    own.goodbye()
    server.cli("group", "set", "lab", "auth.require=")
    freed = server.connect(host, "--authgroup=none", user="bob")
    freed.await_up()
    freed.goodbye()
