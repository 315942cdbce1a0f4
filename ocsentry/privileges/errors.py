# SPDX-License-Identifier: GPL-3.0-or-later
"""Why the server does not start: a restriction that is configured cannot be applied."""

from __future__ import annotations

from ocsentry.errors import OperatorError


class PrivilegeError(OperatorError):
    """A restriction cannot be applied. The text names the configuration key and the reason."""
