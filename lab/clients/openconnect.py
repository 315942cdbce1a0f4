# SPDX-License-Identifier: GPL-3.0-or-later
"""The real openconnect client on a host of the lab."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.network import SERVER_IPV4, Host
from lab.processes.programs import Line, Program
from lab.timeouts import TIMEOUT
from lab.traffic.icmp_echo import answered_share

if TYPE_CHECKING:
    from collections.abc import Sequence

SCRIPT = Path(__file__).with_name("vpnc-script")
DTLS_UP = r"Established DTLS connection"
UP = r"^vpnc-script: (?:re)?connect "
_WITH_HOSTS = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"')  # the file, the program


@dataclass(frozen=True, slots=True)
class TunnelConfig:
    """What the server gave the client, as its vpnc-script reports it."""

    device: str
    mtu: int
    ipv4: str
    ipv6: str
    dns: str


class OpenConnect(Program):
    """One run of the client: `await_up` returns once its tunnel is up, `await_exit` once it has ended."""

    def __init__(
        self,
        host: Host,
        *arguments: str,
        pin: str | None,
        user: str,
        password: str,
        server: str = SERVER_IPV4,
        port: int = 443,
        dtls: bool = False,
        reconnect_timeout: int = 60,
        path: str = "",
        environment: Sequence[str] = (),
        hosts: Path | None = None,
    ) -> None:
        """``pin``: of the server's key; ``None``: its certificate is verified.

        ``environment``: variables beside this process's own, as ``NAME=value``. ``hosts``: its ``/etc/hosts``.
        """
        self.host = host
        address = f"[{server}]" if ":" in server else server
        super().__init__(
            f"openconnect of {user} on host {host.number}",
            [
                *([] if hosts is None else [*_WITH_HOSTS, str(hosts)]),
                "env",
                *environment,
                "openconnect",
                "--non-inter",
                "--passwd-on-stdin",
                f"--user={user}",
                *([] if pin is None else [f"--servercert={pin}"]),
                f"--script={SCRIPT}",
                f"--reconnect-timeout={reconnect_timeout}",
                *([] if dtls else ["--no-dtls"]),
                *arguments,
                f"https://{address}:{port}/{path}",
            ],
            host.namespace,
            stdin=password + "\n",
        )

    def await_up(self, timeout: float = TIMEOUT) -> TunnelConfig:
        return parse_tunnel_config(self.await_line(UP, timeout))

    def await_dtls(self, timeout: float = TIMEOUT) -> float:
        """Waits for the DTLS channel; returns the seconds since the TLS channel was up."""
        began = self.await_line(r"CSTP connected", timeout).at
        return self.await_line(DTLS_UP, timeout).at - began

    def reconnect(self) -> Line:
        """Makes the client come back on a new channel, and waits for it: each call waits for its own reconnect."""
        seen = len(self.lines)
        self.signal(signal.SIGUSR2)
        return self.await_reconnected(since=seen)

    def await_reconnected(self, timeout: float = 2 * TIMEOUT, *, since: int = 0) -> Line:
        return self.await_line(r"^vpnc-script: reconnect ", timeout, since=since)

    def goodbye(self) -> None:
        """Disconnects as a user does: the client tells the server."""
        # Not SIGINT: the client ignores it while its script runs, as system(3) does.
        self.signal(signal.SIGTERM)
        self.await_exit()

    def ping(
        self, target: str, *, count: int = 3, interval: float = 0.05, size: int = 56, timeout: float = TIMEOUT
    ) -> float:
        """Sends echo requests through the host's routes; returns the share that was answered, 0 to 1."""
        return answered_share(self.host.namespace, target, count=count, interval=interval, size=size, timeout=timeout)


def parse_tunnel_config(line: Line) -> TunnelConfig:
    facts = dict(re.findall(r"(\w+)=(\S*)", line.text))
    return TunnelConfig(facts["dev"], int(facts["mtu"] or 0), facts["ipv4"], facts["ipv6"], facts["dns"])
