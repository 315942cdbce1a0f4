# SPDX-License-Identifier: GPL-3.0-or-later
"""The method ``certificate``: the client's certificate of the connection, which TLS has verified already.

It asks nothing but the group, and that only if told to. A client that presents its certificate is accepted at its first
request.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.auth.certificate.identity import CertificateNameError, read_identity
from vpn_frontend.auth.external_user import find_external_user, recall_external_user
from vpn_frontend.auth.result import WRONG, Accepted, FirstForm, Pending, Refused
from vpn_frontend.protocol.login_form import GROUP, Field, FieldKind, Form

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from vpn_frontend.auth.certificate.identity import CertificateFields, CertificateIdentity
    from vpn_frontend.auth.method import LoginRequest, Method
    from vpn_frontend.auth.result import Outcome
    from vpn_frontend.ports import UserDirectory, UserRecord
    from vpn_frontend.protocol.login_form import GroupLabels

NEEDED = "This server needs a client certificate."  # clients rewrite "Certificate Validation Failure" to their own text
CHOOSE = "Please select your group."
UNUSABLE = "The client certificate names no user of this server."


@dataclass(frozen=True, slots=True)
class GroupQuestion:
    """Which group a login is by, if its certificate names several and the client has chosen none.

    A certificate with one group of ``offered`` chooses that one. ``no_group`` is the option of no choice; empty: none.
    """

    offered: Collection[str] = ()
    labels: GroupLabels = ()
    no_group: str = ""

    def ask(self, groups: tuple[str, ...]) -> str | Form:
        """Returns the group, empty if there is none to choose, or the form that asks for it."""
        eligible = tuple(group for group in groups if group in self.offered) if self.offered else groups
        if len(eligible) == 1 or not groups:
            return eligible[0] if eligible else ""
        options = (self.no_group, *groups) if self.no_group else groups
        labels = tuple((name, label) for name, label in self.labels if name in groups)
        return Form((Field(GROUP, FieldKind.SELECT, "GROUP:", options[0], options, labels),), CHOOSE)


class CertificateFirst:
    """A login that needs a certificate: a client that shows none is asked for one at its first request."""

    def __init__(self, login: Method) -> None:
        self._login = login
        self.name = login.name
        self.backend = login.backend

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        if not login.peer_certificate and not login.submitted and not login.offer.certificate_failed:
            return FirstForm(request_certificate=True)
        return self._login.begin(login)

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:
        return self._login.answer(state, fields)


class CertificateMethod:
    """A client without a certificate is refused. It has guessed nothing, so the refusal is not scored."""

    name = "certificate"
    backend = "directory"

    def __init__(self, users: UserDirectory, fields: CertificateFields, question: GroupQuestion | None = None) -> None:
        self._users = users
        self._fields = fields
        self._question = question

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        if not login.peer_certificate:
            return Refused(NEEDED, "no_certificate", final=True, scored=False)
        try:
            identity = read_identity(login.peer_certificate, self._fields)
        except CertificateNameError as error:
            return Refused(UNUSABLE, error.reason, final=True)
        if self._question is None or login.group or GROUP in login.fields:
            return self._accept(identity, "")
        asked = self._question.ask(identity.groups)
        return FirstForm(form=asked) if isinstance(asked, Form) else self._accept(identity, asked)

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:  # noqa: ARG002 - of the interface
        """Raises ``TypeError``: this method has no challenge."""
        raise TypeError("a reply to a certificate without a challenge")

    def _accept(self, identity: CertificateIdentity, chosen: str) -> Outcome | Pending:
        user = recall_external_user(self._users, identity.user, identity.groups)
        if user is not None:
            return Accepted(user, _chosen_first(user.groups, chosen))
        return Pending(partial(self._find, identity, chosen))

    async def _find(self, identity: CertificateIdentity, chosen: str) -> Outcome:
        user = await find_external_user(self._users, identity.user, identity.groups)
        return Accepted(user, _chosen_first(user.groups, chosen))


def _chosen_first(groups: tuple[str, ...], chosen: str) -> tuple[str, ...]:
    return (chosen, *(group for group in groups if group != chosen)) if chosen else groups


def confirm_certificate(fields: CertificateFields, login: LoginRequest, user: UserRecord) -> Refused | None:
    """Compares a login's certificate and its user once more, when every method has accepted.

    Returns the refusal of a login without a certificate, or with that of another user. For logins that need one.
    """
    try:
        owner = read_identity(login.peer_certificate, fields).user
    except CertificateNameError as error:
        return Refused(WRONG, error.reason, final=True)
    return None if owner.casefold() == user.name.casefold() else Refused(WRONG, "another_user", final=True)
