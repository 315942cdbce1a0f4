# SPDX-License-Identifier: GPL-3.0-or-later
"""The real openconnect client on a host of the lab."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from pathlib import Path

from lab.echoes import echo
from lab.network import SERVER_IPV4, Host
from lab.patience import PATIENCE
from lab.programs import Line, Program

SCRIPT = Path(__file__).with_name("tunnel-script")
DTLS_UP = r"Established DTLS connection"
UP = r"^tunnel-script: (?:re)?connect "


@dataclass(frozen=True, slots=True)
class Inside:
    """What the client was given."""

    device: str
    mtu: int
    ipv4: str
    ipv6: str
    dns: str


class OpenConnect(Program):
    """One run of the client. It is up once `await_up` returns; its end is `await_exit`."""

    def __init__(
        self,
        host: Host,
        *arguments: str,
        pin: str,
        user: str,
        password: str,
        server: str = SERVER_IPV4,
        port: int = 443,
        dtls: bool = False,
        reconnect_timeout: int = 60,
    ) -> None:
        self.host = host
        address = f"[{server}]" if ":" in server else server
        super().__init__(
            f"openconnect of {user} on host {host.number}",
            [
                "openconnect",
                "--non-inter",
                "--passwd-on-stdin",
                f"--user={user}",
                f"--servercert={pin}",
                f"--script={SCRIPT}",
                f"--reconnect-timeout={reconnect_timeout}",
                *([] if dtls else ["--no-dtls"]),
                *arguments,
                f"https://{address}:{port}/",
            ],
            host.namespace,
            stdin=password + "\n",
        )

    def await_up(self, timeout: float = PATIENCE) -> Inside:
        return parse_inside(self.await_line(UP, timeout))

    def await_dtls(self, timeout: float = PATIENCE) -> float:
        """Seconds from the TLS channel's being up to the DTLS channel's."""
        began = self.await_line(r"CSTP connected", timeout).at
        return self.await_line(DTLS_UP, timeout).at - began

    def await_reconnected(self, timeout: float = 2 * PATIENCE) -> Line:
        return self.await_line(r"^tunnel-script: reconnect ", timeout)

    def goodbye(self) -> None:
        """The user ends it: the client tells the server."""
        # Not SIGINT: the client ignores that one while its script runs, as system(3) does.
        self.signal(signal.SIGTERM)
        self.await_exit()

    def ping(
        self, target: str, *, count: int = 3, interval: float = 0.05, size: int = 56, patience: float = PATIENCE
    ) -> float:
        """Pings through the host's routes; the part that was answered, 0 to 1."""
        return echo(self.host.namespace, target, count=count, interval=interval, size=size, patience=patience)


def parse_inside(line: Line) -> Inside:
    facts = dict(re.findall(r"(\w+)=(\S*)", line.text))
    return Inside(facts["dev"], int(facts["mtu"] or 0), facts["ipv4"], facts["ipv6"], facts["dns"])
