# SPDX-License-Identifier: GPL-3.0-or-later
"""A network backend for httpcore that connects to allowed addresses only, and ends every call at one deadline.

Proxies of the environment are not used: behind one, the address could not be checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpcore

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable

    from ocsentry.outbound.allowed_addresses import AllowedAddresses


class Deadline:
    """The end of one exchange, ``seconds`` from now."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock, self._seconds = clock, seconds
        self._end = clock() + seconds

    def left(self, timeout: float | None) -> float:
        """Returns the seconds that a call may take. Raises ``httpcore.ReadTimeout`` after the deadline."""
        left = self._end - self._clock()
        if left <= 0:
            raise httpcore.ReadTimeout(f"not complete after {self._seconds:.0f} seconds")
        return left if timeout is None else min(timeout, left)


class CheckedBackend(httpcore.NetworkBackend):
    """Connects to checked addresses only."""

    def __init__(self, allowed: AllowedAddresses, clock: Callable[[], float], seconds: float) -> None:
        """``seconds``: from now, in which everything over this backend must be done."""
        self._allowed = allowed
        self._deadline = Deadline(clock, seconds)
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - the library's own signature
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        addresses = self._allowed.find(host.strip("[]"), port)
        for address in addresses[:-1]:
            try:
                return self._connect(address, port, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connect(addresses[-1], port, timeout)

    def _connect(self, address: str, port: int, timeout: float | None) -> httpcore.NetworkStream:
        return _Stream(self._inner.connect_tcp(address, port, self._deadline.left(timeout)), self._deadline)


class _Stream(httpcore.NetworkStream):
    """A stream whose every call ends at the deadline."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, self._deadline.left(timeout))
        return _Stream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - the library's own signature
        return self._inner.get_extra_info(info)
