# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's ocserv as a peer, configured for the same work as ocsentry."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from lab.namespaces import run
from lab.processes.programs import Program

if TYPE_CHECKING:
    from pathlib import Path

    from lab.certificates import Certificate
    from lab.network import Network

CONFIGURATION = """\
auth = "plain[passwd={folder}/passwd]"
tcp-port = 443
{udp}
run-as-user = nobody
run-as-group = daemon
socket-file = {folder}/socket
server-cert = {certificate}
server-key = {key}
isolate-workers = true
max-clients = 4096
max-same-clients = 4096
rate-limit-ms = 0
max-ban-score = 0
server-stats-reset-time = 604800
keepalive = 32400
dpd = 90
mobile-dpd = 1800
switch-to-tcp-timeout = 25
try-mtu-discovery = false
compression = false
tls-priorities = "NORMAL:%SERVER_PRECEDENCE:-VERS-SSL3.0:-VERS-TLS1.0:-VERS-TLS1.1"
auth-timeout = 240
cookie-timeout = 300
deny-roaming = false
rekey-time = 172800
rekey-method = ssl
use-occtl = false
pid-file = {folder}/pid
log-level = 1
device = vpns
predictable-ips = false
ipv4-network = 10.88.0.0
ipv4-netmask = 255.255.0.0
ipv6-network = fd88::/64
ping-leases = false
mtu = {mtu}
cisco-client-compat = true
dtls-legacy = true
"""


class Ocserv:
    """Runs on the gateway of a network. All users have one password."""

    label = "ocserv"
    inner_ipv4 = "10.88.0.1"

    def __init__(
        self,
        network: Network,
        folder: Path,
        certificate: Certificate,
        users: list[str],
        password: str,
        *,
        mtu: int,
        dtls: bool,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for user in users:
            run("ocpasswd", "-c", f"{folder}/passwd", user, stdin=f"{password}\n{password}\n")
        configuration = folder / "ocserv.conf"
        configuration.write_text(
            CONFIGURATION.format(
                folder=folder,
                certificate=certificate.chain,
                key=certificate.key,
                mtu=mtu,
                udp="udp-port = 443" if dtls else "",
            )
        )
        self.network, self.pin = network, certificate.pin
        network.gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.program = Program(
            "ocserv", ["ocserv", "--foreground", "--config", configuration], network.gateway, cwd=folder
        )
        self.program.await_line(r"initialized", 10)

    def stop(self) -> None:
        self.program.signal(signal.SIGTERM)
        self.program.await_exit(20)
