# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the secrets of the webhooks that the configuration names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.webhooks.service import FileWebhook
from admin_api.webhooks.signature import parse_secret
from ocsentry.errors import OperatorError
from ocsentry.login_methods.radius import read_secret

if TYPE_CHECKING:
    from ocsentry.configuration.sections.admin import WebhookSection
    from vpn_frontend.gateway.certificates.server_certificate import FileReader


def read_webhook(section: WebhookSection, read: FileReader) -> FileWebhook:
    """Raises ``OperatorError``, which names the file."""
    try:
        secret = parse_secret(read_secret(section.secret_file, read).decode("ascii", "replace"))
    except ValueError as error:
        raise OperatorError(f"admin.webhook: {section.secret_file}: {error}") from None
    return FileWebhook(section.url, section.kinds, secret)
