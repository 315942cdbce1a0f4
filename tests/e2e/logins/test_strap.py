# SPDX-License-Identifier: GPL-3.0-or-later
"""STRAP with the real client: it proves at each CONNECT that it is the one that logged in.

host 1 10.77.1.2, host 2 10.77.2.2 ── gateway 10.77.0.1, `ocsentry serve` with `auth.strap = "enforce"`
"""

from __future__ import annotations

import re

TLS12 = "--gnutls-priority=NORMAL:-VERS-ALL:+VERS-TLS1.2"


def log_in(server, host, user):
    """Returns what `--cookie` takes, and its two parts: the session cookie and the client's key."""
    client = server.connect(host, "--cookieonly", user=user)
    assert client.await_exit() == 0
    whole = client.await_line("webvpn=").text.strip()
    key = re.search(r"openconnect_strapkey=[^;]*;", whole)
    assert key is not None, "the client hands its key over with the cookie"
    return whole, (whole.replace(key[0], "").strip(), key[0])


def test_a_client_reconnects_and_a_stolen_cookie_opens_nothing(lab):
    server = lab.serve(settings={"auth": {"strap": "enforce"}}, builtin_limits=False)
    host, thief = lab.host(), lab.host()
    for version in ([], [TLS12]):
        client = server.connect(host, *version)
        client.await_up()
        for _ in range(2):
            client.reconnect()
        client.goodbye()
    whole, (stolen, _) = log_in(server, host, "alice")
    _, (_, foreign_key) = log_in(server, thief, "bob")
    for cookie in (stolen, f"{foreign_key} {stolen}"):
        assert server.connect(thief, f"--cookie={cookie}").await_exit() != 0
    assert server.sessions() == []
    server.connect(host, f"--cookie={whole}").await_up()
    assert [session["user"] for session in server.sessions()] == ["alice"]
    for reason in ("strap_missing", "strap_mismatch"):
        server.program.await_line(f'"reason": "{reason}"')
    assert "strap_failed" not in server.program.output
