# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends deliveries of webhooks over HTTP. Each request has a thread, which no other request waits for."""

from __future__ import annotations

import asyncio
import time
from threading import Thread
from typing import TYPE_CHECKING

import httpcore
import httpx

from admin_api.ports import WebhookAnswer
from ocsentry.outbound.allowed_addresses import AllowedAddresses, resolve
from ocsentry.outbound.checked_backend import CheckedBackend

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

    from ocsentry.outbound.allowed_addresses import Resolver
    from vpn_frontend.settings import Network

WHOLE = 15.0  # seconds for one request, from the look-up of the name (Standard Webhooks: 15 to 30)
SETTING = "admin.webhook_networks"


class HttpWebhookSender:
    """The API's ``WebhookSender``. The caller bounds the number of requests at a time."""

    def __init__(
        self,
        networks: Sequence[Network] = (),
        *,
        resolver: Resolver = resolve,
        clock: Callable[[], float] = time.monotonic,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``networks`` are allowed beside public addresses. ``tls``: ``None`` verifies by the usual authorities."""
        self._networks, self._resolver, self._clock, self._tls = networks, resolver, clock, tls

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
        """The thread is a daemon: a stopping server does not wait for a receiver. The look-up of a name has no
        deadline of its own, so the wait for the thread has one.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[WebhookAnswer] = loop.create_future()

        def work() -> None:
            try:
                answer: WebhookAnswer | OSError = self._exchange(url, headers, body)
            except OSError as error:
                answer = error
            except Exception as error:  # noqa: BLE001 - one delivery fails, whatever it is
                answer = OSError(f"{type(error).__name__}: {error}")
            try:
                loop.call_soon_threadsafe(_settle, future, answer)
            except RuntimeError:
                return  # the server has stopped

        try:
            Thread(target=work, name="webhook", daemon=True).start()
        except RuntimeError:
            raise OSError(0, "no thread can be started to deliver it") from None
        try:
            async with asyncio.timeout(2 * WHOLE):
                return await future
        except TimeoutError:
            raise OSError(f"not complete after {2 * WHOLE:.0f} seconds") from None

    def _exchange(self, url: str, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
        """Raises ``OSError``."""
        target = httpx.URL(url)
        allowed = AllowedAddresses(self._networks, None, self._resolver, SETTING)
        sent = {"Content-Type": "application/json", "User-Agent": "ocsentry", **headers}
        try:
            backend = CheckedBackend(allowed, self._clock, WHOLE)
            with (
                httpcore.ConnectionPool(network_backend=backend, ssl_context=self._tls) as pool,
                pool.stream(
                    "POST",
                    httpcore.URL(
                        scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path or b"/"
                    ),
                    headers=[*sent.items(), ("Content-Length", str(len(body)))],
                    content=body,
                    extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), WHOLE)},
                ) as answer,
            ):
                return WebhookAnswer(answer.status, _retry_after(httpx.Headers(answer.headers)))
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise OSError(str(error) or type(error).__name__) from error


def _settle(future: asyncio.Future[WebhookAnswer], answer: WebhookAnswer | OSError) -> None:
    if future.done():  # the caller has left
        return
    if isinstance(answer, OSError):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _retry_after(headers: httpx.Headers) -> float | None:
    """Returns the seconds of Retry-After (RFC 9110, 10.2.3). A date counts as none."""
    text = headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
