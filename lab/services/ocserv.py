# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of ocserv, and what runs on them in a gateway: Debian's ocserv, or this project's server."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from lab.namespaces import run
from lab.processes.programs import Program
from lab.server import OCSENTRY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lab.certificates import Certificate
    from lab.network import Network

PASSWORD = "tunnel vision"
SETTINGS: Mapping[str, str] = {
    "auth": '"plain[passwd={folder}/passwd]"',
    "tcp-port": "443",
    "udp-port": "443",
    "run-as-user": "root",
    "run-as-group": "root",
    "socket-file": "{folder}/socket",
    "server-cert": "{certificate}",
    "server-key": "{key}",
    "isolate-workers": "true",
    "max-clients": "256",
    "max-same-clients": "2",
    "keepalive": "32400",
    "dpd": "90",
    "mobile-dpd": "1800",
    "try-mtu-discovery": "false",
    "tls-priorities": '"NORMAL:%SERVER_PRECEDENCE:%COMPAT:-VERS-SSL3.0:-VERS-TLS1.0:-VERS-TLS1.1"',
    "auth-timeout": "240",
    "min-reauth-time": "300",
    "max-ban-score": "0",
    "cookie-timeout": "300",
    "deny-roaming": "false",
    "rekey-time": "172800",
    "rekey-method": "ssl",
    "use-occtl": "true",
    "occtl-socket-file": "{folder}/occtl.socket",
    "pid-file": "{folder}/pid",
    "log-level": "2",
    "device": "vpns",
    "predictable-ips": "true",
    "default-domain": "example.com",
    "ipv4-network": "10.88.0.0",
    "ipv4-netmask": "255.255.255.0",
    "dns": "10.88.0.1",
    "ping-leases": "false",
    "cisco-client-compat": "true",
    "dtls-legacy": "true",
}


class OcservFiles:
    """A folder with ``ocserv.conf`` and its password file. A program is started on it, and stopped, by turns."""

    inner_ipv4 = "10.88.0.1"

    def __init__(
        self, network: Network, folder: Path, certificate: Certificate, settings: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.network, self.folder, self.pin = network, folder, certificate.pin
        self.configuration, self.passwords = folder / "ocserv.conf", folder / "passwd"
        self.pid_file, self.occtl_socket = folder / "pid", folder / "occtl.socket"
        names = {"folder": folder, "certificate": certificate.chain, "key": certificate.key}
        lines = [f"{key} = {value.format(**names)}" for key, value in {**SETTINGS, **(settings or {})}.items()]
        self.configuration.write_text("\n".join(lines) + "\n")

    def add_user(self, name: str, *options: str, password: str = PASSWORD) -> None:
        run("ocpasswd", "-c", str(self.passwords), *options, name, stdin=f"{password}\n{password}\n")

    def start_ocserv(self) -> Program:
        command = ["ocserv", "--foreground", "--config", self.configuration]
        program = self._launch("ocserv", command)
        program.await_line(r"initialized")
        return program

    def start_server(self) -> Program:
        program = self.launch_server()
        program.await_line(r'"event": ?"ready"')
        return program

    def launch_server(self, *options: str) -> Program:
        """Starts this project's server, and does not wait for it."""
        state = self.folder / "state"
        command = [OCSENTRY, "serve", "--ocserv-conf", self.configuration, "--state-dir", state, *options]
        return self._launch("ocsentry serve", command)

    def _launch(self, label: str, command: list[str | Path]) -> Program:
        program = Program(label, command, self.network.gateway, cwd=self.folder)
        self.network.programs.append(program)
        return program


def stop(program: Program) -> None:
    program.signal(signal.SIGTERM)
    assert program.await_exit() == 0, program.output
