# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a browser finds the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.http.paths import CONSOLE_PATH

if TYPE_CHECKING:
    from ocsentry.configuration.sections.admin import AdminSection


def console_url(admin: AdminSection) -> str:
    """Returns the URL; empty if the API has no TCP port."""
    if admin.listen is None:
        return ""
    address = admin.listen.address
    host = f"[{address}]" if address.version == 6 else str(address)
    if address.is_unspecified:
        host = admin.hosts[0] if admin.hosts else "localhost"
    return f"{'https' if admin.certificate else 'http'}://{host}:{admin.listen.port}{CONSOLE_PATH}"
