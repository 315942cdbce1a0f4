# SPDX-License-Identifier: GPL-3.0-or-later
"""openconnect in two steps: a login that prints its cookie, and a tunnel with that cookie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.clients.openconnect import OpenConnect
from lab.network import SERVER_IPV4
from lab.server import PASSWORD

if TYPE_CHECKING:
    from lab.network import Host
    from lab.server import Server


def log_in(server: Server, host: Host) -> str:
    """The cookie of a login of alice without a tunnel."""
    command = ("--non-inter", "--passwd-on-stdin", "--user=alice", f"--servercert={server.pin}", "--authenticate")
    printed = host.namespace.run("openconnect", *command, f"https://{SERVER_IPV4}/", stdin=PASSWORD + "\n")
    return next(line.split("'")[1] for line in printed.splitlines() if line.startswith("COOKIE="))


def connect(server: Server, host: Host, cookie: str) -> OpenConnect:
    """A client of whatever server the host's address of the server leads to."""
    # Its first line is the password, which it reads and does not need.
    client = OpenConnect(host, "--cookie-on-stdin", pin=server.pin, user="alice", password=f"\n{cookie}")
    server.network.programs.append(client)
    return client
