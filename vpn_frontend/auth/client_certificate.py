# SPDX-License-Identifier: GPL-3.0-or-later
"""The method ``certificate``: the client's certificate of the connection, which TLS has verified already.

It asks nothing. A client that presents its certificate is accepted at its first request.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vpn_frontend.auth.certificate_identity import CertificateNameError, read_identity
from vpn_frontend.auth.external_user import find_external_user, recall_external_user
from vpn_frontend.auth.result import WRONG, Accepted, FirstForm, Pending, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.auth.certificate_identity import CertificateFields, CertificateIdentity
    from vpn_frontend.auth.method import LoginRequest, Method
    from vpn_frontend.auth.result import Outcome
    from vpn_frontend.ports import UserDirectory, UserRecord

NEEDED = "This server needs a client certificate."  # clients rewrite "Certificate Validation Failure" to their own text
UNUSABLE = "The client certificate names no user of this server."


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

    def __init__(self, users: UserDirectory, fields: CertificateFields) -> None:
        self._users = users
        self._fields = fields

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        if not login.peer_certificate:
            return Refused(NEEDED, "no_certificate", final=True, scored=False)
        try:
            identity = read_identity(login.peer_certificate, self._fields)
        except CertificateNameError as error:
            return Refused(UNUSABLE, error.reason, final=True)
        user = recall_external_user(self._users, identity.user, identity.groups)
        if user is not None:
            return Accepted(user, user.groups)
        return Pending(partial(self._find, identity))

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:  # noqa: ARG002 - of the interface
        """Raises ``TypeError``: this method has no challenge."""
        raise TypeError("a reply to a certificate without a challenge")

    async def _find(self, identity: CertificateIdentity) -> Outcome:
        user = await find_external_user(self._users, identity.user, identity.groups)
        return Accepted(user, user.groups)


def confirm_certificate(fields: CertificateFields, login: LoginRequest, user: UserRecord) -> Refused | None:
    """Compares a login's certificate and its user once more, when every method has accepted.

    Returns the refusal of a login without a certificate, or with that of another user. For logins that need one.
    """
    try:
        owner = read_identity(login.peer_certificate, fields).user
    except CertificateNameError as error:
        return Refused(WRONG, error.reason, final=True)
    return None if owner.casefold() == user.name.casefold() else Refused(WRONG, "another_user", final=True)
