# SPDX-License-Identifier: GPL-3.0-or-later
"""Gets or renews the server's certificate: everything between the command and the ACME server."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ocsentry.acme.certificate import (
    check_issued,
    check_replaceable,
    install,
    is_due,
    make_request,
    public_names,
)
from ocsentry.acme.order import order_certificate, register
from ocsentry.acme.server import LETS_ENCRYPT, AcmeError, AcmeServer, open_client
from ocsentry.setup.certificates import certificate_facts, inspect_pair
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ocsentry.acme.order import Challenges, Clock
    from ocsentry.acme.state import AcmeFolder, AcmeState
    from ocsentry.setup.certificates import CertificateFacts


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator asked for. Empty: as the last time. ``accept_terms`` gets their URL, and may raise."""

    names: Sequence[str] = ()
    email: str = ""
    directory: str = ""
    authorities: Path | None = None
    binding: tuple[str, bytes] | None = None
    accept_terms: Callable[[str], None] = lambda _: None
    force: bool = False  # although nothing is due, another program's certificate is there, or the last attempt failed


@dataclass(frozen=True, slots=True)
class Issued:
    facts: CertificateFacts
    changed: bool  # False: the present one is good for longer
    state: AcmeState


@dataclass(frozen=True, slots=True)
class Issuer:
    """Where the parts are. ``reload`` puts the new certificate in force."""

    folder: AcmeFolder
    certificate: Path
    private_key: Path
    challenges: Challenges
    reload: Callable[[], None]
    version: str
    clock: Clock | None = None

    def renew(self) -> Issued | None:
        """Renew if that is due; ``None``: no certificate was ever ordered here. Raises ``AcmeError``."""
        if not self.folder.read().account:
            return None
        return self.issue(Wishes())

    def issue(self, wishes: Wishes) -> Issued:
        """Raises ``AcmeError``, ``CertificatePairError`` or ``OSError``; the present certificate is unharmed then."""
        with self.folder.locked():
            state = self._merge(self.folder.read(), wishes)
            present = inspect_pair(self.certificate, self.private_key)
            names = list(dict.fromkeys(wishes.names or state.names or public_names(present)))
            if not names:
                raise AcmeError(
                    "no name: the present certificate has none that an authority could validate; give --name"
                )
            if not wishes.force:
                check_replaceable(self.certificate)
                if _is_good(present, names, state):
                    return Issued(present, changed=False, state=state)
                _check_ours(present, state, self.certificate)
                _check_wait(state)
            try:
                state, facts = self._order(state, names, wishes)
            except AcmeError as error:
                self.folder.write(state.after_failure(str(error), time.time()))
                raise
            self.folder.write(state.model_copy(update={"names": names, "failures": 0, "failed_at": 0.0, "error": ""}))
        self.reload()
        return Issued(facts, changed=True, state=state)

    def _order(self, state: AcmeState, names: list[str], wishes: Wishes) -> tuple[AcmeState, CertificateFacts]:
        key_pem = self.private_key.read_bytes()
        request = make_request(key_pem, names)
        with open_client(wishes.authorities or _path(self.certificate, state.authorities), self.version) as client:
            server = AcmeServer(state.directory, self.folder.account_key(), client)
            if state.account:
                server.account = state.account
            else:
                if server.terms:
                    wishes.accept_terms(server.terms)
                if server.needs_binding and wishes.binding is None:
                    raise AcmeError("the authority wants an account of its own: give --eab-key-id and --eab-key-file")
                state = state.model_copy(update={"account": register(server, state.email, wishes.binding)})
                self.folder.write(state)
            chain = order_certificate(server, names, request, self.challenges, self.clock)
        pair = check_issued(chain, key_pem, names)
        install(self.certificate, chain)
        return state, certificate_facts(pair)

    @staticmethod
    def _merge(state: AcmeState, wishes: Wishes) -> AcmeState:
        """``state`` as the operator wants it. Another directory or address needs another account."""
        update: dict[str, object] = {}
        directory = wishes.directory or state.directory or LETS_ENCRYPT
        if directory != state.directory:
            update |= {"directory": directory, "account": "", "failures": 0}
        if wishes.authorities is not None:
            update["authorities"] = str(wishes.authorities.absolute())
        return state.with_email(wishes.email).model_copy(update=update)


def _path(beside: Path, name: str) -> Path | None:
    return beside.parent / name if name else None


def _is_good(present: CertificateFacts, names: Sequence[str], state: AcmeState) -> bool:
    """True for a certificate of this account that names all and is not due."""
    has = {name.lower() for name in present.names}
    return bool(state.account) and not present.self_signed and {*map(str.lower, names)} <= has and not is_due(present)


def _check_ours(present: CertificateFacts, state: AcmeState, path: Path) -> None:
    if not present.self_signed and not state.names:
        raise AcmeError(f"{path} is of another authority, which is not replaced without --force")


def _check_wait(state: AcmeState) -> None:
    at = state.next_attempt()
    if time.time() < at:
        moment = datetime.fromtimestamp(at, UTC)
        raise AcmeError(
            f"the last attempt failed: {state.error}\nThe next one is possible at {moment:%Y-%m-%d %H:%M} UTC, as "
            "authorities lock out accounts that fail often. With --force: now"
        )
