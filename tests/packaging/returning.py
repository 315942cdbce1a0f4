# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels over a restart, a crash and an upgrade of the packaged service, under systemd itself.

OCSENTRY_RETURNING: tunnels (200 before a release).
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from lab.clients.openconnect import OpenConnect
from lab.clients.tunnels import Tunnels, counters_after, counters_of
from lab.network import SERVER_IPV4, Host
from lab.server import PASSWORD, rule_document
from lab.timeouts import eventually, time_limit
from tests.packaging.nspawn import CLIENT_IPV4, Container

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.namespaces import Namespace

TUNNELS = int(os.environ.get("OCSENTRY_RETURNING", "10"))
BACK_WITHIN = (
    5.0  # seconds until the last client is back: from the operator's command, the kill, or the first one's loss
)
LOST = r"^vpnc-script: attempt-reconnect "
MAIN_PROCESS = "systemctl show -P MainPID ocsentry"
PATIENCE = 900  # seconds
HISTORY = 10 * TUNNELS  # rows, of which the earlier sessions of the run are few
UNBOUNDED = f"vpn.limits.max_same_clients=0 vpn.session.cookie_timeout={PATIENCE}"
# All clients have one user and one address here. 200 of them come back three times, and the starter's rules allow 600
# connections a minute: their file is replaced.
LIMITS = "/etc/ocsentry/rules/10-limits.json"
UNLIMITED = (
    f"ocsentry settings set vpn.limits.max_same_clients=0 && test -s {LIMITS} && cat >{LIMITS} && ocsentry reload"
)


def host_of(client: Namespace) -> Host:
    return Host(1, client, client, CLIENT_IPV4, "")


def connect(host: Host, pin: str, *arguments: str, dtls: bool = False) -> OpenConnect:
    who = {"pin": pin, "user": "alice", "password": PASSWORD, "server": SERVER_IPV4}
    return OpenConnect(host, *arguments, **who, dtls=dtls, reconnect_timeout=PATIENCE)


def sessions_of(container: Container, words: str) -> list[dict[str, Any]]:
    return json.loads(container.run(f"ocsentry {words} --json"))


def try_returns(
    container: Container, host: Host, pin: str, upgrade: str, expect: Callable[[object, str], None]
) -> None:
    """Opens the tunnels and has them come back after each way to end the process. ``upgrade``: its command."""
    container.run(UNLIMITED, stdin=rule_document([], builtin_limits=False))
    tunnels = Tunnels(host, TUNNELS, lambda dtls: connect(host, pin, "--disable-ipv6", dtls=dtls))
    ids = sorted(one["id"] for one in sessions_of(container, "sessions"))
    expect(len(ids) == TUNNELS, f"{TUNNELS} tunnels")
    logins = _logins(container)
    crash = "systemctl kill --signal=KILL --kill-who=main ocsentry"
    for rounds, (name, command) in enumerate((("restart", "systemctl restart ocsentry"), ("crash", crash)), 1):
        tunnels.ping_all()
        took = _end(container, tunnels, command)
        expect(took <= time_limit(BACK_WITHIN), f"all are back {took:.2f} s after a {name}")
        found = sessions_of(container, "sessions")
        expect(sorted(one["id"] for one in found) == ids, "each has its session")
        expect(
            all(counters_of(one["counters"]) == counters_after(rounds) for one in found), "every byte is counted once"
        )
    took = _end(container, tunnels, upgrade, from_loss=True)
    expect(took <= time_limit(BACK_WITHIN), f"all are back {took:.2f} s after an upgrade ended the first one's channel")
    expect(sorted(one["id"] for one in sessions_of(container, "sessions")) == ids, "each has its session")
    expect(_logins(container) == logins, "none logged in again")
    tunnels.ping_all()
    tunnels.goodbye()
    eventually(lambda: sessions_of(container, "sessions"), lambda found: not found, "without sessions")
    rows = [row for row in sessions_of(container, f"sessions history --limit {HISTORY}") if row["id"] in set(ids)]
    expect([row["end_reason"] for row in rows] == ["user_disconnect"] * TUNNELS, "each has one end in the history")
    expect(all(counters_of(row) == counters_after(3) for row in rows), "its bytes are in the history")


def _end(container: Container, tunnels: Tunnels, command: str, *, from_loss: bool = False) -> float:
    """Returns the seconds from ``command`` until the last client's channel was up.

    ``from_loss``: from the first loss of a channel, for a command that leaves the server running for a while.
    """
    since, process = tunnels.seen(), container.run(MAIN_PROCESS)
    begun = time.monotonic()
    container.run(command)
    back = tunnels.await_back(since)
    if from_loss:
        begun = tunnels.first(LOST, since)
    # Clients are back before the server is ready for commands.
    state = "systemctl is-active ocsentry"
    eventually(lambda: container.run(state, check=False).strip(), lambda found: found == "active", "active")
    if container.run(MAIN_PROCESS) == process:
        raise SystemExit(f"{command}: the process is the same")
    return back - begun


def _logins(container: Container) -> int:
    return container.run("journalctl -u ocsentry -o cat --no-pager").count("login_accepted")
