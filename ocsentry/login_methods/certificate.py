# SPDX-License-Identifier: GPL-3.0-or-later
"""``certificate``: the certificates that clients present. TLS verifies them by ``auth.certificate.ca``."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from vpn_frontend.auth.certificate.identity import CertificateFields
from vpn_frontend.auth.certificate.method import CertificateMethod, GroupQuestion
from vpn_frontend.auth.group_logins import plan_of
from vpn_frontend.sessions.effective_settings import labels_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.auth.method import Method
    from vpn_frontend.settings import AuthSettings, Overrides


@asynccontextmanager
async def open_certificate(context: MethodContext) -> AsyncIterator[Method]:
    auth = context.config.vpn.auth
    fields = CertificateFields(auth.certificate.user_field, auth.certificate.group_field)
    asks = auth.certificate.ask_group and not plan_of(auth.rules).has_form  # a form has its own choice of groups
    question = _question(auth, context.config.vpn.groups) if asks else None
    yield CertificateMethod(context.directory, fields, question)


def _question(auth: AuthSettings, groups: Mapping[str, Overrides]) -> GroupQuestion:
    """Groups with a label are offered, as in the form of other logins. Labels are those of the configuration."""
    labels = labels_of(groups)
    return GroupQuestion(frozenset((*auth.groups, *labels)), tuple(labels.items()), auth.no_group_label)
