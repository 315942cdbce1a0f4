# SPDX-License-Identifier: GPL-3.0-or-later
"""Many openconnect clients on one host, which have to come back by themselves after their server's process ended.

Every second one has a DTLS channel, too.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from lab.clients.openconnect import DTLS_UP
from lab.server import INNER_IPV4
from lab.timeouts import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.clients.openconnect import OpenConnect, TunnelConfig
    from lab.network import Host

AT_ONCE = 20  # that log in together
COUNTED = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")
PINGS, PING_BYTES = 5, 84  # of each client at a time; an echo request of 56 bytes with its headers


class Tunnels:
    """The open tunnels. ``connect`` starts one client, with DTLS or without."""

    def __init__(self, host: Host, count: int, connect: Callable[[bool], OpenConnect]) -> None:
        host.namespace.run("sysctl", "-q", "net.ipv6.conf.default.disable_ipv6=0")
        self._host = host
        self.clients: list[OpenConnect] = []
        self.configs: list[TunnelConfig] = []
        for start in range(0, count, AT_ONCE):
            self.clients += [connect(number % 2 == 0) for number in range(start, min(start + AT_ONCE, count))]
            self.configs += [client.await_up(4 * TIMEOUT) for client in self.clients[start:]]
        self._await_dtls([0] * count)

    def seen(self) -> list[int]:
        """How many lines each client has printed: where ``await_back`` looks from."""
        return [len(client.lines) for client in self.clients]

    def await_back(self, since: list[int]) -> float:
        """Returns when the last one had its TLS channel again, once all are up as before."""
        pairs = list(zip(self.clients, since, strict=True))
        back = [client.await_line(r"CSTP connected", 8 * TIMEOUT, since=seen) for client, seen in pairs]
        for client, seen in pairs:
            client.await_reconnected(8 * TIMEOUT, since=seen)
        self._await_dtls(since)
        return max(line.at for line in back)

    def first(self, pattern: str, since: list[int]) -> float:
        """Returns when the first client printed such a line after ``since``. All of them have."""
        return min(
            client.await_line(pattern, TIMEOUT, since=seen).at for client, seen in zip(self.clients, since, strict=True)
        )

    def _await_dtls(self, since: list[int]) -> None:
        for client, seen in list(zip(self.clients, since, strict=True))[::2]:
            client.await_line(DTLS_UP, 4 * TIMEOUT, since=seen)

    def ping_all(self) -> None:
        """From each client's device at the same time, so that the time does not grow with their number."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._ping, self.configs))

    def _ping(self, config: TunnelConfig) -> None:
        arguments = ("-n", "-q", "-c", str(PINGS), "-i", "0.05", "-W", "5", "-I", config.device, INNER_IPV4)
        self._host.namespace.run("ping", *arguments)

    def goodbye(self) -> None:
        for client in self.clients:
            client.goodbye()


def counters_of(document: Mapping[str, Any]) -> tuple[int, ...]:
    """The traffic of a session, or of a row of the history."""
    return tuple(document[name] for name in COUNTED)


def counters_after(rounds: int) -> tuple[int, ...]:
    """What ``counters_of`` returns after so many calls of ``Tunnels.ping_all``."""
    packets = rounds * PINGS
    return packets, packets * PING_BYTES, packets, packets * PING_BYTES
