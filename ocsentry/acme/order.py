# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders a certificate: account, order, challenges, certificate (RFC 8555 section 7.1)."""

from __future__ import annotations

import time
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol

from ocsentry.acme.jws import encode
from ocsentry.acme.server import AcmeError, Answer, describe_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ocsentry.acme.server import AcmeServer

CHALLENGE = "tls-alpn-01"
DEADLINE = 180.0  # seconds for a validation, and for the certificate
POLL = 1.0  # seconds between two questions, unless the server names another time
MAX_POLL = 30.0


class Challenges(Protocol):
    """Puts challenges on the VPN's port."""

    def put(self, name: str, key_authorization: str) -> None: ...

    def remove(self, name: str) -> None: ...


class Clock(Protocol):
    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


def register(server: AcmeServer, email: str, binding: tuple[str, bytes] | None = None) -> str:
    """Create the account of the server's key, or find it. Returns its URL. Raises ``AcmeError``.

    ``binding``: key id and secret of an account at the authority, where it asks for them.
    """
    payload: dict[str, object] = {"termsOfServiceAgreed": True}
    if email:
        payload["contact"] = [f"mailto:{email}"]
    if binding is not None:
        payload["externalAccountBinding"] = server.key.bind(server.directory["newAccount"], *binding)
    answer = server.post(server.directory["newAccount"], payload, with_key=True)
    if not answer.location:
        raise AcmeError("the ACME server names no account")
    server.account = answer.location
    return answer.location


def order_certificate(
    server: AcmeServer,
    names: Sequence[str],
    request: bytes,
    challenges: Challenges,
    clock: Clock | None = None,
) -> bytes:
    """Returns the chain in PEM form for the certificate ``request`` (DER) of ``names``. Raises ``AcmeError``."""
    clock = clock or SystemClock()
    identifiers = [{"type": "dns", "value": name} for name in names]
    order = server.post(server.directory["newOrder"], {"identifiers": identifiers})
    url, document = order.location, order.document
    for authorization in _texts(document, "authorizations"):
        _authorize(server, authorization, challenges, clock)
    # The order is ready once the server has seen that every name is valid, which may be a moment later.
    ready = _poll(server, url, clock, lambda found: found.get("status") != "pending")
    if ready.get("status") != "ready":
        raise AcmeError(f"the order is {ready.get('status')}: {describe_problem(ready.get('error') or {})}")
    server.post(_text(ready, "finalize"), {"csr": encode(request)})
    done = _poll(server, url, clock, lambda found: found.get("status") not in {"ready", "processing"})
    if done.get("status") != "valid":
        raise AcmeError(f"the order is {done.get('status')}: {describe_problem(done.get('error') or {})}")
    return server.post(_text(done, "certificate")).content


def _authorize(server: AcmeServer, url: str, challenges: Challenges, clock: Clock) -> None:
    document = server.post(url).document
    if document.get("status") == "valid":  # of an earlier order
        return
    name = str((document.get("identifier") or {}).get("value", ""))
    offered = [one for one in document.get("challenges") or () if isinstance(one, dict)]
    challenge = next((one for one in offered if one.get("type") == CHALLENGE), None)
    if challenge is None:
        kinds = ", ".join(sorted(str(one.get("type")) for one in offered))
        raise AcmeError(f"{name}: the ACME server offers no {CHALLENGE} (it offers: {kinds or 'nothing'})")
    with _on_port(challenges, name, server.key.key_authorization(_text(challenge, "token"))):
        server.post(_text(challenge, "url"), {})
        document = _poll(server, url, clock, lambda found: found.get("status") != "pending")
    if document.get("status") != "valid":
        raise AcmeError(f"{name} is not validated: {_failure(document)}")


@contextmanager
def _on_port(challenges: Challenges, name: str, key_authorization: str) -> Iterator[None]:
    challenges.put(name, key_authorization)
    try:
        yield
    finally:
        challenges.remove(name)


def _failure(authorization: dict[str, Any]) -> str:
    errors = [one.get("error") for one in authorization.get("challenges") or () if isinstance(one, dict)]
    told = "; ".join(describe_problem(error) for error in errors if isinstance(error, dict))
    return told or f"it is {authorization.get('status')}"


def _poll(server: AcmeServer, url: str, clock: Clock, is_done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask until ``is_done``. Raises ``AcmeError`` after ``DEADLINE``."""
    end = clock.monotonic() + DEADLINE
    while True:
        answer = server.post(url)
        if is_done(answer.document):
            return answer.document
        wait = _retry_after(answer)
        if clock.monotonic() + wait > end:
            raise AcmeError(f"the ACME server has not decided within {DEADLINE:.0f} s: {url}")
        clock.sleep(wait)


def _retry_after(answer: Answer) -> float:
    """Seconds, or a date (RFC 9110 section 10.2.3); within bounds."""
    value = answer.headers.get("retry-after", "")
    if value.isdecimal():
        return min(max(float(value), POLL), MAX_POLL)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (TypeError, ValueError):
        return POLL
    return min(max(seconds, POLL), MAX_POLL)


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise AcmeError(f"the ACME server's answer has no {name}")
    return value


def _texts(document: dict[str, Any], name: str) -> list[str]:
    values = document.get(name)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise AcmeError(f"the ACME server's answer has no {name}")
    return values
